//! The root as one node sees it.

mod chain;

pub use chain::{RootArchive, RootChain};
