//! What all actors share: a node that follows the protocol, and a hand that changes what it does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::Address;
use anfs_consensus::bft::{Quorum, ViewRules};
use anfs_consensus::{ShardConfig, ShardCore, VoteCrypto};
use anfs_primitives::{
    Block, BlockHash, BlsSignature, Certificate, CertificateKind, ConsensusMessage, Height, NewView,
    Proposal, SealedHeader, SeatIndex, SignedViewChange, SignedVote, Slot, View, VoteKind, VoteTarget,
};

use super::Behaviour;
use crate::blocks::{self, ENTRIES, Flaw, Recipe};
use crate::crypto::SimCrypto;
use crate::node::Node;
use crate::rng::Rng;
use crate::seat::{Action, Boot, Outbox, Seat, SeatInput, Work};

/// Heights below the tip that an actor still remembers, to replay them.
const MEMORY: u64 = 8;
/// Promises remembered.
const PROMISES_MAX: usize = 256;

/// How an actor departs from the protocol. The node inside goes on as if nothing had happened, so a
/// departure happens as deep in the protocol as the node gets.
pub(super) trait Mischief: Debug {
    /// Looks at an input before the node takes it; none when the node shall not.
    fn input(
        &mut self,
        _me: &mut Me,
        _now_ms: u64,
        input: SeatInput,
        _out: &mut Outbox,
    ) -> Option<SeatInput> {
        Some(input)
    }

    /// What becomes of one thing that the node does.
    fn action(&mut self, _me: &mut Me, _now_ms: u64, action: Action, out: &mut Outbox) {
        out.push(action);
    }

    /// A reminder that it had asked for.
    fn remind(&mut self, _me: &mut Me, _now_ms: u64, _of: u64, _out: &mut Outbox) {}
}

/// Votes for one thing by verifier index.
pub(super) type Shares = BTreeMap<usize, BlsSignature>;

/// What an actor knows: its keys, its randomness, and what it has heard.
#[derive(Debug)]
pub(super) struct Me {
    pub(super) seat: SeatIndex,
    pub(super) config: ShardConfig,
    pub(super) quorum: Quorum,
    pub(super) crypto: SimCrypto,
    pub(super) rng: Rng,
    pub(super) byzantine: Arc<BTreeMap<SeatIndex, Behaviour>>,
    pub(super) others: Vec<SeatIndex>,
    /// Two parts of the others, drawn once: who is told one thing, and who the other.
    pub(super) halves: [Vec<SeatIndex>; 2],
    /// What is wrong with the blocks that the node builds from now on.
    pub(super) flaw: Option<Flaw>,
    /// The node finds everything right.
    pub(super) lazy: bool,
    pub(super) tip: Height,
    headers: BTreeMap<BlockHash, SealedHeader>,
    proposals: BTreeMap<BlockHash, Proposal>,
    /// Promises heard, by view and seat; its own ones too.
    pub(super) promises: BTreeMap<(View, SeatIndex), SignedViewChange>,
    /// Votes heard, and its own.
    pub(super) votes: BTreeMap<(VoteTarget, VoteKind), Shares>,
}

impl Me {
    pub(super) fn new(boot: &Boot) -> Self {
        let mut rng = boot.rng.clone().fork();
        let others: Vec<SeatIndex> = boot.seats().filter(|seat| *seat != boot.seat).collect();
        let mut order = others.clone();
        rng.shuffle(&mut order);
        let rest = order.split_off(order.len().div_ceil(2));
        let verifiers = usize::from(boot.config.verifiers);
        let tip = boot.tip().clone();
        Self {
            seat: boot.seat,
            config: boot.config.clone(),
            quorum: Quorum::new(verifiers).expect("a plan has 3f + 1 verifiers"),
            crypto: boot.crypto.clone(),
            rng,
            byzantine: boot.byzantine.clone(),
            others,
            halves: [order, rest],
            flaw: None,
            lazy: false,
            tip: tip.height,
            headers: BTreeMap::from([(tip.hash(), tip)]),
            proposals: BTreeMap::new(),
            promises: BTreeMap::new(),
            votes: BTreeMap::new(),
        }
    }

    /// Remembers what a message says, whoever sent it.
    fn learn(&mut self, message: &ConsensusMessage) {
        match message {
            ConsensusMessage::Proposal(proposal) => self.learn_proposal(proposal),
            ConsensusMessage::Vote(vote) => self.learn_vote(vote),
            ConsensusMessage::ViewChange(signed) => self.learn_promise(signed),
            ConsensusMessage::NewView(opening) => {
                opening.carried.iter().for_each(|proposal| self.learn_proposal(proposal));
                opening.changes.iter().for_each(|signed| self.learn_promise(signed));
            }
            ConsensusMessage::Block(certified) => self.learn_header(&certified.block.header),
            _ => {}
        }
    }

