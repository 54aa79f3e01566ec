//! An honest seat: the production core and a node around it that carries out its effects.

use std::collections::BTreeMap;
use std::sync::Arc;

use anfs_consensus::shard::SERVE_BLOCKS_MAX;
use anfs_consensus::{Anchor, Depth, Effect, Input, LogRecord, ShardConfig, ShardCore};
use anfs_primitives::{
    Block, BlockHash, ConsensusMessage, Height, SealedHeader, SeatIndex, SignerSet, Slot, View,
};

use crate::blocks::{self, ENTRIES, Flaw, Recipe};
use crate::rng::Rng;
use crate::seat::{Action, Boot, Decided, Outbox, Seat, SeatInput, Work};

/// Decided blocks between two rewritings of the log.
const COMPACT_EVERY: u64 = 16;
/// Entries of a block that travel ahead of its slot's end.
const EARLY_ENTRIES: usize = 2;

/// A node that follows the protocol. Byzantine actors may wrap it and change what it does.
#[derive(Debug)]
pub struct Node {
    core: ShardCore,
    /// Takes the same inputs and must give the same effects.
    shadow: Option<ShardCore>,
    seat: SeatIndex,
    config: ShardConfig,
    check_ms: u64,
    rng: Rng,
    salt: u64,
    chain: Vec<Decided>,
    /// Headers that may be built upon: the tip's, and those above it.
    headers: BTreeMap<BlockHash, SealedHeader>,
    effects: Vec<Effect>,
    /// The latest block asked of the builder: what was asked before is no longer wanted.
    asked: Option<(Height, Slot, View, BlockHash)>,
    /// Builds blocks that are wrong in this way, until told otherwise: for actors that wrap the node.
    pub flaw: Option<Flaw>,
    /// Checks nothing and finds everything right: for actors that wrap the node.
    pub lazy: bool,
    failed: bool,
}

/// Builds the core that a disk holds.
///
/// # Errors
/// When the core refuses its configuration.
pub fn rebuild(
    boot: &Boot,
    chain: &[Decided],
    log: &[LogRecord],
) -> Result<ShardCore, anfs_consensus::ConsensusError> {
    let tip = chain.last().map_or(&boot.genesis, |tip| &tip.block.header);
    let recent = &chain[chain.len().saturating_sub(boot.config.reach())..];
    let anchor = Anchor::new(tip, recent.iter().map(|decided| decided.certificate.clone()));
    let crypto = Arc::new(boot.crypto.clone());
    ShardCore::new(boot.config.clone(), Some(boot.seat), crypto, anchor, log.to_vec())
}

impl Node {
    /// Starts from a disk.
    ///
    /// # Panics
    /// When the plan describes no possible shard.
    #[must_use]
    pub fn new(boot: Boot) -> Self {
        let wake = || {
            let mut core = rebuild(&boot, &boot.chain, &boot.log).expect("plans describe possible shards");
            if boot.emptied {
                core.watch_first();
            }
            core
        };
        let (core, shadow) = (wake(), boot.shadowed.then(wake));
        let tip = boot.tip().clone();
        Self {
            core,
            shadow,
            seat: boot.seat,
            check_ms: boot.timing.check_ms,
            rng: boot.rng,
            // A restarted proposer builds another block, as a real one would.
            salt: boot.incarnation,
            headers: BTreeMap::from([(tip.hash(), tip)]),
            chain: boot.chain,
            config: boot.config,
            effects: Vec::new(),
            asked: None,
            flaw: None,
            lazy: false,
            failed: false,
        }
    }

    /// Its decided blocks, from height 1 on.
    #[must_use]
    pub fn chain(&self) -> &[Decided] {
        &self.chain
    }

    fn perform(&mut self, now_ms: u64, effect: Effect, out: &mut Outbox) {
        match effect {
            Effect::StartSlot { height, slot, view, parent } => {
                self.build(now_ms, (height, slot, view, parent), out);
            }
            Effect::Check { block, depth, slices } => self.check(now_ms, &block, depth, slices, out),
            Effect::Persist(record) => out.push(Action::Persist(record)),
            Effect::Send { to, message } => out.send(to, message),
            Effect::Broadcast(message) => out.broadcast(message),
            Effect::ServeBlocks { to, from } => self.serve(to, from, out),
            Effect::Decided { block, certificate } => self.decide(Decided { block, certificate }, out),
            Effect::Evidence(evidence) => out.push(Action::Evidence(evidence)),
            Effect::Penalise { seat, offence } => out.push(Action::Penalise { seat, offence }),
            Effect::WakeAt(at_ms) => out.push(Action::WakeAt(at_ms)),
            // Executed ahead for speed alone.
            Effect::Entries { .. } | Effect::Drop(_) => {}
        }
    }

