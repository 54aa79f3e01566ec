//! What must hold, whatever happens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use anfs_consensus::root::RootState;
use anfs_primitives::{
    BlockHash, CertifiedRootBlock, CrossMessage, DomainId, Height, MessageBody, RootHash, RootSeat,
    SealedHeader, ShardReference, Supply,
};

use super::bank::Outcome;
use super::block::Executed;
use super::lies::Lie;
use super::plan::Plan;
use super::process::Packet;
use super::report::Report;
use super::root::RootExecuted;

/// Looks at everything that any seat decides.
#[derive(Debug)]
pub(super) struct Checker {
    plan: Plan,
    /// What the final root blocks amount to, and their hashes.
    state: RootState,
    chain: Vec<RootHash>,
    executed: BTreeMap<BlockHash, Arc<Executed>>,
    /// Decided shard blocks, and when the first seat decided them.
    decided: BTreeMap<(DomainId, Height), (BlockHash, u64)>,
    /// Messages sent by final blocks and not consumed, with the root block that made them final.
    lanes: BTreeMap<(DomainId, DomainId), VecDeque<(CrossMessage, Height)>>,
    /// Calls of final blocks whose senders wait to be told what came of them: by whom, and who is to say it.
    asked: BTreeMap<B256, (DomainId, DomainId)>,
    /// By the model's own accounts: coins held after the newest final block, in flight, and burned.
    held: BTreeMap<DomainId, U256>,
    in_flight: U256,
    burned: U256,
    issued: U256,
    genesis: U256,
    /// What a captured shard has taken from others, and the most that it may.
    loot: U256,
    loot_max: U256,
    /// It has certified what the root can see to be a lie; and that was found out.
    lied: bool,
    convicted: bool,
    counts: Report,
    digest: u64,
    pub(super) findings: Vec<String>,
}

impl Checker {
    pub(super) fn new(plan: &Plan, state: RootState, genesis: &[Arc<Executed>]) -> Self {
        let held: BTreeMap<DomainId, U256> =
            genesis.iter().map(|one| (one.bank.domain, one.bank.total())).collect();
        let captured = plan.captured.and_then(|captured| held.get(&captured.domain));
        Self {
            plan: plan.clone(),
            state,
            chain: Vec::new(),
            executed: genesis.iter().map(|one| (one.header.hash(), one.clone())).collect(),
            decided: BTreeMap::new(),
            lanes: BTreeMap::new(),
            asked: BTreeMap::new(),
            in_flight: U256::ZERO,
            burned: U256::ZERO,
            issued: U256::ZERO,
            genesis: held.values().sum(),
            loot: U256::ZERO,
            loot_max: captured.copied().unwrap_or_default(),
            held,
            lied: false,
            convicted: false,
            counts: Report::default(),
            digest: 0,
            findings: Vec::new(),
        }
    }

    pub(super) fn find(&mut self, text: String) {
        self.findings.push(text);
    }

