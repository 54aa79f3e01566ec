//! The disk of one node: decided blocks, state tables, signing record, and getting all of it back after a
//! crash.
//!
//! ```text
//! folder/
//!   LOCK              held while a process uses the folder; says which
//!   blocks/00000.log  decided blocks with receipts and certificates, append-only, fsynced in groups
//!   blocks/00000.idx  where the blocks are in a sealed segment; a cache
//!   votes.log         what this seat signs, fsynced before it is sent
//!   state.redb        trie nodes, code and indexes as of the last flushed block
//!   root/             final root blocks, and what this seat signs for the root
//! ```
//!
//! The log is the truth and runs ahead; the tables follow every few blocks in one transaction. After a crash
//! the folder is the last flushed state plus the blocks after it, which the node executes again
//! ([`Recovered`]). A block is served only once it is durable. What a crash tore was never acknowledged and
//! is cut off; damage to what had been fsynced is an error that names the file, the offset and the remedy.
//!
//! Not for: deciding anything about blocks (`anfs-consensus`), or what the trie nodes mean (`anfs-state`).
//!
//! spec: PROTOCOL §4 (signing record before network)

mod appender;
mod blocks;
pub mod disk;
mod error;
mod frame;
mod index;
mod lock;
mod record_log;
mod root;
mod segment;
mod store;
mod tables;
mod verify;
mod votes;

pub use error::StoreError;
pub use index::MessagePlace;
pub use lock::refuse_if_locked;
pub use record_log::{RecordLog, RecordLogOptions};
pub use root::{RootRecovered, RootStore, RootStoreOptions};
pub use store::{BlockRecord, NewBlock, Recovered, Store, StoreOptions, StoreStats, Tail};
pub use verify::VerifyReport;
