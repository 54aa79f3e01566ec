//! Runs what nobody signed: `eth_call`, `eth_estimateGas`, `eth_createAccessList`, `eth_simulateV1`.
//!
//! Nothing here reaches the chain. Every run is bounded by [`Limits`]: gas first, and a flag that the caller
//! may raise when its client has gone or its time is up.

mod call;
mod estimate;
mod overrides;
mod request;
mod transfers;
mod v1;
mod v1_block;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anfs_primitives::{DomainId, DomainMap};
use anfs_state::StateRead;

pub(crate) use overrides::{apply_block_overrides, apply_state_overrides};
pub(crate) use request::{Defaults, request_tx};
pub use v1::SimulationParent;

use crate::codes::CodeCache;
use crate::domain::Place;
use crate::env::BlockEnv;
use crate::overlay::Overlay;

/// What one request may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Gas of one call, and of all calls of one `eth_simulateV1` together.
    pub gas_cap: u64,
    /// Raised by the caller to stop the run; looked at every thousand instructions.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Memory that the records of one trace request may take, in bytes, by estimate.
    pub trace_bytes: usize,
}

impl Default for Limits {
    /// geth's gas cap, no flag, and traces about as large as answers may be.
    fn default() -> Self {
        Self { gas_cap: 50_000_000, cancel: None, trace_bytes: 256 * 1024 * 1024 }
    }
}

/// Runs calls on a state, in the block environment given, as if they were the next transaction there.
#[derive(Debug)]
pub struct Simulator<S> {
    env: BlockEnv,
    state: S,
    limits: Limits,
    codes: Option<CodeCache>,
    place: Option<Place>,
}

impl<S: StateRead> Simulator<S> {
    /// A simulator over a state. `env` is the block that calls believe to be in: for "latest" that is the
    /// latest block's own values, as Ethereum clients do it.
    pub fn new(env: BlockEnv, state: S, limits: Limits) -> Self {
        Self { env, state, limits, codes: None, place: None }
    }

    /// Takes analysed code from a cache that outlives the request.
    #[must_use]
    pub fn with_codes(mut self, codes: CodeCache) -> Self {
        self.codes = Some(codes);
        self
    }

    /// Sees accounts as this domain does, in a network of several.
    #[must_use]
    pub fn in_domain(mut self, domain: DomainId, map: DomainMap) -> Self {
        self.place = Some(Place::new(domain, map));
        self
    }

    fn overlay(&self, env: &BlockEnv) -> Overlay<&S> {
        self.placed(Overlay::new(&self.state, env.ancestors.clone(), self.codes.clone()))
    }

    fn placed<T: StateRead>(&self, mut overlay: Overlay<T>) -> Overlay<T> {
        if let Some(place) = &self.place {
            overlay.set_place(place.clone());
        }
        overlay
    }
}
