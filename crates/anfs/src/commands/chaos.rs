//! `anfs devnet chaos`: breaks a running devnet on purpose, and shows how the shard takes it.

use std::time::{Duration, Instant};

use alloy_primitives::U64;
use anfs_primitives::SeatIndex;
use anfs_rpc::{SeatReport, ViewStatus};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{ChaosArgs, ChaosCommand, SeatChoice};
use crate::client::Client;
use crate::exit::CommandError;
use crate::output::{Output, print_line};
use crate::sheet::Sheet;
use crate::terminal::Style;

/// How often the devnet is looked at between two blows.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pauses between two blows, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 1_000..5_000;
/// How long the mended shard may take until it decides blocks again.
const RECOVERY: Duration = Duration::from_secs(60);
/// Blocks that it must decide then.
const RECOVERY_BLOCKS: u64 = 3;

pub(crate) fn run(args: &ChaosArgs, out: Output) -> Result<(), CommandError> {
    let client = Client::new(&args.url())?;
    let seats: Vec<SeatReport> = match &args.command {
        ChaosCommand::Seats => client.call("devnet_seats", json!([]))?,
        ChaosCommand::Kill { seat } => {
            let seat = match *seat {
                SeatChoice::Index(seat) => SeatIndex(seat),
                SeatChoice::Acting => client.call::<ViewStatus>("anfs_view", json!([]))?.acting,
            };
            client.call("devnet_stopSeat", json!([seat]))?
        }
        ChaosCommand::Start { seat } => client.call("devnet_startSeat", json!([seat]))?,
        ChaosCommand::Cut { seats } => client.call("devnet_cut", json!([seats]))?,
        ChaosCommand::Heal => client.call("devnet_heal", json!([]))?,
        ChaosCommand::Random { time, seed } => return random(&client, *time, *seed, out),
    };
    let view: ViewStatus = client.call("anfs_view", json!([]))?;
    out.print(&json!({ "seats": seats, "view": view }), || show(&seats, &view))
}

/// The seats and the view, for people.
fn show(seats: &[SeatReport], view: &ViewStatus) -> String {
    let mut sheet = Sheet::new(Style::stdout());
    let down = seats.iter().any(|seat| seat.seat == view.acting && !seat.running);
    let state = match (down, view.open) {
        (true, _) => "is to act as generator, and is down: the verifiers wait until its time is over",
        (false, true) => "acts as generator",
        (false, false) => "is to act as generator: its view is not open yet",
    };
    sheet.heading(&format!("View {}: seat {} {state}", view.view, view.acting));
    let next: Vec<String> = view.succession.iter().take(3).map(ToString::to_string).collect();
    sheet.field("next in line", next.join(", "));
    if let Some(change) = &view.last_change {
        sheet.field("since", format!("view {}: {}", change.view, change.reason));
    }
    if view.evidence > 0 {
        let last = view.recent_evidence.last();
        let last =
            last.map(|note| format!("; last: seat {} {}", note.offender, note.kind)).unwrap_or_default();
        sheet.field("evidence", format!("{}{last}", view.evidence));
    }
    sheet.line("");
    let rows: Vec<Vec<String>> = seats.iter().map(row).collect();
    sheet.table(&["seat", "state", "height", "view", "note"], &rows);
    sheet.finish()
}

fn row(seat: &SeatReport) -> Vec<String> {
    let state = match (seat.running, seat.cut) {
        (false, _) => "down",
        (true, true) => "cut off",
        (true, false) => "runs",
    };
    let mut notes = Vec::new();
    if seat.acting && seat.running {
        notes.push("acts as generator".to_owned());
    } else if seat.acting {
        notes.push("was acting as generator".to_owned());
    }
    if seat.serving {
        notes.push("serves this port".to_owned());
    }
    if seat.byzantine {
        notes.push("misbehaves on purpose".to_owned());
    }
    notes.extend(seat.trouble.clone());
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    vec![
        seat.seat.to_string(),
        state.to_owned(),
        number(seat.height.map(|height| height.0)),
        number(seat.view),
        notes.join(", "),
    ]
}