    fn build(&mut self, now_ms: u64, asked: (Height, Slot, View, BlockHash), out: &mut Outbox) {
        let (height, slot, view, parent) = asked;
        self.asked = Some(asked);
        let Some(parent) = self.headers.get(&parent) else {
            return self.fail(format!("asked to build height {height} on an unknown parent"), out);
        };
        let recipe = Recipe { slot, view, proposer: self.seat, salt: self.salt, flaw: self.flaw };
        let block = blocks::build(parent, &recipe);
        out.push(Action::Building { height, slot, view });
        out.broadcast(ConsensusMessage::Fragment(blocks::fragment(&block, 0..EARLY_ENTRIES)));
        let at_ms = self.config.slot_start_ms(slot.next()).max(now_ms + 1);
        out.push(Action::WorkUntil { at_ms, work: Work::Built(Box::new(block)) });
    }

    fn check(&mut self, now_ms: u64, block: &Block, depth: Depth, slices: SignerSet, out: &mut Outbox) {
        let header = &block.header;
        if !self.headers.contains_key(&header.parent) {
            let height = header.height;
            return self.fail(format!("asked to check height {height} on an unknown parent"), out);
        }
        self.headers.insert(header.hash(), header.clone());
        let result = if self.lazy { Ok(()) } else { blocks::check(header, slices) };
        let effort = self.check_ms * if depth == Depth::Full { 2 } else { 1 };
        let at_ms = now_ms + 1 + self.rng.below(effort + 1);
        let work = Work::Checked { block: header.hash(), depth, result };
        out.push(Action::WorkUntil { at_ms, work });
    }

    fn serve(&mut self, to: SeatIndex, from: Height, out: &mut Outbox) {
        let first = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        for served in self.chain.iter().skip(first).take(SERVE_BLOCKS_MAX) {
            out.send(to, ConsensusMessage::Block(Box::new(served.to_certified())));
        }
    }

    fn decide(&mut self, decided: Decided, out: &mut Outbox) {
        let header = decided.block.header.clone();
        if header.height.0 != self.chain.len() as u64 + 1 {
            return self.fail(format!("decided height {} out of turn", header.height), out);
        }
        self.headers.retain(|_, held| held.height > header.height);
        self.headers.insert(header.hash(), header);
        self.chain.push(decided.clone());
        out.push(Action::Decide(decided));
    }

    fn fail(&mut self, text: String, out: &mut Outbox) {
        self.failed = true;
        out.push(Action::Fail(text));
    }
}

impl Seat for Node {
    fn step(&mut self, now_ms: u64, input: SeatInput, out: &mut Outbox) {
        if self.failed {
            return;
        }
        let input = match input {
            SeatInput::Start => Input::Start,
            SeatInput::Tick => Input::Tick,
            SeatInput::Message { from, message } => {
                Input::Message { from, message: Arc::unwrap_or_clone(message) }
            }
            SeatInput::Done(Work::Built(block)) => {
                let header = &block.header;
                if self.asked != Some((header.height, header.slot, header.view, header.parent)) {
                    return;
                }
                let rest = blocks::fragment(&block, EARLY_ENTRIES..ENTRIES);
                out.broadcast(ConsensusMessage::Fragment(rest));
                self.headers.insert(block.header.hash(), block.header.clone());
                Input::Built(block)
            }
            SeatInput::Done(Work::Checked { block, depth, result }) => {
                Input::Checked { block, depth, result }
            }
            SeatInput::Done(Work::Remind(_)) => return,
        };
        let before = self.core.tip().parent.height;
        let mut effects = std::mem::take(&mut self.effects);
        let copy = self.shadow.as_ref().map(|_| input.clone());
        let result = self.core.step(now_ms, input, &mut effects);
        if let (Some(shadow), Some(input)) = (&mut self.shadow, copy) {
            let mut again = Vec::new();
            let same = shadow.step(now_ms, input, &mut again).is_ok() == result.is_ok();
            if !same || again != effects {
                return self.fail("the same inputs gave other effects".into(), out);
            }
        }
        for effect in effects.drain(..) {
            self.perform(now_ms, effect, out);
        }
        self.effects = effects;
        if let Err(error) = result {
            return self.fail(error.to_string(), out);
        }
        let after = self.core.tip().parent.height;
        if before.0 / COMPACT_EVERY != after.0 / COMPACT_EVERY {
            out.push(Action::Compact(self.core.live_records()));
        }
    }

    fn core(&self) -> Option<&ShardCore> {
        Some(&self.core)
    }
}
