//! Text layouts: labelled lines under headings, tables, times.

use alloy_primitives::{Address, B256, hex};

use crate::terminal::Style;

const LABEL_WIDTH: usize = 14;

/// Lines of `label  value` under headings.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) style: Style,
    text: String,
}

impl Sheet {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    /// Begins a part.
    pub(crate) fn heading(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(&self.style.bold(title));
    }

    /// A labelled line.
    pub(crate) fn field(&mut self, label: &str, value: impl AsRef<str>) {
        let label = self.style.dim(&format!("{label:<LABEL_WIDTH$}"));
        self.line(&format!("  {label} {}", value.as_ref()));
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Columns as wide as their widest cell, under a dim head.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(head.get(column).map(|cell| cell.len())).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        let head = self.style.dim(&line(&mut head.iter().copied()));
        self.line(&head);
        for row in rows {
            self.line(&line(&mut row.iter().map(String::as_str)));
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// The two ends of a hash, for tables.
pub(crate) fn short(hash: &B256) -> String {
    format!("0x{}…{}", hex::encode(&hash[..4]), hex::encode(&hash[30..]))
}

/// An address in full, or what stands where there is none.
pub(crate) fn recipient(address: Option<&Address>) -> String {
    address.map_or_else(|| "(creates a contract)".to_owned(), |address| address.to_checksum(None))
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A Unix time in seconds as `2026-01-31 23:59:58 UTC`.
pub(crate) fn time(seconds: u64) -> String {
    const DAY: u64 = 86_400;
    /// Days of 400 years, after which the calendar repeats.
    const ERA: u64 = 146_097;
    // Years are counted from March 1st, so that the leap day is the last of its year; 719 468 days lie between
    // the March of year 0 and 1970.
    let days = seconds / DAY + 719_468;
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let rest = seconds % DAY;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_known_days() {
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(time(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(time(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(time(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assert_eq!(time(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assert!(time(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1 000");
        assert_eq!(grouped(200_000_000), "200 000 000");
    }

    #[test]
    fn sheets_line_up() {
        let mut sheet = Sheet::new(Style::plain());
        sheet.heading("Block 1");
        sheet.field("hash", "0x1");
        sheet.heading("Slices");
        sheet.table(&["#", "entries"], &[vec!["10".into(), "0–16".into()], vec!["2".into(), "x".into()]]);
        let expected = "Block 1\n  hash           0x1\n\nSlices\n  #   entries\n  10  0–16\n  2   x\n";
        assert_eq!(sheet.finish(), expected);
    }
}
