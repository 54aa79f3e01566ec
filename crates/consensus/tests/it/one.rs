//! One core, alone, to which a test says everything that the others would.

use std::sync::Arc;

use anfs_consensus::{Anchor, Effect, Input, ShardConfig, ShardCore, VoteCrypto};
use anfs_primitives::{
    Block, BlockHash, BlsSignature, BoundedVec, Certificate, CertificateKind, ConsensusMessage, Height,
    HeightReport, NewView, SealedHeader, SeatIndex, SignedViewChange, Slot, View, ViewChange, VoteTarget,
};
use anfs_sim::blocks::{self, ENTRIES, Recipe};

use crate::net::{shard, signer};

/// The generator's block on a parent; `salt` makes it differ from its siblings.
pub(crate) fn block(parent: &SealedHeader, slot: Slot, salt: u64) -> Block {
    let proposer = SeatIndex::GENERATOR;
    blocks::build(parent, &Recipe { slot, view: View::ZERO, proposer, salt, flaw: None })
}

pub(crate) struct One {
    pub(crate) core: ShardCore,
    pub(crate) now_ms: u64,
    pub(crate) config: ShardConfig,
    pub(crate) genesis: SealedHeader,
}

impl One {
    /// A verifier that has just started.
    pub(crate) fn new(verifiers: u16, seat: u16) -> Self {
        let (config, genesis) = shard(verifiers);
        let (anchor, crypto) = (Anchor::new(&genesis, []), Arc::new(signer(verifiers, seat)));
        let core = ShardCore::new(config.clone(), Some(SeatIndex(seat)), crypto, anchor, Vec::new());
        let mut one = Self { core: core.unwrap(), now_ms: 200, config, genesis };
        one.step(Input::Start);
        one
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.core.step(self.now_ms, input, &mut effects).unwrap();
        effects
    }

    pub(crate) fn tell(&mut self, from: u16, message: ConsensusMessage) -> Vec<Effect> {
        self.step(Input::Message { from: SeatIndex(from), message })
    }

    pub(crate) fn view(&self) -> View {
        self.core.status().view
    }

    /// Is shown a block of the generator; what comes of its header.
    pub(crate) fn show(&mut self, block: &Block) -> Vec<Effect> {
        let crypto = signer(self.config.verifiers, 0);
        let proposal = crypto.sign_proposal(SeatIndex::GENERATOR, &block.header).unwrap();
        self.tell(0, ConsensusMessage::Fragment(blocks::fragment(block, 0..ENTRIES)));
        self.tell(0, ConsensusMessage::Proposal(proposal))
    }

    /// A vote of this view for a block.
    pub(crate) fn target(&self, height: u64, view: u64, block: BlockHash) -> VoteTarget {
        let ShardConfig { network, epoch, domain, .. } = self.config;
        VoteTarget { network, epoch, domain, height: Height(height), view: View(view), block }
    }

    /// What these verifiers make by signing this.
    pub(crate) fn certificate(
        &self,
        signers: &[u16],
        kind: CertificateKind,
        target: &VoteTarget,
    ) -> Certificate {
        let votes: Vec<_> = signers
            .iter()
            .map(|&seat| {
                let crypto = signer(self.config.verifiers, seat);
                let vote = crypto.sign_vote(SeatIndex(seat), kind.vote(), target, None).unwrap();
                (usize::from(seat) - 1, vote.signature)
            })
            .collect();
        signer(self.config.verifiers, 1).aggregate(kind, target, &votes).unwrap()
    }

    /// A verifier's promise for a view.
    pub(crate) fn promise(
        &self,
        from: u16,
        view: u64,
        decided: Vec<Certificate>,
        reports: Vec<HeightReport>,
    ) -> SignedViewChange {
        let ShardConfig { network, epoch, domain, .. } = self.config;
        let (decided, reports) =
            (BoundedVec::try_from(decided).unwrap(), BoundedVec::try_from(reports).unwrap());
        let change = ViewChange { network, epoch, domain, view: View(view), decided, reports };
        signer(self.config.verifiers, from).sign_view_change(SeatIndex(from), change).unwrap()
    }

    /// The opening of a view by its leader, with these promises and nothing to be carried on.
    pub(crate) fn opening(&self, view: u64, changes: Vec<SignedViewChange>) -> NewView {
        let leader = self.config.leader(View(view));
        let opening = NewView {
            view: View(view),
            changes: BoundedVec::try_from(changes).unwrap(),
            carried: BoundedVec::new(),
            convictions: BoundedVec::new(),
            signature: BlsSignature::ZERO,
        };
        signer(self.config.verifiers, leader.0).sign_new_view(leader, opening).unwrap()
    }
}
