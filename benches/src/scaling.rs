//! What a transfer costs as shards are added, each with a load of its own: CPU time counted, not time that passes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use eyre::{Result, WrapErr, ensure};
use plotters::prelude::*;

use crate::latency::start;
use crate::load::{Payload, Shape, Spread, send, sign};
use crate::report::print_table;

/// How long the CPU time of an idle network is counted.
const IDLE: Duration = Duration::from_secs(5);
/// Transfers in one request.
const BATCH: usize = 25;
/// A transfer within its shard may cost this much of what it costs in a network of one shard.
const LOCAL_BAR: f64 = 1.15;
/// A transfer across shards may cost this much of one within.
const ACROSS_BAR: f64 = 1.6;

/// `scaling`.
#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    /// The anfs program.
    #[arg(long, default_value = "target/release/anfs")]
    anfs: PathBuf,
    /// Shards, in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    shards: Vec<u32>,
    /// Verifiers of each.
    #[arg(long, default_value_t = 1)]
    verifiers: u16,
    /// Transfers a second that each shard's accounts send: below what the machine bears, so that none waits, and enough
    /// that what an idle network does anyway is the lesser part.
    #[arg(long, default_value_t = 750)]
    rate: u32,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 12)]
    seconds: u32,
    /// Rounds through all networks; of each figure, and of each ratio within a round, the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Accounts that send, for each shard.
    #[arg(long, default_value_t = 100)]
    senders: u32,
    /// Where the plot goes, as SVG.
    #[arg(long, default_value = "target/scaling.svg")]
    plot: PathBuf,
}

/// CPU time of a network.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Of a core, when nothing is sent.
    idle_share: f64,
    /// For each transfer, in µs: all that the network used meanwhile.
    whole_us: f64,
    /// The same without what an idle network uses in that time.
    net_us: f64,
}

/// A network and a load, with the median of what a transfer took in µs.
#[derive(Debug)]
struct Row {
    shards: u32,
    spread: Spread,
    whole_us: f64,
}

