//! Checkers: what must hold of everything that honest seats sign, send and decide.
//!
//! A signature counts from the moment in which it is safe on disk: before that, a crash may take it back, and
//! nobody has seen it. What goes out must be safe.
//!
//! Beyond what seats decide, the checker looks at what *could* be decided: with the signatures of all faulty
//! verifiers thrown in, no two blocks of one height may ever have a certificate.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use alloy_primitives::B256;
use anfs_consensus::{Evidence, LogRecord, Offence, ShardConfig, ShardCore};
use anfs_poh::entries_root;
use anfs_primitives::{
    Block, BlockHash, BlsSignature, Certificate, CertificateKind, ConsensusMessage, Height, NewView,
    SealedHeader, SeatIndex, SignedViewChange, SignedVote, Slot, View, ViewChange, VoteKind,
};

use crate::blocks::flaw_of;
use crate::crypto::Keys;
use crate::light;
use crate::plan::Plan;
use crate::report::{Report, Rule};
use crate::seat::Decided;

/// What one seat said of one (height, view).
#[derive(Clone, Copy, Debug)]
struct Said {
    block: BlockHash,
    /// One bit for each kind.
    kinds: u8,
}

/// What one honest seat has signed and cannot take back.
#[derive(Debug, Default)]
struct Signed {
    votes: BTreeMap<(Height, View), Said>,
    proposals: BTreeMap<(Height, View), BlockHash>,
    promise: Option<SignedViewChange>,
    openings: BTreeMap<View, BlsSignature>,
    /// Written and not yet synced.
    pending: Vec<LogRecord>,
    /// Blocks above the tip whose bodies are written.
    bodies: BTreeSet<(Height, BlockHash)>,
    /// Its disk broke its word: nothing is held against it any more.
    distrusted: bool,
}

impl Signed {
    fn note_body(&mut self, record: &LogRecord) {
        if let LogRecord::Proposal { block, .. } = record {
            self.bodies.insert((block.header.height, block.header.hash()));
        }
    }
}

/// Votes of honest verifiers for one block in one view.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sliced: usize,
    commits: usize,
}

/// The block that was decided at one height.
#[derive(Debug)]
struct Canonical {
    link: Link,
    body: Arc<Block>,
    certificate: Certificate,
}

/// What the next block must stand on.
#[derive(Clone, Copy, Debug)]
struct Link {
    block: BlockHash,
    slot: Slot,
    poh_end: B256,
}

