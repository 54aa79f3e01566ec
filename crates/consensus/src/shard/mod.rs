//! The shard protocol: optimistic slices, PBFT when anything is off.
//!
//! ```text
//!  SG    StartSlot ─► Built ─► Persist, Broadcast Proposal ─► (next slot, up to W above the tip)
//!            └ fragments, streamed by the builder
//!
//!  SV    fragments ─► Entries (executed ahead)
//!        proposal ──► link to parent ─► body whole, entries root matches ─► Check
//!
//!                     ┌─ Sliced, ok ─► ValidSliced ── all n_v ──► FastCert ───────────────┐
//!        Check ───────┤                    │ Δ_fast, alert, or parent not decided fast    ├─► Decided
//!                     ├─ Full, ok ────► ValidFull ─── q ─► PrepareCert ─► Commit ─ q ─► CommitCert
//!                     └─ fault ───────► InvalidSliced (alert) + InvalidFull ── q ─► conviction: next view
//! ```
//!
//! Whatever comes in, the core then makes passes over the open heights, upwards: decide the next height if
//! its certificate and block are here; link, assemble and ask for checks; cast votes. Each pass is
//! idempotent, so messages may be lost, repeated and reordered.
//!
//! # Certificates
//!
//! A vote goes to all seats. Every seat aggregates for itself as soon as a quorum is in reach, and the SG
//! alone relays the certificate (a conviction, which accuses it, is relayed by everyone). A batch of n votes
//! costs as much as verifying one certificate (two pairings and n short multiplications), and a seat that has
//! the one never pays for the other: each seat pays once for a block, and n² small votes are sent, but no n²
//! certificates.
//!
//! # Views
//!
//! ```text
//!   Δ_view without a decision ─┐            q wishes                    q promises at the leader
//!   the leader equivocates ────┼─► wish ───────────────► promise ──────────────────────────────► opening
//!   f + 1 others wish it ──────┘  (ViewTimeout)        (ViewChange)                              (NewView)
//!                                                          ▲                                        │
//!   conviction (R5), or f + 1 promises ────────────────────┘        carried blocks first, then its own
//! ```
//!
//! The shard is in one view at a time, the same for all heights; [`ShardConfig::leader`] of the view acts as
//! SG. A *wish* binds nobody: its sender votes on until a quorum wishes the same, so that a verifier that was
//! cut off is not lost to the view that the others go on in. A *promise* binds: its sender votes in no lower
//! view again, and reports what may have been decided. The *opening* shows the promises of a quorum, and with
//! them which blocks must be proposed again ([`crate::bft::ViewRules`]); everyone works that out for himself.
//! A carried block keeps its hash, header and proposer; votes for it name the new view.
//!
//! # Safety
//!
//! *Within a view.* An honest verifier votes for one block only in a (height, view), whatever the kind
//! ([`crate::bft::SigningRecord`]), across crashes, because the log precedes the network and is replayed. Two
//! quorums of 2f + 1, or a quorum and all n, share at least f + 1 verifiers, hence an honest one, which would
//! have voted for both of two decided blocks.
//!
//! *Across views.* Let A be decided at height h in view v, and v the lowest view in which h is decided. Then
//! by induction over w > v no honest verifier votes for another block at h in w: the opening of w rests on
//! 2f + 1 promises. If a FastCert decided, at least f + 1 of them come from honest verifiers that approved A,
//! last in v or later, so A is supported in a view ≥ v. If a CommitCert did, at least one comes from an
//! honest verifier that had committed to A before, and reports a PrepareCert for A of a view ≥ v. Anything
//! else that the promises name is of a view below v: in v itself and in those between v and w, honest
//! verifiers approved nothing but A, which rules out a PrepareCert and the f + 1 approvals of another block.
//! So A is carried. It is not struck out by a conviction, which needs f + 1 honest verifiers to find invalid
//! what an honest one has found valid.
//!
//! *Along the chain.* Heights are decided in order, each by its own certificate. A verdict on a block follows
//! the approval of its parent in the same view, a `Commit` the parent's decision. So a FastCert above an
//! undecided block makes that block carried as well, and nothing is ever decided above a free height. A
//! deciding certificate on another parent than the decided one proves more than f faulty verifiers:
//! [`crate::ConsensusError::Fork`] stops the node.
//!
//! *Validity.* With r = f + 1 checkers a slice, at least one honest verifier checked each slice of a
//! FastCert's block; a PrepareCert holds f + 1 honest full checks.
//!
//! # Liveness
//!
//! Votes, proposals, promises and requests are repeated at growing intervals while a height is open; missing
//! entries are asked of the proposer, then of the others in turn; a seat that lags fetches certified blocks,
//! one in a lower view is shown the opening. With at most f faulty verifiers and after the network has
//! healed: if the leader lets nothing be decided for Δ_view, all honest verifiers wish another; Δ_view
//! doubles with each view that fails, so some honest leader's view lasts long enough to open and to decide;
//! among n_v leaders in a row at most f are faulty. What a view must carry on is at hand: f + 1 approvals or
//! a PrepareCert mean that an honest verifier has the body, and has it in its log.
//!
//! More than f silent verifiers halt the shard until they are back: visible as [`ShardStatus::stalled`].
//!
//! # Bounds
//!
//! Heights from the tip to max(2W + 1, [`SERVE_BLOCKS_MAX`]) above it are worked on; for each at most one
//! proposal, one body, one stream, and one vote of each kind and verifier. Streams share a budget of bytes.
//! Requests are counted per seat. A seat that sent a bad signature is not heard again on that matter. Of each
//! verifier one wish and one promise are kept, the latest.
//!
//! # Deviations from the text of PROTOCOL §4
//!
//! - R3: a verifier whose full check passed signs `Valid, Sliced` as well, unless it has: its own slices are
//!   among those checked. So a FastCert forms again as soon as all n_v answer, and the fast path resumes
//!   without a special rule, even when verifiers disagree about the parent.
//! - R3, "the parent was not decided fast": while it is undecided, a child is checked in slices unless an
//!   undecided ancestor is alarmed (alert or Δ_fast) or the tip was not decided fast; it is checked in full
//!   once either becomes true.
//! - R3, R5: a verifier whose sliced check fails signs `Invalid, Full` with its alert: a fault found in a
//!   slice is a fault of the block, and needs no second look.
//! - R6: the view is one number for the whole shard instead of one for each height, and its leader stays SG:
//!   the takeover needs no rule of its own, and a view change opens the whole pipeline at once.
//! - R6: a wish (ViewTimeout) comes before the promise (ViewChange); see above.
//! - R6: the finding of the highest view wins, PrepareCert or approvals; the text prefers a PrepareCert of any
//!   view, which would undo a FastCert of a later one. Approvals count in the view that f + 1 reached or
//!   passed; the text counts those of exactly one view, which misses a FastCert that some re-approved.
//! - An SV logs the body of what it approves: the SG may be gone when it must be proposed again.
//! - The root reference of a header equals its parent's, until a root chain feeds the core.
//! - A header that breaks a rule which needs no execution gets no vote (its sender is penalised).

mod core;
mod generator;
mod hold;
mod proposal;
mod stream;
mod sync;
mod types;
mod verdict;
mod view;

pub use self::core::{SERVE_BLOCKS_MAX, ShardCore};
pub use hold::Hold;
pub use types::{Anchor, Depth, Effect, Input, Offence, Parent, ShardConfig, ShardStatus, Stall, Unneeded};
