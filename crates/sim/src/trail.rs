//! The trace hash: a running hash over all that happens.

use anfs_primitives::{BlockHash, ConsensusMessage, Height, SealedHeader, SeatIndex, View};

/// What tells one message from another, for the trace hash.
fn gist(message: &ConsensusMessage) -> (u64, Height, View, BlockHash) {
    match message {
        ConsensusMessage::Fragment(fragment) => {
            (u64::from(fragment.first_entry) << 8, fragment.height, fragment.view, fragment.parent)
        }
        ConsensusMessage::Proposal(proposal) => {
            (1, proposal.header.height, proposal.header.view, proposal.header.hash())
        }
        ConsensusMessage::Vote(vote) => {
            let kind = u64::from(vote.kind as u8);
            (2 | kind << 8, vote.target.height, vote.target.view, vote.target.block)
        }
        ConsensusMessage::Certificate(certificate) => {
            let (kind, target) = (u64::from(certificate.kind as u8), &certificate.target);
            (3 | kind << 8, target.height, target.view, target.block)
        }
        ConsensusMessage::FragmentRequest { block, first_entry } => {
            (4 | u64::from(*first_entry) << 8, Height::ZERO, View::ZERO, *block)
        }
        ConsensusMessage::BlockRequest { from } => (5, *from, View::ZERO, BlockHash::ZERO),
        ConsensusMessage::Block(block) => {
            let target = &block.certificate.target;
            (6, target.height, target.view, block.block.header.hash())
        }
        ConsensusMessage::ViewTimeout(wish) => (7, wish.tip, wish.view, BlockHash::ZERO),
        ConsensusMessage::ViewChange(signed) => {
            (8 | u64::from(signed.signer.0) << 8, Height::ZERO, signed.change.view, BlockHash::ZERO)
        }
        ConsensusMessage::NewView(opening) => {
            (9 | (opening.carried.len() as u64) << 8, Height::ZERO, opening.view, BlockHash::ZERO)
        }
        ConsensusMessage::ProposalRequest { block } => (10, Height::ZERO, View::ZERO, *block),
        ConsensusMessage::NewViewRequest { view } => (11, Height::ZERO, *view, BlockHash::ZERO),
    }
}

/// The hash so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trail(u64);

impl Trail {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    fn at(&mut self, at_ms: u64, tag: u64, seat: SeatIndex) {
        self.word(at_ms << 24 | tag << 16 | u64::from(seat.0));
    }

    fn block(&mut self, block: &BlockHash) {
        let (word, _) = block.split_first_chunk::<8>().expect("a hash has 32 bytes");
        self.word(u64::from_le_bytes(*word));
    }

    /// A message has arrived.
    pub(crate) fn delivered(
        &mut self,
        at_ms: u64,
        from: SeatIndex,
        to: SeatIndex,
        message: &ConsensusMessage,
    ) {
        let (kind, height, view, block) = gist(message);
        self.at(at_ms, 1, to);
        self.word(u64::from(from.0) << 48 ^ kind);
        self.word(height.0 << 20 ^ view.0);
        self.block(&block);
    }

    /// A seat has decided a block.
    pub(crate) fn decided(&mut self, at_ms: u64, seat: SeatIndex, header: &SealedHeader) {
        self.at(at_ms, 2, seat);
        self.block(&header.hash());
    }

    /// A seat has died.
    pub(crate) fn crashed(&mut self, at_ms: u64, seat: SeatIndex) {
        self.at(at_ms, 3, seat);
    }

    /// The hash of everything until now.
    #[must_use]
    pub(crate) fn value(self) -> u64 {
        self.0
    }
}
