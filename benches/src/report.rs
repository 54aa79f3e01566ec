//! Figures and tables.

use std::time::Duration;

/// Sorted latencies.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// The latency that this share of the samples does not exceed, in milliseconds; 0 without samples.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index below the length"
        )]
        let index = (last as f64 * share).round() as usize;
        self.0.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Prints a table with aligned columns; the first row is the heading.
pub(crate) fn print_table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        println!("{}", cells.join("  "));
        if index == 0 {
            println!("{}", widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("──"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred() {
        let latencies = Latencies::new((1..=101).rev().map(Duration::from_millis).collect());
        assert_eq!(latencies.quantile_ms(0.5), 51.0);
        assert_eq!(latencies.quantile_ms(0.99), 100.0);
        assert_eq!(Latencies::new(Vec::new()).quantile_ms(0.5), 0.0);
    }
}