    pub(super) fn learn_header(&mut self, header: &SealedHeader) {
        if header.height.0 <= self.tip.0 + 64 {
            self.headers.entry(header.hash()).or_insert_with(|| header.clone());
        }
    }

    fn learn_proposal(&mut self, proposal: &Proposal) {
        self.learn_header(&proposal.header);
        if self.headers.contains_key(&proposal.header.hash()) {
            self.proposals.entry(proposal.header.hash()).or_insert_with(|| proposal.clone());
        }
    }

    fn learn_vote(&mut self, vote: &SignedVote) {
        let near = vote.target.height > self.tip && vote.target.height.0 <= self.tip.0 + 64;
        if let Some(index) =
            vote.signer.verifier_index().filter(|_| near && self.crypto.keys().verifies_vote(vote))
        {
            self.votes.entry((vote.target, vote.kind)).or_default().insert(index, vote.signature);
        }
    }

    fn learn_promise(&mut self, signed: &SignedViewChange) {
        self.promises.entry((signed.change.view, signed.signer)).or_insert_with(|| signed.clone());
        while self.promises.len() > PROMISES_MAX {
            self.promises.pop_first();
        }
    }

    fn learn_action(&mut self, action: &Action) {
        match action {
            Action::Send { message, .. } | Action::Broadcast(message) => self.learn(message),
            Action::WorkUntil { work: Work::Built(block), .. } => self.learn_header(&block.header),
            Action::Decide(decided) => {
                self.learn_header(&decided.block.header);
                self.tip = decided.block.header.height;
                let floor = self.tip.0.saturating_sub(MEMORY);
                self.headers.retain(|_, header| header.height.0 >= floor);
                self.proposals.retain(|_, proposal| proposal.header.height.0 >= floor);
                self.votes.retain(|(target, _), _| target.height.0 >= floor);
            }
            _ => {}
        }
    }

    /// A header that it has met.
    pub(super) fn header(&self, hash: &BlockHash) -> Option<&SealedHeader> {
        self.headers.get(hash)
    }

    /// All headers that it remembers at a height.
    pub(super) fn headers_at(&self, height: Height) -> impl Iterator<Item = &SealedHeader> {
        self.headers.values().filter(move |header| header.height == height)
    }

    /// A proposal that it has met.
    pub(super) fn proposal(&self, hash: &BlockHash) -> Option<&Proposal> {
        self.proposals.get(hash)
    }

    /// What the shard holds view changes against.
    pub(super) fn rules(&self) -> ViewRules {
        ViewRules {
            quorum: self.quorum,
            network: self.config.network,
            epoch: self.config.epoch,
            domain: self.config.domain,
            base: self.config.base,
            reach: self.config.reach(),
        }
    }

    /// Whether the message is a proposal, or part of the body of a block, that this seat leads with.
    pub(super) fn is_own_block(&self, message: &ConsensusMessage) -> bool {
        match message {
            ConsensusMessage::Fragment(fragment) => fragment.proposer == self.seat,
            ConsensusMessage::Proposal(proposal) => proposal.header.proposer == self.seat,
            _ => false,
        }
    }

