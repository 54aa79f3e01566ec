//! The root as one node sees it.

mod chain;
mod lanes;

pub use chain::RootChain;
