//! The steps of the model, and what must hold in every state.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use anfs_primitives::CertificateKind;

use crate::explore::Mixer;
use crate::flaw::Flaw;
use crate::law::{Law, Opening, Outcome};
use crate::openings::OpeningKey;
use crate::state::{Blocks, HONEST, Mark, Promise, STAGES_MAX, Seat, State, Votes, Word};
use crate::tree::{BlockId, HEIGHTS, Tree};

/// What happens between two states. The rest can be read off the states.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// An honest verifier signs.
    Vote { seat: usize, block: BlockId, word: Word },
    /// It learns of a certificate and decides.
    Decide { seat: usize, block: BlockId },
    /// All who have approved a block call it valid in full.
    Prepare { block: BlockId },
    /// All that will ever be signed in this view is signed.
    Leave,
    /// Some promise to enter the next.
    Promise,
}

/// How finely a run is cut into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Every vote and every decision of a seat is a step.
    Fine,
    /// `Valid, Full` votes are one step, `Invalid` ones none, and a seat decides when it must: to commit or
    /// approve above, or when it leaves. For the right rules this loses nothing: whoever has approved a good
    /// block can call it valid in full at any time, and whoever calls it invalid can as well be silent; a
    /// conviction of a wrong block is always at hand. Deciding earlier only forbids.
    Coarse,
}

/// What is held against each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// All that is below.
    All,
    /// Only what a user would feel: two chains decided, or a convicted block.
    Harm,
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub(crate) enum Violation {
    /// Two blocks are decided that are not on one chain.
    Fork(BlockId, BlockId),
    /// A convicted block is decided.
    Convicted(BlockId),
    /// An honest verifier has signed evidence against itself.
    Contradiction(usize),
    /// A good opening of a later view does not keep a decided block.
    Excluded(BlockId, Opening),
}

/// A tree of blocks, a number of views, the rules, and what to check.
pub(crate) struct Model {
    pub(crate) tree: Rc<Tree>,
    pub(crate) law: Law,
    /// Views with votes; the openings of one view more are looked at.
    pub(crate) stages: u8,
    grain: Grain,
    pub(crate) checks: Checks,
    /// Openings by what they follow from.
    pub(crate) known: HashMap<OpeningKey, Rc<[Opening]>, Mixer>,
}

impl Model {
    pub(crate) fn new(tree: Tree, stages: u8, grain: Grain, flaw: Option<Flaw>, checks: Checks) -> Self {
        assert!(usize::from(stages) <= STAGES_MAX, "packed fields hold {STAGES_MAX} views");
        let tree = Rc::new(tree);
        let law = Law::new(tree.clone(), flaw);
        Self { tree, law, stages, grain, checks, known: HashMap::default() }
    }