impl Link {
    fn of(header: &SealedHeader) -> Self {
        Self { block: header.hash(), slot: header.slot, poh_end: header.poh_end }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Checker {
    keys: Arc<Keys>,
    config: ShardConfig,
    genesis: Link,
    /// Byzantine verifiers: their signatures are to be had for any block.
    for_sale: usize,
    seats: Vec<Signed>,
    tallies: BTreeMap<(Height, View, BlockHash), Tally>,
    certifiable: BTreeMap<Height, BlockHash>,
    flawed: BTreeSet<BlockHash>,
    chain: BTreeMap<Height, Canonical>,
    convicted: BTreeSet<BlockHash>,
    highest_view: View,
    /// Openings of views that anyone has shown, by their signatures.
    openings: BTreeSet<BlsSignature>,
    /// Views that one of them opens as the rules have it, and the height that it shows decided.
    open: BTreeMap<View, Height>,
    findings: Vec<(Rule, String)>,
}

fn bit(kind: VoteKind) -> u8 {
    1 << (kind as u8)
}

const POSITIVE: [VoteKind; 3] = [VoteKind::ValidSliced, VoteKind::ValidFull, VoteKind::Commit];

/// Kinds that an honest seat cannot have signed of a block when it signs this one.
fn excluded(kind: VoteKind) -> u8 {
    let negative = bit(VoteKind::InvalidSliced) | bit(VoteKind::InvalidFull);
    let positive: u8 = POSITIVE.into_iter().map(bit).sum();
    match kind {
        VoteKind::ValidSliced | VoteKind::ValidFull | VoteKind::Commit => negative,
        VoteKind::InvalidSliced => positive,
        VoteKind::InvalidFull => positive & !bit(VoteKind::ValidSliced),
    }
}

impl Checker {
    /// A checker for a run that has not begun.
    #[must_use]
    pub fn new(plan: &Plan, keys: Arc<Keys>, genesis: &SealedHeader) -> Self {
        let byzantine = plan.byzantine.keys();
        Self {
            keys,
            config: plan.config((Height::ZERO, genesis.hash())),
            genesis: Link::of(genesis),
            for_sale: byzantine.filter(|seat| seat.verifier_index().is_some()).count(),
            seats: plan.seats().map(|_| Signed::default()).collect(),
            tallies: BTreeMap::new(),
            certifiable: BTreeMap::new(),
            flawed: BTreeSet::new(),
            chain: BTreeMap::new(),
            convicted: BTreeSet::new(),
            highest_view: View::ZERO,
            openings: BTreeSet::new(),
            open: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// What was found since the last call.
    pub fn take_findings(&mut self) -> Vec<(Rule, String)> {
        mem::take(&mut self.findings)
    }

    fn find(&mut self, rule: Rule, text: String) {
        self.findings.push((rule, text));
    }

    /// The highest decided block's height.
    #[must_use]
    pub fn highest(&self) -> Height {
        self.chain.last_key_value().map_or(Height::ZERO, |(&height, _)| height)
    }

    /// Fills in what the checker has counted.
    pub fn count(&self, report: &mut Report) {
        let fast =
            self.chain.values().filter(|block| block.certificate.kind == CertificateKind::Fast).count();
        report.counts.fast = fast as u64;
        report.counts.slow = (self.chain.len() - fast) as u64;
        report.counts.decided_heights = self.highest().0;
        report.counts.convictions = self.convicted.len() as u64;
        report.counts.views_changed = self.highest_view.0;
    }

    /// The seat's disk has broken its word.
    pub fn distrust(&mut self, seat: SeatIndex) {
        self.seats[usize::from(seat.0)].distrusted = true;
    }

    /// A seat has written to its log, not yet synced.
    pub fn persisted(&mut self, seat: SeatIndex, record: &LogRecord) {
        self.seats[usize::from(seat.0)].pending.push(record.clone());
    }

    /// What a seat whose decided tip is this is about to write must stand on what it has written before.
    pub fn writing(&mut self, seat: SeatIndex, tip: Height, record: &LogRecord) {
        let signed = &mut self.seats[usize::from(seat.0)];
        signed.bodies = signed.bodies.split_off(&(tip.next(), BlockHash::ZERO));
        signed.note_body(record);
        let trusted = !signed.distrusted;
        let LogRecord::Vote(vote) = record else { return };
        let (kind, height, block) = (vote.kind, vote.target.height, vote.target.block);
        let view = vote.target.view;
        let ground = self.open.get(&view).copied().or((view == View::ZERO).then_some(Height::ZERO));
        if trusted && ground.is_none() {
            self.find(Rule::Promise, format!("voted in view {view}, which no quorum of promises has opened"));
        }
        if let Some(ground) = ground.filter(|ground| trusted && height <= *ground) {
            let text = format!("voted at height {height} in view {view}, which was opened on {ground}");
            self.find(Rule::Promise, text);
        }
        let signed = &self.seats[usize::from(seat.0)];
        // Whoever approves a block can serve it, whatever becomes of its proposer.
        let bare = matches!(kind, VoteKind::ValidSliced | VoteKind::Commit)
            && !signed.bodies.contains(&(height, block));
        if trusted && bare {
            let text = format!("signed {kind:?} at height {height} without the body in its log");
            self.find(Rule::WriteAhead, text);
        }
        if trusted && kind == VoteKind::Commit && height != tip.next() {
            self.find(
                Rule::Validity,
                format!("committed at height {height} on an undecided parent, tip {tip}"),
            );
        }
    }

    /// What the seat has written is safe.
    pub fn synced(&mut self, seat: SeatIndex) {
        let mut pending = mem::take(&mut self.seats[usize::from(seat.0)].pending);
        for record in pending.drain(..) {
            self.commit(seat, &record);
        }
        self.seats[usize::from(seat.0)].pending = pending;
    }

    /// The seat has died; this is what its disk still has.
    pub fn crashed(&mut self, seat: SeatIndex, log: &[LogRecord]) {
        let signed = &mut self.seats[usize::from(seat.0)];
        signed.pending.clear();
        signed.bodies.clear();
        log.iter().for_each(|record| signed.note_body(record));
        for record in log {
            self.commit(seat, record);
        }
    }

    fn commit(&mut self, seat: SeatIndex, record: &LogRecord) {
        if self.seats[usize::from(seat.0)].distrusted {
            return;
        }
        match record {
            LogRecord::Vote(vote) => self.commit_vote(seat, vote),
            LogRecord::Proposal { block, .. } if block.header.proposer == seat => {
                self.commit_proposal(seat, &block.header);
            }
            LogRecord::ViewChange(signed) => self.commit_promise(seat, signed),
            LogRecord::NewView(opening) => {
                let signed = &mut self.seats[usize::from(seat.0)];
                let held = signed.openings.insert(opening.view, opening.signature);
                if held.is_some_and(|held| held != opening.signature) {
                    let text = format!("opened view {} twice", opening.view);
                    self.find(Rule::Contradiction, text);
                }
            }
            LogRecord::Proposal { .. }
            | LogRecord::Prepared(_)
            | LogRecord::Standing(_)
            | LogRecord::Floor(_) => {}
        }
    }

    fn promised(&self, seat: SeatIndex) -> View {
        self.seats[usize::from(seat.0)].promise.as_ref().map_or(View::ZERO, |held| held.change.view)
    }

    fn commit_vote(&mut self, seat: SeatIndex, vote: &SignedVote) {
        let target = &vote.target;
        let (height, view, block) = (target.height, target.view, target.block);
        let promised = self.promised(seat);
        let votes = &mut self.seats[usize::from(seat.0)].votes;
        let said = votes.entry((height, view)).or_insert(Said { block, kinds: 0 });
        let (first, before) = (said.block, said.kinds);
        if first == block && before & bit(vote.kind) != 0 {
            return;
        }
        said.kinds |= bit(vote.kind);
        if first != block {
            let text = format!("voted for {first} and {block} at height {height} view {view}");
            return self.find(Rule::Contradiction, text);
        }
        if before & excluded(vote.kind) != 0 {
            let text = format!("signed {:?} at height {height} view {view} after {before:#07b}", vote.kind);
            self.find(Rule::Contradiction, text);
        }
        if view < promised {
            let text = format!(
                "signed {:?} at height {height} in view {view} after it left for {promised}",
                vote.kind
            );
            self.find(Rule::Promise, text);
        }
        self.highest_view = self.highest_view.max(view);
        self.tally(vote);
    }

    /// With all that faulty verifiers may add, could this block be decided?
    fn tally(&mut self, vote: &SignedVote) {
        let target = &vote.target;
        let tally = self.tallies.entry((target.height, target.view, target.block)).or_default();
        match vote.kind {
            VoteKind::ValidSliced => tally.sliced += 1,
            VoteKind::Commit => tally.commits += 1,
            _ => return,
        }
        let voters = usize::from(self.config.verifiers);
        let quorum = voters - voters / 3;
        let sure = tally.sliced + self.for_sale >= voters || tally.commits + self.for_sale >= quorum;
        if !sure {
            return;
        }
        let (height, block) = (target.height, target.block);
        let held = *self.certifiable.entry(height).or_insert(block);
        if held != block {
            let text = format!("both {held} and {block} can be certified at height {height}");
            self.find(Rule::Agreement, text);
        }
        if self.flawed.contains(&block) {
            self.find(
                Rule::Validity,
                format!("the invalid block {block} can be certified at height {height}"),
            );
        }
    }

    fn commit_proposal(&mut self, seat: SeatIndex, header: &SealedHeader) {
        let promised = self.promised(seat);
        let round = (header.height, header.view);
        let proposals = &mut self.seats[usize::from(seat.0)].proposals;
        let held = *proposals.entry(round).or_insert(header.hash());
        if held != header.hash() {
            let text =
                format!("proposed {held} and {} at height {} view {}", header.hash(), round.0, round.1);
            self.find(Rule::Contradiction, text);
        }
        // A log repeats what it kept from before the promise.
        if header.view < promised && held != header.hash() {
            self.find(
                Rule::Promise,
                format!("proposed in view {} after it left for {promised}", header.view),
            );
        }
    }

    fn commit_promise(&mut self, seat: SeatIndex, signed: &SignedViewChange) {
        let view = signed.change.view;
        match &self.seats[usize::from(seat.0)].promise {
            Some(held) if held == signed || held.change.view > view => return,
            Some(held) if held.change.view == view => {
                return self.find(Rule::Contradiction, format!("made two promises for view {view}"));
            }
            _ => {}
        }
        if let Some(text) = self.untrue(seat, &signed.change) {
            self.find(Rule::Promise, text);
        }
        self.seats[usize::from(seat.0)].promise = Some(signed.clone());
    }

    /// What a promise fails to tell of what its signer has voted for.
    fn untrue(&self, seat: SeatIndex, change: &ViewChange) -> Option<String> {
        let tip = change.decided.last().map_or(Height::ZERO, |tip| tip.target.height);
        let votes = &self.seats[usize::from(seat.0)].votes;
        for (&(height, view), said) in votes.range((tip.next(), View::ZERO)..) {
            let report = change.reports.iter().find(|report| report.height == height);
            let approved = report.and_then(|report| report.approved);
            let prepared = report.and_then(|report| report.prepared.as_ref());
            let hidden = said.kinds & bit(VoteKind::ValidSliced) != 0
                && !approved.is_some_and(|told| told.0 > view || told == (view, said.block));
            if hidden {
                return Some(format!("the promise hides the approval at height {height} view {view}"));
            }
            let hidden = said.kinds & bit(VoteKind::Commit) != 0
                && !prepared.is_some_and(|told| {
                    told.target.view > view || (told.target.view, told.target.block) == (view, said.block)
                });
            if hidden {
                return Some(format!("the promise hides the commit at height {height} view {view}"));
            }
        }
        None
    }

    /// The opening of a view left any seat, honest or not.
    pub fn opened(&mut self, opening: &NewView) {
        let new = self.openings.insert(opening.signature);
        if new && light::check_opening(&self.keys, &self.config, opening).is_ok() {
            let tips = opening.changes.iter().filter_map(|signed| signed.change.decided.last());
            let ground = tips.map(|tip| tip.target.height).max().unwrap_or(Height::ZERO);
            // A leader may open its view twice: either binds only those who heard it.
            let held = self.open.entry(opening.view).or_insert(ground);
            *held = ground.min(*held);
        }
    }

    /// A proposal left any seat, honest or not.
    pub fn proposed(&mut self, header: &SealedHeader) {
        if flaw_of(header).is_some() {
            self.flawed.insert(header.hash());
        }
    }

    /// A message leaves an honest seat: what it has signed in it must be safe.
    pub fn sending(&mut self, seat: SeatIndex, message: &ConsensusMessage) {
        let signed = &self.seats[usize::from(seat.0)];
        if signed.distrusted {
            return;
        }
        let safe = match message {
            ConsensusMessage::Vote(vote) if vote.signer == seat => {
                let said = signed.votes.get(&(vote.target.height, vote.target.view));
                said.is_some_and(|said| said.block == vote.target.block && said.kinds & bit(vote.kind) != 0)
            }
            ConsensusMessage::Proposal(proposal) if proposal.header.proposer == seat => {
                let round = (proposal.header.height, proposal.header.view);
                signed.proposals.get(&round) == Some(&proposal.header.hash())
            }
            ConsensusMessage::ViewChange(change) if change.signer == seat => {
                signed.promise.as_ref() == Some(change)
            }
            ConsensusMessage::NewView(opening) if self.config.leader(opening.view) == seat => {
                signed.openings.get(&opening.view) == Some(&opening.signature)
            }
            _ => true,
        };
        if !safe {
            let text = format!("sent what is not in its log: {message:?}");
            self.find(Rule::WriteAhead, text.chars().take(400).collect());
        }
    }

    /// An honest seat has decided a block.
    pub fn decided(&mut self, decided: &Decided) {
        let header = &decided.block.header;
        let (height, hash) = (header.height, header.hash());
        let certificate = &decided.certificate;
        self.highest_view = self.highest_view.max(certificate.target.view);
        if let Some(held) = self.chain.get(&height) {
            let (first, same) = (held.link.block, held.certificate == *certificate);
            if first == hash && held.body.body != decided.block.body {
                self.find(Rule::Validity, format!("height {height} is decided with two bodies"));
            }
            if first != hash {
                self.find(Rule::Agreement, format!("height {height} is decided as {first} and as {hash}"));
            }
            if same {
                return;
            }
        }
        self.check_certificate(header, certificate);
        if self.chain.contains_key(&height) {
            return;
        }
        self.check_block(decided);
        let (body, certificate) = (decided.block.clone(), certificate.clone());
        let canonical = Canonical { link: Link::of(header), body, certificate };
        self.chain.insert(height, canonical);
    }

    fn check_certificate(&mut self, header: &SealedHeader, certificate: &Certificate) {
        let decides = matches!(certificate.kind, CertificateKind::Fast | CertificateKind::Commit);
        let names = certificate.target.block == header.hash() && certificate.target.height == header.height;
        let verdict = light::check_certificate(&self.keys, &self.config, certificate);
        let verdict = if decides && names { verdict } else { Err("does not decide its block") };
        if let Err(text) = verdict {
            self.find(Rule::Certificate, format!("at height {}, the certificate {text}", header.height));
        }
    }

    fn check_block(&mut self, decided: &Decided) {
        let header = &decided.block.header;
        let height = header.height;
        if let Some(flaw) = flaw_of(header) {
            self.find(Rule::Validity, format!("height {height} is decided with {flaw:?}"));
        }
        let below = height.prev().and_then(|below| self.chain.get(&below));
        let below = below.map_or(self.genesis, |below| below.link);
        let extends = header.parent == below.block && header.poh_start == below.poh_end;
        if !extends || header.slot <= below.slot {
            self.find(Rule::Validity, format!("height {height} does not extend its parent"));
        }
        let sized = header.boundaries.len() == usize::from(self.config.verifiers) + 1
            && header.gas_limit == self.config.block_gas_limit;
        if !sized || header.proposer != self.config.leader(header.view) {
            self.find(Rule::Validity, format!("height {height} has another size, or leader, than it must"));
        }
        if entries_root(&decided.block.body.entries) != header.entries_root {
            self.find(Rule::Validity, format!("the body of height {height} is not its header's"));
        }
    }

    /// An honest seat found a proof of misbehaviour; `innocent` says that the offender is honest.
    pub fn evidence(&mut self, evidence: &Evidence, innocent: bool, report: &mut Report) {
        let kind = match evidence {
            Evidence::Proposals { .. } => "two proposals",
            Evidence::Votes { .. } => "two votes",
            Evidence::ViewChanges { .. } => "two view changes",
            Evidence::NewViews { .. } => "two openings",
            Evidence::InvalidBlock { .. } => "invalid block",
            Evidence::FalseAlert { .. } => "false alert",
        };
        *report.counts.evidence.entry(kind).or_default() += 1;
        if let Evidence::InvalidBlock { block, .. } = evidence {
            self.convicted.insert(block.header.hash());
        }
        if innocent {
            self.find(Rule::Evidence, format!("{kind} held against honest seat {}", evidence.offender()));
        }
        if let Err(text) = light::check_evidence(&self.keys, &self.config, evidence) {
            self.find(Rule::Evidence, format!("{kind}: the evidence {text}"));
        }
    }

    /// An honest seat thinks less of another honest one.
    pub fn penalised(&mut self, whom: SeatIndex, offence: Offence) {
        let grave = matches!(
            offence,
            Offence::Signature | Offence::Certificate | Offence::View(_) | Offence::Foreign | Offence::Role
        );
        if grave {
            self.find(Rule::Evidence, format!("honest seat {whom} was penalised: it {offence}"));
        }
    }

    /// What an honest core keeps: votes, blocks in the making, rounds and logged blocks.
    pub fn load(&mut self, (votes, streams, rounds): (usize, usize, usize)) {
        // The window, and what the log holds of each view that is not over.
        let window = usize::from(2 * self.config.pipeline_depth + 1).max(16);
        let verifiers = usize::from(self.config.verifiers);
        if streams > window || rounds > 3 * window || votes > 4 * window * verifiers * 5 {
            let text = format!("holds {votes} votes, {streams} streams, {rounds} rounds");
            self.find(Rule::Memory, text);
        }
    }
}

/// In what a core that was rebuilt from a disk differs from the one that wrote it.
#[must_use]
pub fn differs(live: &ShardCore, rebuilt: &ShardCore) -> Option<String> {
    if live.tip() != rebuilt.tip() {
        let (was, is) = (live.tip().parent.height, rebuilt.tip().parent.height);
        return Some(format!("the tip was {was} and is {is} after replay"));
    }
    let records = |core: &ShardCore| -> BTreeSet<Vec<u8>> {
        core.live_records().iter().map(LogRecord::to_bytes).collect()
    };
    let (was, is) = (records(live), records(rebuilt));
    if was != is {
        let lost = was.difference(&is).count();
        let new = is.difference(&was).count();
        return Some(format!("after replay {lost} live records are lost, {new} are new"));
    }
    let promises = rebuilt.live_records().into_iter().filter_map(|record| match record {
        LogRecord::ViewChange(signed) => Some(signed.change.view),
        _ => None,
    });
    let promised = promises.max().unwrap_or(View::ZERO);
    let (was, is) = (live.status().view, rebuilt.status().view);
    if is < promised {
        return Some(format!("the view is {is} after replay, below the promised {promised}"));
    }
    (is > was).then(|| format!("the view was {was} and is {is} after replay"))
}
