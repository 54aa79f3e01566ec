//! View changes: how a shard replaces a sequence generator that fails.
//!
//! spec: PROTOCOL §4 R5, R6

use borsh::{BorshDeserialize, BorshSerialize};

use crate::BlsSignature;
use crate::certificate::Certificate;
use crate::codec::BoundedVec;
use crate::header::VERIFIERS_MAX;
use crate::ids::{BlockHash, DomainId, Epoch, Height, NetworkId, SeatIndex, View};
use crate::message::Proposal;

/// Heights that one view change speaks of, at most: more than any verifier works on at once.
pub const REPORTS_MAX: usize = 160;

/// "Nothing is decided any more": a wish to leave a view. Unsigned, for it binds nobody: its sender votes on
/// in that view until a quorum wishes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewTimeout {
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// The view to leave.
    pub view: View,
    /// The sender's highest decided height. One who has decided more takes the wish for a lag.
    pub tip: Height,
}

/// What a verifier holds of one height that it has not decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeightReport {
    /// The height.
    pub height: Height,
    /// The PrepareCert of the highest view that it has seen.
    pub prepared: Option<Certificate>,
    /// Its own `Valid, Sliced` verdict of the highest view: that view, and the block.
    pub approved: Option<(View, BlockHash)>,
}

/// A verifier's promise to vote in no view below `view` again, and what it knows that may be decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// Network id.
    pub network: NetworkId,
    /// Epoch of the seats.
    pub epoch: Epoch,
    /// Domain.
    pub domain: DomainId,
    /// The view to enter.
    pub view: View,
    /// What decided the highest blocks that it has decided, ascending without a gap up to its tip: as many as
    /// a verifier may vote ahead of its own tip, or all since the epoch began. One certificate would not do:
    /// that of a block whose parents have none could be shown by a single liar, and nobody could get there.
    pub decided: BoundedVec<Certificate, REPORTS_MAX>,
    /// Heights above that tip, ascending; only those of which it knows something.
    pub reports: BoundedVec<HeightReport, REPORTS_MAX>,
}

/// A view change with its signature; unverified until `anfs-crypto` says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedViewChange {
    /// What it says.
    pub change: ViewChange,
    /// A verifier's seat.
    pub signer: SeatIndex,
    /// BLS signature over the change.
    pub signature: BlsSignature,
}

/// The leader's opening of a view: the promises of a quorum, and the blocks that follow from them.
///
/// Whoever has it can work out for himself which blocks must be proposed again; nothing rests on the
/// leader's word.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The view; its leader signs.
    pub view: View,
    /// View changes of exactly a quorum of verifiers, by ascending seat.
    pub changes: BoundedVec<SignedViewChange, VERIFIERS_MAX>,
    /// The blocks that must be proposed again, upwards from the highest decided height that the changes
    /// prove: header and signature as their first proposer sent them. The last one may be there only to
    /// show that it does not extend the one before it, and hence is dead.
    pub carried: BoundedVec<Proposal, REPORTS_MAX>,
    /// Convictions of blocks that would otherwise have to be carried.
    pub convictions: BoundedVec<Certificate, REPORTS_MAX>,
    /// BLS signature of the view's leader over everything above.
    pub signature: BlsSignature,
}
