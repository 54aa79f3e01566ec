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
//!                     └─ fault ───────► InvalidSliced (alert) + InvalidFull ── q ─► conviction: halt
//! ```
//!
//! Whatever comes in, the core then makes passes over the open heights, upwards: decide the next height if
//! its certificate and block are here; link, assemble and ask for checks; cast votes. Each pass is
//! idempotent, so messages may be lost, repeated and reordered.
//!
//! # Certificates
//!
//! A vote goes to all seats. Every seat aggregates for itself as soon as a quorum is in reach, and the SG
//! alone relays the certificate. A batch of n votes costs as much as verifying one certificate (two
//! pairings and n short multiplications), and a seat that has the one never pays for the other: each seat
//! pays once for a block, and n² small votes are sent, but no n² certificates.
//!
//! # Safety
//!
//! Two blocks A ≠ B of one height and view are never both decided with at most f faulty verifiers:
//! an honest verifier votes for one block only in a (height, view), whatever the kind
//! ([`crate::bft::SigningRecord`]), across crashes, because the log precedes the network and is replayed. Two
//! quorums of 2f + 1, or a quorum and all n, share at least f + 1 verifiers, hence an honest one, which
//! voted for both: a contradiction.
//!
//! A decided block has only decided ancestors. Heights are decided in order, each by its own certificate. A
//! `Commit` is sent only on top of a decided parent, and a verdict only after the parent's approval, so a
//! FastCert names a chain that every honest verifier approved. A deciding certificate for a block on another
//! parent than the decided one proves more than f faulty verifiers: [`crate::ConsensusError::Fork`] stops the
//! node.
//!
//! A decided block is valid: with r = f + 1 checkers a slice, at least one honest verifier checked each
//! slice of a FastCert's block; a PrepareCert holds f + 1 honest full checks.
//!
//! With one view only there is no lock to carry over. When views change, a `PrepareCert` counts only if its
//! block stands on the decided chain, and FastCerts are carried over by the f + 1 rule of R6.
//!
//! # Liveness, and what halts
//!
//! Votes, proposals and requests are repeated at growing intervals while a height is open; missing entries
//! are asked of the SG, then of the others in turn; a seat that lags fetches certified blocks. With at most
//! f silent verifiers and a live, honest SG every height is decided. A convicted block, a dead or
//! equivocating SG, or more than f silent verifiers halt the shard at that height: visible as
//! [`ShardStatus::stalled`] and [`Effect::Evidence`]. Nothing else proceeds without a view change (R6).
//!
//! # Bounds
//!
//! Heights from the tip to max(2W + 1, [`SERVE_BLOCKS_MAX`]) above it are worked on; for each at most one
//! proposal, one body, one stream, and one vote of each kind and verifier. Streams share a budget of bytes.
//! Requests are counted per seat. A seat that sent a bad signature is not heard again on that matter.
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
//! - R5 and R6 are not carried out: see above.
//! - The root reference of a header equals its parent's, until a root chain feeds the core.
//! - A header that breaks a rule which needs no execution gets no vote (its sender is penalised).

mod core;
mod generator;
mod proposal;
mod stream;
mod sync;
mod types;
mod verdict;
mod view;

pub use self::core::{SERVE_BLOCKS_MAX, ShardCore};
pub use types::{Anchor, Depth, Effect, Input, Offence, Parent, ShardConfig, ShardStatus, Stall, Unneeded};