/// Something that was done to the devnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Blow {
    Kill(SeatIndex),
    Start(SeatIndex),
    Cut(SeatIndex),
    Heal,
}

impl Blow {
    fn words(self, seats: &[SeatReport]) -> String {
        let role = |index: SeatIndex| {
            let acts = seats.iter().any(|seat| seat.seat == index && seat.acting);
            if acts { " (acts as generator)" } else { "" }
        };
        match self {
            Self::Kill(seat) => format!("kill seat {seat}{}", role(seat)),
            Self::Start(seat) => format!("start seat {seat}"),
            Self::Cut(seat) => format!("cut off seat {seat}{}", role(seat)),
            Self::Heal => "heal the network".to_owned(),
        }
    }

    fn strike(self, client: &Client) -> Result<Vec<SeatReport>, CommandError> {
        let (method, params) = match self {
            Self::Kill(seat) => ("devnet_stopSeat", json!([seat])),
            Self::Start(seat) => ("devnet_startSeat", json!([seat])),
            Self::Cut(seat) => ("devnet_cut", json!([[seat]])),
            Self::Heal => ("devnet_heal", json!([])),
        };
        client.call(method, params)
    }
}

/// What may be done now. At most f verifiers are away, or misbehave, at a time; the generator of the chain spec has no vote,
/// so it may be away beside them. The seat that serves this port is not cut off: it could tell nothing new.
fn choices(seats: &[SeatReport]) -> Vec<Blow> {
    let verifiers = seats.len().saturating_sub(1);
    let bearable = verifiers.saturating_sub(1) / 3;
    let is_away = |seat: &&SeatReport| !seat.running || seat.cut || seat.byzantine;
    let away = seats.iter().skip(1).filter(is_away).count();
    let mut blows = Vec::new();
    for seat in seats {
        let may_go = seat.seat == SeatIndex::GENERATOR || seat.byzantine || away < bearable;
        match (seat.running, seat.cut) {
            (false, _) => blows.push(Blow::Start(seat.seat)),
            (true, true) => blows.push(Blow::Heal),
            (true, false) if may_go => {
                blows.push(Blow::Kill(seat.seat));
                // There is one cut at a time.
                if !seat.serving && !seats.iter().any(|seat| seat.cut) {
                    blows.push(Blow::Cut(seat.seat));
                }
                // Whoever acts as generator is the most worthwhile aim.
                if seat.acting {
                    blows.push(Blow::Kill(seat.seat));
                }
            }
            (true, false) => {}
        }
    }
    blows
}

/// How the chain grows.
struct Watch<'a> {
    client: &'a Client,
    height: u64,
    last: Instant,
    longest: Duration,
}

impl Watch<'_> {
    fn look(&mut self) -> Result<(), CommandError> {
        let height: U64 = self.client.call("eth_blockNumber", json!([]))?;
        if height.to::<u64>() > self.height {
            self.height = height.to();
            self.longest = self.longest.max(self.last.elapsed());
            self.last = Instant::now();
        }
        Ok(())
    }

    fn look_for(&mut self, time: Duration) -> Result<(), CommandError> {
        let started = Instant::now();
        while started.elapsed() < time {
            self.look()?;
            // A plain HTTP server calls nobody back: asking again is the only way to learn.
            std::thread::park_timeout(LOOK_EVERY);
        }
        Ok(())
    }
}

