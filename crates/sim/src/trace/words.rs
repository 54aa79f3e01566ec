//! Words for what a run is made of.

use std::collections::BTreeSet;

use anfs_consensus::Evidence;
use anfs_primitives::{BlockHash, CertificateKind, NewView, SeatIndex, ViewChange, VoteKind};

use crate::html::Kind;
use crate::wires::Weather;

/// What people call a seat.
#[must_use]
pub fn seat_name(seat: SeatIndex) -> String {
    if seat == SeatIndex::GENERATOR { "SG".to_owned() } else { format!("SV{}", seat.0) }
}

/// Seats by name; how many, when they are many.
pub(super) fn seat_names(seats: &BTreeSet<SeatIndex>, all: usize) -> String {
    if seats.len() > 4 {
        return format!("{} of {all} seats", seats.len());
    }
    seats.iter().map(|seat| seat_name(*seat)).collect::<Vec<_>>().join(", ")
}

pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

pub(super) fn weather_words(weather: &Weather) -> String {
    if *weather == Weather::default() {
        return "calm".to_owned();
    }
    let percent = |share: u16| format!("{}.{} %", share / 10, share % 10);
    let mut words =
        vec![format!("delay {} to {} ms", weather.delay_ms, weather.delay_ms + weather.jitter_ms)];
    for (share, what) in [
        (weather.loss, "lost"),
        (weather.fragment_loss, "of fragments lost beside that"),
        (weather.duplication, "doubled"),
        (weather.straggling, "late"),
    ] {
        words.extend((share > 0).then(|| format!("{} {what}", percent(share))));
    }
    words.join(", ")
}

/// What the page calls a block.
pub(super) fn short_hash(block: &BlockHash) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    block[..4].iter().map(digits).collect()
}

/// A text whose hashes are cut to the eight digits that the page knows blocks by.
pub(super) fn shortened(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let (before, hash) = rest.split_at(at);
        let digits = hash[2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str(before);
        out.push_str(if digits == 64 { &hash[2..10] } else { &hash[..2 + digits] });
        rest = &hash[2 + digits..];
    }
    out.push_str(rest);
    out
}

pub(super) fn vote_kind(kind: VoteKind) -> Kind {
    match kind {
        VoteKind::ValidSliced => Kind::Sliced,
        VoteKind::ValidFull => Kind::Full,
        VoteKind::InvalidSliced | VoteKind::InvalidFull => Kind::Invalid,
        VoteKind::Commit => Kind::Commit,
    }
}

pub(super) fn vote_name(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::ValidSliced => "Valid, Sliced",
        VoteKind::ValidFull => "Valid, Full",
        VoteKind::InvalidSliced => "Invalid, Sliced",
        VoteKind::InvalidFull => "Invalid, Full",
        VoteKind::Commit => "Commit",
    }
}

pub(super) fn certificate_name(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::Fast => "FastCert",
        CertificateKind::Prepare => "PrepareCert",
        CertificateKind::Commit => "CommitCert",
        CertificateKind::Conviction => "conviction",
    }
}

/// What a piece of evidence shows.
#[must_use]
pub fn evidence_name(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Proposals { .. } => "two proposals",
        Evidence::Votes { .. } => "contradicting votes",
        Evidence::ViewChanges { .. } => "two promises",
        Evidence::NewViews { .. } => "two openings",
        Evidence::InvalidBlock { .. } => "invalid block",
        Evidence::FalseAlert { .. } => "false alert",
    }
}

pub(super) fn promise_words(change: &ViewChange) -> String {
    let tip = change.decided.iter().map(|decided| decided.target.height.0).max().unwrap_or(0);
    let prepared = change.reports.iter().filter(|report| report.prepared.is_some()).count();
    let approved = change.reports.iter().filter(|report| report.approved.is_some()).count();
    format!(
        "promises to vote below view {} no more; tip {tip}, prepared {prepared}, approved {approved}",
        change.view
    )
}

pub(super) fn opening_words(opening: &NewView) -> String {
    let heights: Vec<_> = opening.carried.iter().map(|carried| carried.header.height.to_string()).collect();
    let carried = if heights.is_empty() { "nothing".to_owned() } else { heights.join(", ") };
    let convictions = opening.convictions.len();
    format!("opens view {}: carries {carried}; shows {convictions} convictions", opening.view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_cut_to_what_the_page_calls_blocks() {
        let hash = BlockHash::repeat_byte(0xab);
        assert_eq!(shortened(&format!("both {hash} and 0x12, 0x")), "both abababab and 0x12, 0x");
        assert_eq!(short_hash(&hash), "abababab");
    }

    #[test]
    fn weather_is_said_in_words() {
        assert_eq!(weather_words(&Weather::default()), "calm");
        let weather = Weather { loss: 25, straggling: 1000, jitter_ms: 9, ..Weather::default() };
        assert_eq!(weather_words(&weather), "delay 1 to 10 ms, 2.5 % lost, 100.0 % late");
    }
}