    /// Nothing signed yet; with no block wrong, or any one of them.
    pub(crate) fn starts(&self) -> Vec<State> {
        let wrong = self.tree.all().map(|block| Blocks(1 << block));
        let starts = [Blocks::default()].into_iter().chain(wrong);
        let starts = starts.map(|invalid| State { invalid, ..State::default() }.canonical(&self.tree));
        starts.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// All that can happen next, in no particular naming.
    pub(crate) fn steps(&mut self, state: &State, sink: &mut dyn FnMut(Step, State)) {
        if state.between {
            return self.promise(state, sink);
        }
        if state.stage == self.stages {
            return;
        }
        let openings = self.openings(state);
        for block in self.tree.all() {
            for seat in 0..HONEST {
                match self.grain {
                    Grain::Fine => self.decide(state, seat, block, sink),
                    Grain::Coarse => self.vote_above(state, seat, block, &openings, sink),
                }
                if self.may_stand(state, seat, block, &openings) {
                    self.votes(state, seat, block, sink);
                }
            }
            if self.grain == Grain::Coarse {
                self.prepare(state, block, sink);
            }
        }
        self.leave(state, sink);
    }

    fn decide(&self, state: &State, seat: usize, block: BlockId, sink: &mut dyn FnMut(Step, State)) {
        if let Some(decided) = self.decided(state, &state.seats[seat], block) {
            let mut next = *state;
            next.seats[seat] = decided;
            sink(Step::Decide { seat, block }, next);
        }
    }

    /// The seat with this block decided, if a certificate exists and it is next.
    fn decided(&self, state: &State, seat: &Seat, block: BlockId) -> Option<Seat> {
        if !state.certified().has(block) || seat.tip != self.below(block) {
            return None;
        }
        let mut next = Seat { tip: block + 1, ..*seat };
        self.forget_decided(&mut next);
        Some(next)
    }

    /// The parent in packed form.
    pub(crate) fn below(&self, block: BlockId) -> u8 {
        self.tree.parent(block).map_or(0, |parent| parent + 1)
    }

    /// Decides the parent, and does what was not allowed before.
    fn vote_above(
        &mut self,
        state: &State,
        seat: usize,
        block: BlockId,
        openings: &[Opening],
        sink: &mut dyn FnMut(Step, State),
    ) {
        let Some(parent) = self.tree.parent(block) else { return };
        let Some(lifted) = self.decided(state, &state.seats[seat], parent) else { return };
        let before = *state;
        let mut state = *state;
        state.seats[seat] = lifted;
        if self.may_stand(&state, seat, block, openings) {
            let free = self.may_stand(&before, seat, block, openings);
            self.votes(&state, seat, block, &mut |step, next| {
                // An approval that needs no decided parent is a step of its own.
                let needed = !matches!(step, Step::Vote { word: Word::Sliced, .. }) || !free;
                if needed {
                    sink(step, next);
                }
            });
        }
    }

    fn prepare(&mut self, state: &State, block: BlockId, sink: &mut dyn FnMut(Step, State)) {
        let stage = usize::from(state.stage);
        if state.prepares[stage].has(block) || state.invalid.has(block) {
            return;
        }
        let voters = state.seats.iter().filter(|seat| {
            let approved = seat.votes.has(block, Word::Sliced);
            approved && self.law.may_vote(seat, state.view(), block, Word::Full)
        });
        if voters.count() >= self.law.honest_votes(CertificateKind::Prepare) {
            let mut next = *state;
            next.prepares[stage].add(block);
            sink(Step::Prepare { block }, next);
        }
    }

    fn forget_decided(&self, seat: &mut Seat) {
        for height in 1..=self.tip_height(seat.tip) {
            seat.approved[height - 1] = Mark::NONE;
            seat.prepared[height - 1] = Mark::NONE;
        }
    }

    pub(crate) fn tip_height(&self, packed: u8) -> usize {
        packed.checked_sub(1).map_or(0, |block| self.tree.height(block))
    }

    /// The block and its ancestors above the seat's tip, downwards, if it stands on the tip.
    pub(crate) fn chain_above(&self, tip: u8, block: BlockId) -> Option<&[BlockId]> {
        let chain = self.tree.chain(block);
        let Some(tip) = tip.checked_sub(1) else { return Some(chain) };
        let end = chain.iter().position(|&below| below == tip)?;
        (end > 0).then(|| &chain[..end])
    }

    /// Whether the block may stand at its height in the present view, for this seat: R8, and R6 where a
    /// leader must have shown what he carries on. The seat may have restarted and been shown another opening
    /// since its last vote, so any that exists will do.
    fn may_stand(&self, state: &State, seat: usize, block: BlockId, openings: &[Opening]) -> bool {
        let own = &state.seats[seat];
        let Some(chain) = self.chain_above(own.tip, block) else { return false };
        let child_first = self.law.flaw == Some(Flaw::ChildBeforeParent);
        if !child_first && !chain[1..].iter().all(|&below| own.votes.approves(below)) {
            return false;
        }
        if state.stage == 0 || self.law.flaw == Some(Flaw::NoOpening) {
            return true;
        }
        openings.iter().any(|opening| chain.iter().all(|&block| self.admits(&opening.outcome, block)))
    }

    pub(crate) fn admits(&self, outcome: &Outcome, block: BlockId) -> bool {
        let height = self.tree.height(block);
        match outcome.carried[height - 1] {
            0 => height > self.tip_height(outcome.ground),
            carried => carried == block + 1,
        }
    }

    fn votes(&mut self, state: &State, seat: usize, block: BlockId, sink: &mut dyn FnMut(Step, State)) {
        let own = &state.seats[seat];
        let wrong = state.invalid.has(block);
        let others = state.seats.iter().filter(|seat| seat.votes.has(block, Word::Sliced)).count();
        let on_tip = self.below(block) == own.tip;
        let prepared = state.prepares[usize::from(state.stage)].has(block);
        for word in Word::ALL {
            if self.grain == Grain::Coarse && matches!(word, Word::Full | Word::Invalid) {
                continue;
            }
            let grounds = match word {
                // Whatever is wrong lies in a slice that an honest verifier checks.
                Word::Sliced => !wrong || others + 1 < HONEST,
                Word::Full => !wrong && own.votes.has(block, Word::Sliced),
                Word::Invalid => {
                    let changed = self.law.flaw == Some(Flaw::ChangeOfMind);
                    wrong || (changed && own.votes.has(block, Word::Full))
                }
                Word::Commit => prepared && (on_tip || self.law.flaw == Some(Flaw::CommitOnUndecided)),
            };
            if grounds && !own.votes.has(block, word) && self.law.may_vote(own, state.view(), block, word) {
                let mut next = *state;
                next.seats[seat].votes.add(block, word);
                self.certify(&mut next, block, word);
                sink(Step::Vote { seat, block, word }, next);
            }
        }
    }

    fn certify(&self, state: &mut State, block: BlockId, word: Word) {
        let kind = match word {
            Word::Sliced => CertificateKind::Fast,
            Word::Full => CertificateKind::Prepare,
            Word::Invalid => CertificateKind::Conviction,
            Word::Commit => CertificateKind::Commit,
        };
        let votes = state.seats.iter().filter(|seat| seat.votes.has(block, word)).count();
        if votes >= self.law.honest_votes(kind) {
            match kind {
                CertificateKind::Fast | CertificateKind::Commit => state.decided_now.add(block),
                CertificateKind::Prepare => state.prepares[usize::from(state.stage)].add(block),
                CertificateKind::Conviction => state.convicted.add(block),
            }
        }
    }

    /// All that will ever be signed in this view is signed: what remains of it is what promises can tell.
    fn leave(&mut self, state: &State, sink: &mut dyn FnMut(Step, State)) {
        let mut after = *state;
        after.stage += 1;
        after.between = true;
        after.decided = state.certified();
        after.decided_now = Blocks::default();
        for seat in &mut after.seats {
            for height in 1..=HEIGHTS {
                let slot = height - 1;
                seat.approved[slot] =
                    self.law.approved(seat.approved[slot], seat.votes, state.view(), height);
                let committed = self.tree.at(height).find(|&block| seat.votes.has(block, Word::Commit));
                if let Some(block) = committed {
                    seat.prepared[slot] = Mark::new(state.view(), block);
                }
            }
            seat.promise = None;
            seat.votes = Votes::default();
            self.forget_decided(seat);
        }
        if self.law.flaw != Some(Flaw::VoteBelowPromise) {
            return sink(Step::Leave, after);
        }
        // What they tell is from before they voted.
        let stale = state.seats.map(|seat| self.ways_to_promise(state, &seat));
        let mut now = after.seats.into_iter();
        let ways = stale.map(|stale| {
            let fresh = now.next().expect("as many seats as before");
            let told = stale.into_iter().map(|seat| seat.promise);
            let told = told.map(|promise| {
                let mut seat = fresh;
                seat.promise = promise;
                seat
            });
            told.chain(self.ways_to_promise(&after, &fresh)).collect()
        });
        self.enter(&after, &ways, sink);
    }

    fn promise(&self, state: &State, sink: &mut dyn FnMut(Step, State)) {
        let ways = state.seats.map(|seat| self.ways_to_promise(state, &seat));
        self.enter(state, &ways, sink);
    }

    fn enter(&self, state: &State, ways: &[Vec<Seat>; HONEST], sink: &mut dyn FnMut(Step, State)) {
        for &first in &ways[0] {
            for &second in &ways[1] {
                for &third in &ways[2] {
                    let mut next = *state;
                    next.between = false;
                    next.seats = [first, second, third];
                    let promised = next.seats.iter().filter(|seat| seat.promise.is_some()).count();
                    // With fewer the view never opens; the views between two stages stand for those.
                    if promised + 1 < self.law.promises() {
                        continue;
                    }
                    if state.stage == self.stages {
                        // Nothing is signed any more: only the openings remain to be looked at.
                        for seat in &mut next.seats {
                            let promise = seat.promise;
                            *seat = Seat::default();
                            seat.promise = promise;
                        }
                    }
                    sink(Step::Promise, next);
                }
            }
        }
    }

    /// The seat as it enters the stage's view: without a promise, or with any that it can make. It may have
    /// seen PrepareCerts that it did not commit on.
    fn ways_to_promise(&self, state: &State, seat: &Seat) -> Vec<Seat> {
        let mut tips = vec![*seat];
        if self.grain == Grain::Coarse {
            for block in self.tree.all() {
                let more: Vec<_> = tips.iter().filter_map(|seat| self.decided(state, seat, block)).collect();
                tips.extend(more);
            }
        }
        let mut ways = Vec::new();
        for seat in tips {
            let mut way = seat;
            way.promise = None;
            ways.push(way);
            for promise in self.promises(state, &seat) {
                way.promise = Some(promise);
                ways.push(way);
            }
        }
        ways
    }

    fn promises(&self, state: &State, seat: &Seat) -> Vec<Promise> {
        let tip = if self.law.flaw == Some(Flaw::PromiseWithoutTip) { 0 } else { seat.tip };
        let own = Promise { tip, approved: seat.approved, prepared: seat.prepared };
        if self.law.flaw == Some(Flaw::PromiseWithoutPrepared) {
            return vec![Promise { prepared: [Mark::NONE; HEIGHTS], ..own }];
        }
        let mut all = vec![own];
        for height in self.tip_height(seat.tip) + 1..=HEIGHTS {
            let slot = height - 1;
            let seen = self.prepares(&state.prepares, state.stage, height);
            let higher: Vec<Mark> = seen.filter(|mark| mark.view() > own.prepared[slot].view()).collect();
            for at in 0..all.len() {
                for &mark in &higher {
                    let mut more = all[at];
                    more.prepared[slot] = mark;
                    all.push(more);
                }
            }
        }
        all
    }

    /// The first invariant that the state breaks.
    pub(crate) fn violation(&mut self, state: &State) -> Option<Violation> {
        let certified = state.certified();
        for a in certified.iter() {
            if let Some(b) = certified.iter().find(|&b| !self.on_one_chain(a, b)) {
                return Some(Violation::Fork(a, b));
            }
            if state.convicted.has(a) {
                return Some(Violation::Convicted(a));
            }
        }
        if self.checks == Checks::Harm {
            return None;
        }
        if let Some(seat) = (0..HONEST).find(|&seat| self.law.contradicts(state.seats[seat].votes)) {
            return Some(Violation::Contradiction(seat));
        }
        if state.seats.iter().any(|seat| seat.votes != Votes::default()) {
            // The openings of a view are the same all through it.
            return None;
        }
        let openings = self.openings(state);
        openings.iter().find_map(|opening| {
            let lost = state.decided.iter().find(|&block| !self.keeps(&opening.outcome, block));
            lost.map(|block| Violation::Excluded(block, opening.clone()))
        })
    }

    fn on_one_chain(&self, a: BlockId, b: BlockId) -> bool {
        self.tree.extends(a, b) || self.tree.extends(b, a)
    }

    fn keeps(&self, outcome: &Outcome, block: BlockId) -> bool {
        let grounded = outcome.ground.checked_sub(1).is_some_and(|ground| self.tree.extends(ground, block));
        grounded || outcome.carried[self.tree.height(block) - 1] == block + 1
    }
}