fn random(client: &Client, time: Duration, seed: Option<u64>, out: Output) -> Result<(), CommandError> {
    let seed = seed.unwrap_or_else(rand::random);
    let mut draw = StdRng::seed_from_u64(seed);
    let started = Instant::now();
    let before: ViewStatus = client.call("anfs_view", json!([]))?;
    let mut seats: Vec<SeatReport> = client.call("devnet_seats", json!([]))?;
    let mut watch = Watch { client, height: 0, last: started, longest: Duration::ZERO };
    watch.look()?;
    let first = watch.height;
    let mut done: Vec<Value> = Vec::new();
    let mut tell = |blow: Blow, seats: &[SeatReport], height: u64| {
        let at = started.elapsed();
        done.push(json!({ "atMs": at.as_millis(), "blow": blow, "height": height }));
        if out.json {
            return Ok(());
        }
        print_line(&format!("{:>6.1} s  height {height:<6} {}", at.as_secs_f64(), blow.words(seats)))
    };
    if !out.json {
        print_line(&format!("chaos for {:.0} s, seed {seed}", time.as_secs_f64()))?;
    }
    while started.elapsed() < time {
        let pause = Duration::from_millis(draw.random_range(PAUSE_MS));
        watch.look_for(pause.min(time.saturating_sub(started.elapsed())))?;
        seats = client.call("devnet_seats", json!([]))?;
        let Some(&blow) = choices(&seats).choose(&mut draw) else { continue };
        tell(blow, &seats, watch.height)?;
        seats = blow.strike(client)?;
    }
    let mut mending: Vec<Blow> =
        seats.iter().any(|seat| seat.cut).then_some(Blow::Heal).into_iter().collect();
    mending.extend(seats.iter().filter(|seat| !seat.running).map(|seat| Blow::Start(seat.seat)));
    for blow in mending {
        tell(blow, &seats, watch.height)?;
        blow.strike(client)?;
    }
    let mended = Instant::now();
    let goal = watch.height + RECOVERY_BLOCKS;
    while watch.height < goal && mended.elapsed() < RECOVERY {
        watch.look_for(LOOK_EVERY)?;
    }
    let after: ViewStatus = client.call("anfs_view", json!([]))?;
    let (blocks, views) = (watch.height - first, after.view.saturating_sub(before.view));
    let longest = watch.longest.as_secs_f64();
    let value = json!({
        "seed": seed, "blows": done, "blocks": blocks, "viewsChanged": views,
        "longestPauseMs": watch.longest.as_millis(), "recovered": watch.height >= goal, "view": after,
    });
    out.print(&value, || {
        let blows = done.len();
        format!(
            "\n{blows} blows · {blocks} blocks decided · {views} views changed · longest pause {longest:.1} s · \
             seat {} acts as generator",
            after.acting
        )
    })?;
    if watch.height < goal {
        let words = format!("the shard decided nothing for {} s after it was mended", RECOVERY.as_secs());
        return Err(CommandError::failed(words));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(verifiers: u16) -> Vec<SeatReport> {
        let seat = |seat| SeatReport {
            seat: SeatIndex(seat),
            running: true,
            acting: seat == 0,
            serving: seat == 0,
            cut: false,
            byzantine: false,
            height: Some(anfs_primitives::Height(7)),
            view: Some(0),
            held: false,
            trouble: None,
        };
        (0..=verifiers).map(seat).collect()
    }

    #[test]
    fn no_more_verifiers_are_away_than_the_shard_must_bear() {
        let mut four = seats(4);
        assert!(choices(&four).contains(&Blow::Kill(SeatIndex(3))));
        assert!(!choices(&four).contains(&Blow::Cut(SeatIndex(0))), "it serves the port");
        four[2].cut = true;
        let left = choices(&four);
        assert!(left.iter().all(|blow| matches!(blow, Blow::Heal | Blow::Kill(SeatIndex(0)))), "{left:?}");
        four[0].running = false;
        assert_eq!(choices(&four), [Blow::Start(SeatIndex(0)), Blow::Heal]);
        assert!(choices(&seats(1)).iter().all(|blow| matches!(blow, Blow::Kill(SeatIndex(0)))), "f is zero");
    }

    #[test]
    fn a_seat_is_one_row() {
        let mut seat = seats(1).remove(0);
        assert_eq!(row(&seat), ["0", "runs", "7", "0", "acts as generator, serves this port"]);
        (seat.running, seat.serving, seat.height, seat.view) = (false, false, None, None);
        assert_eq!(row(&seat), ["0", "down", "-", "-", "was acting as generator"]);
    }
}
