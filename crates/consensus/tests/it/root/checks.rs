//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use anfs_consensus::root::{RootConfig, RootEvidence, RootOffence, RootState};
use anfs_primitives::{CertifiedRootBlock, DomainId, Height, RootExecution, RootMessage, RootSeat, View};

use super::net::Nature;
use super::shards::Shard;

/// How long a certified block may take to become final once all is well, in milliseconds.
pub(super) const FINAL_WITHIN_MS: u64 = 30_000;

#[derive(Debug)]
pub(super) struct Checks {
    pub(super) failed: Option<String>,
    pub(super) honest: BTreeSet<RootSeat>,
    state: RootState,
    config: RootConfig,
    /// What honest seats have signed: by seat, height, view and kind.
    signed: BTreeMap<(RootSeat, Height, View, &'static str), String>,
    /// The highest view that honest seats have left, by height.
    left: BTreeMap<(RootSeat, Height), View>,
    pub(super) heal: Option<(u64, usize)>,
    /// A digest of all that was decided, and when.
    pub(super) digest: u64,
    pub(super) evidence: BTreeMap<&'static str, u64>,
    pub(super) captured: BTreeSet<DomainId>,
    /// Messages that the root has consumed, by source.
    pub(super) consumed: BTreeMap<DomainId, u64>,
}

impl Checks {
    pub(super) fn new(state: RootState, config: RootConfig) -> Self {
        Self {
            failed: None,
            honest: BTreeSet::new(),
            state,
            config,
            signed: BTreeMap::new(),
            left: BTreeMap::new(),
            heal: None,
            digest: 0,
            evidence: BTreeMap::new(),
            captured: BTreeSet::new(),
            consumed: BTreeMap::new(),
        }
    }

    pub(super) fn fail(&mut self, text: String) {
        self.failed.get_or_insert(text);
    }

    pub(super) fn healed(&mut self, now_ms: u64, height: usize) {
        self.heal = Some((now_ms, height));
    }

    /// The first seat has decided a height.
    pub(super) fn newest(
        &mut self,
        now_ms: u64,
        decided: &CertifiedRootBlock,
        shards: &[Shard],
        parent: &RootExecution,
    ) {
        let header = &decided.block.header;
        if let Err(fault) = self.state.apply(decided) {
            return self.fail(format!("root block {} is invalid: {fault}", header.height));
        }
        let stake = self.config.stake_of_groups(&decided.certificate.signers).unwrap_or_default();
        let third = self.config.total_stake() / alloy_primitives::U256::from(3);
        if stake <= third + third {
            self.fail(format!("root block {} is decided by too little stake", header.height));
        }
        for reference in &decided.block.references {
            let shard = &shards[reference.header.domain.0 as usize - 1];
            if shard.reference(reference.header.height.0) != Some(reference) {
                self.fail(format!("root block {} names what was not certified", header.height));
            }
            if shard.lie.is_some_and(|(from, _)| reference.header.height.0 >= from) {
                self.fail(format!("root block {} names what cannot be", header.height));
            }
        }
        if header.execution != *parent {
            self.fail(format!("root block {} tells a lie of its parent's execution", header.height));
        }
        for batch in &decided.block.inbound {
            let shard = &shards[batch.source.0 as usize - 1];
            let next = self.consumed.entry(batch.source).or_default();
            let sent = shard.batches.get(&batch.height.0).map(|sent| sent.messages.to_vec());
            let sent = sent.unwrap_or_default().into_iter().skip_while(|one| one.sequence < *next);
            let same = sent.take(batch.messages.len()).eq(batch.messages.iter().cloned());
            *next += batch.messages.len() as u64;
            if !same {
                self.fail(format!("root block {} consumes what was not sent", header.height));
            }
        }
        let all = header.supply.held + header.supply.in_flight + header.supply.burned;
        let genesis = alloy_primitives::U256::from(super::shards::COINS * shards.len() as u64);
        if all != genesis + header.supply.issued {
            self.fail(format!("root block {} makes or loses coins", header.height));
        }
        let mut word = [0; 8];
        word.copy_from_slice(&header.hash()[..8]);
        self.digest = (self.digest.rotate_left(7) ^ u64::from_le_bytes(word))
            .wrapping_mul(0x2545_f491_4f6c_dd1d)
            ^ now_ms;
    }

    /// An honest seat says something: it must not contradict what it said before.
    pub(super) fn says(&mut self, seat: RootSeat, message: &RootMessage) {
        let (height, view, kind, what) = match message {
            RootMessage::Proposal(proposal) => {
                let header = &proposal.block.header;
                (header.height, proposal.view, "proposal", format!("{}", header.hash()))
            }
            RootMessage::Tally(tally) if tally.seats.len() == 1 && tally.seats.contains(seat.seat) => {
                let kind = if tally.kind as u8 == 1 { "prepare" } else { "commit" };
                (tally.target.height, tally.target.view, kind, format!("{}", tally.target.block))
            }
            RootMessage::Timeout(signed) => {
                let said = signed.timeout;
                (said.height, said.view, "timeout", format!("{:?}", said.prepared))
            }
            _ => return,
        };
        let fresh = !self.signed.contains_key(&(seat, height, view, kind));
        let first = self.signed.entry((seat, height, view, kind)).or_insert_with(|| what.clone());
        if *first != what {
            let text = format!("{seat} signs two {kind}s at {height}/{view}: {first}, {what}");
            return self.fail(text);
        }
        let left = self.left.get(&(seat, height)).copied();
        if kind == "timeout" {
            self.left.insert((seat, height), left.unwrap_or(view).max(view));
        }
        if fresh && left.is_some_and(|left| view <= left) {
            self.fail(format!("{seat} signs a {kind} at {height}/{view}, which it has left"));
        }
    }

    pub(super) fn evidence(&mut self, by: RootSeat, nature: Nature, evidence: &RootEvidence) {
        let kind = match evidence {
            RootEvidence::Proposals { .. } => "proposals",
            RootEvidence::Votes { .. } => "votes",
            RootEvidence::Timeouts { .. } => "timeouts",
            RootEvidence::Overdrawn { reference, .. } => {
                if !self.captured.contains(&reference.header.domain) {
                    self.fail(format!("{by} accuses honest shard {}", reference.header.domain));
                }
                "overdrawn"
            }
        };
        *self.evidence.entry(kind).or_default() += 1;
        let accused = evidence.offender();
        if nature == Nature::Honest && accused.is_some_and(|seat| self.honest.contains(&seat)) {
            self.fail(format!("{by} accuses honest {accused:?} of {kind}"));
        }
    }

    pub(super) fn penalised(&mut self, by: RootSeat, nature: Nature, whom: RootSeat, offence: RootOffence) {
        if nature == Nature::Honest && self.honest.contains(&whom) {
            self.fail(format!("{by} penalises honest {whom}: {offence}"));
        }
    }
}