    /// Its own vote, if the message is one.
    pub(super) fn own_vote<'a>(&self, message: &'a ConsensusMessage) -> Option<&'a SignedVote> {
        match message {
            ConsensusMessage::Vote(vote) => Some(vote).filter(|vote| vote.signer == self.seat),
            _ => None,
        }
    }

    pub(super) fn sign_vote(&self, kind: VoteKind, target: &VoteTarget) -> SignedVote {
        let fault = matches!(kind, VoteKind::InvalidSliced | VoteKind::InvalidFull)
            .then_some(anfs_primitives::Fault::Clock { entry: 1 });
        self.crypto.sign_vote(self.seat, kind, target, fault).expect("an actor holds the key of its seat")
    }

    pub(super) fn sign_proposal(&self, header: &SealedHeader) -> Proposal {
        self.crypto.sign_proposal(self.seat, header).expect("an actor holds the key of its seat")
    }

    pub(super) fn sign_opening(&self, opening: NewView) -> NewView {
        self.crypto.sign_new_view(self.seat, opening).expect("an actor holds the key of its seat")
    }

    /// The certificate that these votes heard make, if they are enough.
    pub(super) fn certificate(&self, kind: CertificateKind, target: &VoteTarget) -> Option<Certificate> {
        let shares = self.votes.get(&(*target, kind.vote()))?;
        if shares.len() < self.quorum.needed(kind) {
            return None;
        }
        let shares: Vec<_> = shares.iter().map(|(&index, &signature)| (index, signature)).collect();
        self.crypto.aggregate(kind, target, &shares).ok()
    }

    /// Another block of the same height, view and slot, with the same body or another.
    pub(super) fn rival(&self, block: &Block, same_body: bool) -> Option<Block> {
        if same_body {
            let mut header = block.header.header().clone();
            header.beneficiary = Address::repeat_byte(0xee);
            return Some(Block { header: header.seal(), body: block.body.clone() });
        }
        let header = &block.header;
        let recipe = Recipe {
            slot: header.slot,
            view: header.view,
            proposer: header.proposer,
            salt: 0xbad0_0000 | header.slot.0,
            flaw: None,
        };
        Some(blocks::build(self.header(&header.parent)?, &recipe))
    }

    /// Proposes a block of its own making on a parent, to some.
    pub(super) fn propose_on(
        &mut self,
        parent: &SealedHeader,
        view: View,
        now_ms: u64,
        to: &[SeatIndex],
        out: &mut Outbox,
    ) {
        let slot = Slot(parent.slot.next().0.max(self.config.slot_at(now_ms).0));
        let recipe =
            Recipe { slot, view, proposer: self.seat, salt: self.rng.next_u64() | 1 << 40, flaw: None };
        let block = blocks::build(parent, &recipe);
        self.learn_header(&block.header);
        let proposal = self.sign_proposal(&block.header);
        scatter(to, &ConsensusMessage::Fragment(blocks::fragment(&block, 0..ENTRIES)), out);
        scatter(to, &ConsensusMessage::Proposal(proposal), out);
    }
}

/// Sends the same to several seats.
pub(super) fn scatter(to: &[SeatIndex], message: &ConsensusMessage, out: &mut Outbox) {
    let message = Arc::new(message.clone());
    for &to in to {
        out.push(Action::Send { to, message: message.clone() });
    }
}

/// Notes that the protocol was just broken.
pub(super) fn misdeed(name: &'static str, out: &mut Outbox) {
    out.push(Action::Misdeed(name));
}

/// A message that leaves, and to whom; none when the action is something else.
pub(super) fn addressed(me: &Me, action: &Action) -> Option<(Vec<SeatIndex>, Arc<ConsensusMessage>)> {
    match action {
        Action::Send { to, message } => Some((vec![*to], message.clone())),
        Action::Broadcast(message) => Some((me.others.clone(), message.clone())),
        _ => None,
    }
}

/// The message in an input, if it is one.
pub(super) fn heard(input: &SeatInput) -> Option<&ConsensusMessage> {
    match input {
        SeatInput::Message { message, .. } => Some(message),
        _ => None,
    }
}

/// A node with a hand over it.
#[derive(Debug)]
pub(super) struct Actor<M> {
    me: Me,
    node: Node,
    mischief: M,
    done: Outbox,
}

impl<M: Mischief> Actor<M> {
    pub(super) fn new(boot: Boot, mischief: M) -> Self {
        Self { me: Me::new(&boot), node: Node::new(boot), mischief, done: Outbox::default() }
    }
}

impl<M: Mischief> Seat for Actor<M> {
    fn step(&mut self, now_ms: u64, input: SeatInput, out: &mut Outbox) {
        if let SeatInput::Message { message, .. } = &input {
            self.me.learn(message);
        }
        let input = match input {
            SeatInput::Done(Work::Remind(of)) => {
                self.mischief.remind(&mut self.me, now_ms, of, out);
                None
            }
            other => self.mischief.input(&mut self.me, now_ms, other, out),
        };
        let Some(input) = input else { return };
        self.node.flaw = self.me.flaw;
        self.node.lazy = self.me.lazy;
        self.node.step(now_ms, input, &mut self.done);
        for action in self.done.actions.drain(..) {
            self.me.learn_action(&action);
            match action {
                // What a byzantine seat thinks of others, or of itself, is nobody's business.
                Action::Fail(_) | Action::Evidence(_) | Action::Penalise { .. } => {}
                action => self.mischief.action(&mut self.me, now_ms, action, out),
            }
        }
    }

    fn core(&self) -> Option<&ShardCore> {
        self.node.core()
    }
}
