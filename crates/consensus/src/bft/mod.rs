//! Vote keeping that any two-phase protocol needs: quorum arithmetic, admission, certificates, equivocation
//! and the signing record. It knows heights, views, kinds and blocks, and nothing of slices or fragments.
//!
//! Memory is bounded: for each (height, view) of the caller's window at most one vote of each kind and seat.
//! Votes are kept unverified until a certificate is within reach, then verified as one batch: a group of n
//! costs each seat one batch a certificate, not n pairings.

mod log;
mod quorum;
mod record;
mod view_change;
mod votes;

pub use log::{LOG_RECORD_BYTES_MAX, LogRecord, Scope, Standing};
pub use quorum::Quorum;
pub use record::SigningRecord;
pub use view_change::{Missing, ViewFault, ViewRules};
pub use votes::{Admission, VoteBook};