pub(crate) async fn scaling(args: ScalingArgs) -> Result<()> {
    println!(
        "CPU time a transfer on one machine: each shard of 1 + {} seats sends {}/s for {} s; medians of {}\n",
        args.verifiers, args.rate, args.seconds, args.rounds
    );
    let loads: Vec<(u32, Spread)> = args
        .shards
        .iter()
        .flat_map(|shards| [(*shards, Spread::Local), (*shards, Spread::Across)])
        .filter(|(shards, spread)| *shards > 1 || *spread == Spread::Local)
        .collect();
    ensure!(!loads.is_empty(), "give at least one number of shards");
    let mut samples: Vec<Vec<Cost>> = vec![Vec::new(); loads.len()];
    for _ in 0..args.rounds.max(1) {
        for ((shards, spread), samples) in loads.iter().zip(&mut samples) {
            samples.push(measure(&args, *shards, *spread).await?);
        }
    }
    // Of each round by itself: a machine that gets slower meanwhile does so for all loads of a round.
    let ratio = |at: usize, to: usize| {
        let pairs = samples[at].iter().zip(&samples[to]);
        median(pairs.map(|(one, other)| one.whole_us / other.whole_us).collect())
    };
    let mut table = vec![
        ["shards", "transfers", "idle % of a core", "µs/tx", "µs/tx less idle", "× first", "× local"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let (mut rows, mut over) = (Vec::new(), Vec::new());
    for (at, (shards, spread)) in loads.iter().copied().enumerate() {
        let local = loads.iter().position(|load| *load == (shards, Spread::Local)).unwrap_or(at);
        let (by_first, by_local) = (ratio(at, 0), ratio(at, local));
        let name = if spread == Spread::Local { "local" } else { "across" };
        let within = if spread == Spread::Local { by_first <= LOCAL_BAR } else { by_local <= ACROSS_BAR };
        if !within {
            over.push(format!("{shards} shards, {name}"));
        }
        let of = |figure: fn(&Cost) -> f64| median(samples[at].iter().map(figure).collect());
        let whole_us = of(|cost| cost.whole_us);
        table.push(vec![
            shards.to_string(),
            name.to_owned(),
            format!("{:.1}", 100.0 * of(|cost| cost.idle_share)),
            format!("{whole_us:.1}"),
            format!("{:.1}", of(|cost| cost.net_us)),
            format!("{by_first:.2}"),
            format!("{by_local:.2}"),
        ]);
        rows.push(Row { shards, spread, whole_us });
    }
    print_table(&table);
    plot(&args.plot, &rows).wrap_err_with(|| format!("cannot draw {}", args.plot.display()))?;
    println!("\nplot: {}", args.plot.display());
    println!(
        "bars: local at most {LOCAL_BAR} × the first row, across at most {ACROSS_BAR} × local; medians of each round's ratios"
    );
    ensure!(over.is_empty(), "above the bar: {}", over.join("; "));
    Ok(())
}

async fn measure(args: &ScalingArgs, shards: u32, spread: Spread) -> Result<Cost> {
    let (senders, rate) = (args.senders * shards, args.rate * shards);
    let shape = Shape {
        senders,
        transactions: rate * args.seconds,
        recipients: 2_000 * shards,
        batch: BATCH,
        connections: 4,
        shards,
        spread,
    };
    let server = start(&args.anfs, shards, args.verifiers, 250, shape.accounts()).await?;
    let signed = Arc::new(sign(&server.url, &shape, &Payload::Transfer).await?);
    let before = (server.cpu()?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let idle_share = (server.cpu()? - before.0).as_secs_f64() / before.1.elapsed().as_secs_f64();
    let before = (server.cpu()?, Instant::now());
    let outcome = send(&server.url, &shape, signed, Some(rate)).await?;
    let (used, took) = (server.cpu()? - before.0, before.1.elapsed());
    let each = 1e6 / outcome.transactions as f64;
    let whole_us = used.as_secs_f64() * each;
    Ok(Cost { idle_share, whole_us, net_us: whole_us - idle_share * took.as_secs_f64() * each })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Draws CPU time a transfer over the number of shards, each step as wide as the next.
fn plot(path: &Path, rows: &[Row]) -> Result<()> {
    let mut steps: Vec<u32> = rows.iter().map(|row| row.shards).collect();
    steps.dedup();
    let top = rows.iter().map(|row| row.whole_us).fold(0.0, f64::max) * 1.2;
    let area = SVGBackend::new(path, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let right = steps.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(&area)
        .caption("CPU time a transfer, the same load for each shard", ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.5..right, 0.0..top)?;
    let name = |x: &f64| {
        let at = steps.iter().enumerate().find(|(at, _)| (*at as f64 - x).abs() < 1e-6);
        at.map_or_else(String::new, |(_, shards)| shards.to_string())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * steps.len() + 1)
        .x_label_formatter(&name)
        .y_label_formatter(&|us| format!("{us:.0}"))
        .x_desc("shards")
        .y_desc("µs")
        .draw()?;
    let series = [
        (Spread::Local, "within a shard", RGBColor(31, 119, 180)),
        (Spread::Across, "across shards", RGBColor(214, 90, 20)),
    ];
    for (spread, label, color) in series {
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.spread == spread)
            .filter_map(|row| Some((steps.iter().position(|it| *it == row.shards)? as f64, row.whole_us)))
            .collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, color.filled())))?;
        chart.draw_series(points.iter().map(|(x, us)| {
            Text::new(format!("{us:.0}"), (*x + 0.06, *us + top * 0.05), ("sans-serif", 13).into_font())
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.filled())
        .border_style(RGBColor(180, 180, 180))
        .draw()?;
    area.present()?;
    Ok(())
}