    fn word(&mut self, word: u64) {
        self.digest = (self.digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.digest ^= self.digest >> 29;
    }

    /// Something has arrived at a seat.
    pub(super) fn delivered(&mut self, now_ms: u64, to: usize, from: RootSeat, packet: &Packet) {
        let kind = match packet {
            Packet::Shard(_) => 1,
            Packet::Root(_) => 2,
            Packet::Want { height, .. } => 3 | height.0 << 8,
            Packet::Batch { height, .. } => 4 | height.0 << 8,
        };
        let seat = u64::from(from.domain.0) << 16 | u64::from(from.seat.0);
        self.word(now_ms << 16 ^ to as u64);
        self.word(seat << 32 ^ kind);
    }

    /// A seat has executed a block: all must come to the same.
    pub(super) fn executed(&mut self, seat: RootSeat, executed: &Arc<Executed>) {
        let honest = !self.plan.is_captured(seat.domain);
        let first = self.executed.entry(executed.header.hash()).or_insert_with(|| executed.clone());
        let same = first.bank == executed.bank && first.verdict == executed.verdict;
        if honest && !same {
            self.find(format!("{seat} executes height {} otherwise", executed.header.height));
        }
        if honest && executed.verdict.is_err() {
            let text = format!("{seat} finds height {}: {:?}", executed.header.height, executed.verdict);
            self.find(text);
        }
    }

    /// A seat has decided a block of its shard.
    pub(super) fn decided(&mut self, now_ms: u64, seat: RootSeat, header: &SealedHeader) {
        let place = (seat.domain, header.height);
        let (first, _) = *self.decided.entry(place).or_insert((header.hash(), now_ms));
        if first != header.hash() {
            self.find(format!("{seat} decides another block at height {}", header.height));
        }
        let lie = self.executed.get(&first).and_then(|executed| executed.outcome.lie);
        self.lied |= lie.is_some_and(Lie::shows);
    }

    /// Evidence against a shard.
    pub(super) fn accused(&mut self, by: RootSeat, reference: &ShardReference) {
        let domain = reference.header.domain;
        let lie = self.executed.get(&reference.header.hash()).and_then(|executed| executed.outcome.lie);
        if !self.plan.is_captured(domain) || !lie.is_some_and(Lie::shows) {
            let height = reference.header.height;
            return self.find(format!("{by} accuses shard {domain}, which has not lied at height {height}"));
        }
        self.convicted = true;
        *self.counts.evidence.entry(lie.map_or("", Lie::name)).or_default() += 1;
    }

    /// A root block is final at a seat, whose ledger says where all coins are. `parent` is what the block before it came to.
    pub(super) fn finalised(
        &mut self,
        now_ms: u64,
        seat: RootSeat,
        block: &CertifiedRootBlock,
        supply: Supply,
        parent: &RootExecuted,
    ) {
        let header = &block.block.header;
        if header.height.0 == self.chain.len() as u64 + 1 {
            self.newest(block, parent);
            self.word(now_ms);
        }
        let at = usize::try_from(header.height.0).unwrap_or(usize::MAX) - 1;
        if self.chain.get(at) != Some(&header.hash()) {
            return self.find(format!("{seat} has another root block {}", header.height));
        }
        let all = supply.held + supply.in_flight + supply.burned;
        let there_are = self.genesis + supply.issued;
        if supply != header.supply || all != there_are {
            self.find(format!("{seat} counts {all} wei of {there_are} after root block {}", header.height));
        }
    }

    fn newest(&mut self, block: &CertifiedRootBlock, parent: &RootExecuted) {
        let header = &block.block.header;
        if let Err(fault) = self.state.apply(block) {
            return self.find(format!("root block {} is invalid: {fault}", header.height));
        }
        self.chain.push(header.hash());
        if header.execution != parent.execution {
            self.find(format!("root block {} tells of another execution of its parent", header.height));
        }
        if let Some(height) = header.height.prev() {
            // The parent consumes what was final before it.
            let most = height.prev().unwrap_or_default();
            self.crossed((DomainId::ROOT, height), &parent.outcome, most, header.height);
            self.held.insert(DomainId::ROOT, parent.bank.total());
            self.issued = parent.execution.issued;
            self.counts.root_messages += parent.outcome.consumed.len() as u64;
        }
        for reference in &block.block.references {
            self.shard_block(reference, header.height);
        }
        self.sums(header.height);
        self.counts.root_blocks += 1;
    }

    /// A shard block is final: its messages are consumed once, in order, and not before they were final.
    fn shard_block(&mut self, reference: &ShardReference, at: Height) {
        let header = &reference.header;
        let place = (header.domain, header.height);
        let Some(executed) = self.executed.get(&header.hash()).cloned() else {
            return self.find(format!("{place:?} is final, and nobody has executed it"));
        };
        if self.decided.get(&place).map(|(hash, _)| *hash) != Some(header.hash()) {
            self.find(format!("{place:?} is final, and no seat has decided it"));
        }
        let outcome = &executed.outcome;
        if outcome.lie.is_some_and(Lie::shows) {
            self.find(format!("{place:?} is final, and cannot be true"));
        }
        self.crossed(place, outcome, header.root_reference.height, at);
        self.held.insert(header.domain, executed.bank.total());
        self.counts.shard_blocks += 1;
        if !self.plan.is_captured(header.domain) {
            self.counts.operations += outcome.crossings;
            self.counts.messages += outcome.consumed.len() as u64;
            self.counts.bounces += outcome.bounces;
        }
    }

    /// What a block has consumed, of what was final by root block `most`, and what it has sent, final with `at`.
    fn crossed(&mut self, place: (DomainId, Height), outcome: &Outcome, most: Height, at: Height) {
        let (domain, _) = place;
        for message in &outcome.consumed {
            let waiting = self.lanes.entry((message.source, domain)).or_default().pop_front();
            let Some((sent, final_at)) = waiting else {
                self.find(format!("{place:?} consumes message {} twice or early", message.sequence));
                continue;
            };
            if sent != *message || final_at > most {
                self.find(format!("{place:?} consumes {} out of turn", message.sequence));
            }
            self.in_flight -= message.value();
            if self.plan.is_captured(message.source) {
                self.loot += message.value();
            }
        }
        for message in &outcome.sent {
            self.in_flight += message.value();
            if self.plan.is_captured(message.destination) {
                self.loot_max += message.value();
            }
            if let MessageBody::Call(call) = &message.body
                && let Some(request) = call.result
                && self.asked.insert(request.id, (domain, message.destination)).is_some()
            {
                self.find(format!("{place:?} sends two calls with one name"));
            }
            let lane = self.lanes.entry((domain, message.destination)).or_default();
            lane.push_back((message.clone(), at));
        }
        self.answered(place, outcome);
        self.burned += outcome.burned;
    }

    /// Results are taken of calls that were sent, once, and from whom they were sent to.
    fn answered(&mut self, place: (DomainId, Height), outcome: &Outcome) {
        for (id, from) in &outcome.answered {
            if self.asked.remove(id) != Some((place.0, *from)) {
                self.find(format!("{place:?} takes a result of {from} that it has not asked for, or has"));
            }
        }
        self.counts.calls += outcome.calls;
        self.counts.answers += outcome.answered.len() as u64;
        self.counts.unasked += outcome.unasked;
    }

    /// The model's own accounts against the root's ledger, to the wei.
    fn sums(&mut self, height: Height) {
        let ledger = self.state.ledger().clone();
        for (domain, held) in self.held.clone() {
            if !self.plan.is_captured(domain) && ledger.held(domain) != Some(held) {
                let text = format!("after root block {height} shard {domain} holds {held} wei");
                self.find(format!("{text}, the ledger says {:?}", ledger.held(domain)));
            }
        }
        if self.loot > self.loot_max {
            self.find(format!("the captured shard has taken {} wei of {}", self.loot, self.loot_max));
        }
        if self.stalls() {
            // Its messages hold what nobody has: the sums of the claims are all there is.
            return;
        }
        let held: U256 = self.held.values().sum();
        let model = Supply { held, in_flight: self.in_flight, burned: self.burned, issued: self.issued };
        if model != ledger.supply() || held + self.in_flight + self.burned != self.genesis + self.issued {
            self.find(format!("after root block {height}: {model:?}, the ledger says {:?}", ledger.supply()));
        }
    }

    fn stalls(&self) -> bool {
        self.plan.captured.is_some_and(|captured| captured.lie.stalls())
    }

    /// Height of the newest final root block at any seat.
    pub(super) fn height(&self) -> Height {
        Height(self.chain.len() as u64)
    }

    /// The last block of a shard that was decided before a time.
    pub(super) fn quiet_height(&self, domain: DomainId, until_ms: u64) -> Option<Height> {
        let blocks = self.decided.range((domain, Height::ZERO)..=(domain, Height(u64::MAX)));
        blocks.filter(|(_, (_, at_ms))| *at_ms < until_ms).map(|((_, height), _)| *height).next_back()
    }

    /// What is still to be consumed, or to be found out.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let mut left = Vec::new();
        if self.lied && !self.convicted {
            left.push("the captured shard's lie was not found out".into());
        }
        if self.stalls() {
            return left;
        }
        let unshown = self.plan.captured.filter(|captured| captured.lie == Lie::Unshown);
        let unshown = unshown.map(|captured| (captured.domain, DomainId::ROOT));
        for ((source, destination), lane) in &self.lanes {
            let waits = !lane.is_empty() && unshown != Some((*source, *destination));
            if waits && !self.plan.is_captured(*destination) {
                left.push(format!("{} messages wait from {source} to {destination}", lane.len()));
            }
        }
        let owed =
            |(by, of): &&(DomainId, DomainId)| !self.plan.is_captured(*by) && !self.plan.is_captured(*of);
        let owed = self.asked.values().filter(owed).count();
        if owed > 0 {
            left.push(format!("{owed} calls were not answered"));
        }
        left
    }

    /// Adds what was counted to a report.
    pub(super) fn count(&mut self, report: &mut Report) {
        report.violations.append(&mut self.findings);
        let counts = &self.counts;
        (report.operations, report.messages) = (counts.operations, counts.messages);
        (report.bounces, report.shard_blocks) = (counts.bounces, counts.shard_blocks);
        report.root_blocks = counts.root_blocks;
        report.root_messages = counts.root_messages;
        (report.calls, report.answers, report.unasked) = (counts.calls, counts.answers, counts.unasked);
        report.issued = self.issued;
        report.evidence.extend(counts.evidence.clone());
        (report.loot, report.loot_max) = (self.loot, self.loot_max);
        report.trace_hash = self.digest;
    }
}
