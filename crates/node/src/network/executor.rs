//! Execution without consequences, in the domain where the recipient lives.
//!
//! A sender who lives elsewhere is lent the balance and nonce that he has at home. What the call itself reaches of other
//! domains is foreign to it (Domains D5), as it would be for the transaction.

use std::collections::BTreeMap;

use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::{Address, Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{SimulatePayload, SimulatedBlock};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use anfs_execution::is_everywhere;
use anfs_primitives::{DomainId, Height};
use anfs_rpc::{At, BackendError, CallRequest, Executor, StateReader};

use super::NetworkBackend;
use super::completion::{Spot, Way};

/// Gas for a transaction's existence, for an address and a key of its access list, and for an authorisation.
const TRANSACTION_GAS: u64 = 21_000;
const ACCESS_LIST_ADDRESS_GAS: u64 = 2_400;
const ACCESS_LIST_KEY_GAS: u64 = 1_900;
const AUTHORIZATION_GAS: u64 = 25_000;
/// Gas for a token of calldata, where that counts, and at the floor (EIP-7623).
const TOKEN_GAS: u64 = 4;
const FLOOR_TOKEN_GAS: u64 = 10;

impl NetworkBackend {
    /// Where a transaction runs that nobody signed.
    fn run_domain(&self, at: At, request: &TransactionRequest) -> Result<DomainId, BackendError> {
        let from = request.from.unwrap_or_default();
        match request.to {
            Some(TxKind::Call(to)) if !is_everywhere(&to) => Ok(self.residence(at, &to)?.domain),
            _ => Ok(self.map.home(&from)),
        }
    }

    /// Gives a sender what he has at home, where the request does not say otherwise.
    fn lend(
        &self,
        at: At,
        domain: DomainId,
        from: Address,
        overrides: &mut Option<StateOverride>,
    ) -> Result<(), BackendError> {
        if self.residence(at, &from)?.domain == domain {
            return Ok(());
        }
        let account = self.account(at, &from)?;
        let lent = overrides.get_or_insert_default().entry(from).or_default();
        lent.balance.get_or_insert(account.balance);
        // A domain takes an account with a nonce for one of its own, and lets it spend what it is said to have.
        lent.nonce.get_or_insert(account.nonce.max(1));
        Ok(())
    }

    fn prepared(&self, at: At, mut request: CallRequest) -> Result<(DomainId, CallRequest), BackendError> {
        let domain = self.run_domain(at, &request.transaction)?;
        let from = request.transaction.from.unwrap_or_default();
        self.lend(at, domain, from, &mut request.state_overrides)?;
        Ok((domain, request))
    }

    fn listed(&self, height: Height, index: u32) -> Result<Way, BackendError> {
        let entry = self.view.entry(height)?;
        let way = entry.as_ref().and_then(|entry| entry.listed.get(index as usize));
        let absent = || BackendError::InvalidParams(format!("block {height} has no transaction {index}"));
        way.cloned().ok_or_else(absent)
    }
}

impl Executor for NetworkBackend {
    fn call(&self, at: At, request: CallRequest) -> Result<Bytes, BackendError> {
        let (domain, request) = self.prepared(at, request)?;
        self.read(at, domain, |shard, there| shard.executor.call(there, request))
    }

    /// The gas of the whole way: what the transaction pays at home, and what its call uses where it arrives.
    fn estimate_gas(&self, at: At, request: CallRequest) -> Result<u64, BackendError> {
        let home = self.map.home(&request.transaction.from.unwrap_or_default());
        let (domain, mut request) = self.prepared(at, request)?;
        if domain == home {
            return self.read(at, domain, |shard, there| shard.executor.estimate_gas(there, request));
        }
        let way = WayGas::of(&request.transaction);
        // Lists warm accounts and delegate at home, and are not carried along.
        request.transaction.access_list = None;
        request.transaction.authorization_list = None;
        let local = self.read(at, domain, |shard, there| shard.executor.estimate_gas(there, request))?;
        Ok(way.whole(local))
    }

    fn create_access_list(&self, at: At, request: CallRequest) -> Result<AccessListResult, BackendError> {
        let (domain, request) = self.prepared(at, request)?;
        self.read(at, domain, |shard, there| shard.executor.create_access_list(there, request))
    }

    /// All calls run in one domain: that of the first one's recipient.
    fn simulate(&self, at: At, mut payload: SimulatePayload) -> Result<Vec<SimulatedBlock>, BackendError> {
        let calls = || payload.block_state_calls.iter().flat_map(|block| &block.calls);
        let domain = match calls().next() {
            Some(first) => self.run_domain(at, first)?,
            None => DomainId(1),
        };
        let mut senders: Vec<Address> = calls().map(|call| call.from.unwrap_or_default()).collect();
        senders.sort_unstable();
        senders.dedup();
        if let Some(first) = payload.block_state_calls.first_mut() {
            for sender in senders {
                self.lend(at, domain, sender, &mut first.state_overrides)?;
            }
        }
        self.read(at, domain, |shard, there| shard.executor.simulate(there, payload))
    }

    fn trace_call(
        &self,
        at: At,
        transaction: TransactionRequest,
        mut options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, BackendError> {
        let domain = self.run_domain(at, &transaction)?;
        self.lend(at, domain, transaction.from.unwrap_or_default(), &mut options.state_overrides)?;
        self.read(at, domain, |shard, there| shard.executor.trace_call(there, transaction, options))
    }

    /// Traces the transaction in its sender's home, and what came of it elsewhere where the tracer has a place for that.
    fn trace_transaction(
        &self,
        height: Height,
        index: u32,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, BackendError> {
        let way = self.listed(height, index)?;
        let (shard, _) = self.place(At::Pending, way.source.domain)?;
        let own = shard.executor.trace_transaction(way.source.height, way.source.index, options.clone())?;
        self.with_legs(own, &way, &options)
    }

    /// Traces each transaction that the block lists in its sender's home. What came of all of them elsewhere may be spread
    /// over more blocks than one request may execute again.
    fn trace_block(
        &self,
        height: Height,
        options: GethDebugTracingOptions,
    ) -> Result<Vec<TraceResult>, BackendError> {
        let absent = || BackendError::InvalidParams(format!("block {height} does not exist yet"));
        let entry = self.view.entry(height)?.ok_or_else(absent)?;
        let mut traced: BTreeMap<(DomainId, Height), Vec<TraceResult>> = BTreeMap::new();
        let mut results = Vec::with_capacity(entry.listed.len());
        for Spot { domain, height, index } in entry.listed.iter().map(|way| way.source) {
            let block = match traced.entry((domain, height)) {
                std::collections::btree_map::Entry::Occupied(block) => block.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let (shard, _) = self.place(At::Pending, domain)?;
                    place.insert(shard.executor.trace_block(height, options.clone())?)
                }
            };
            let missing = || {
                BackendError::Internal(format!("block {height} of shard {domain} has no transaction {index}"))
            };
            results.push(block.get(index as usize).cloned().ok_or_else(missing)?);
        }
        Ok(results)
    }
}

/// What a transaction that leaves pays before it does. spec: Domains D6
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WayGas {
    /// Intrinsic gas of the bare call: what an estimate where it arrives contains.
    bare: u64,
    /// What it pays at home.
    departure: u64,
}

impl WayGas {
    pub(super) fn of(request: &TransactionRequest) -> Self {
        let input = request.input.input().map(AsRef::as_ref).unwrap_or_default();
        let tokens: u64 = input.iter().map(|byte: &u8| if *byte == 0 { 1 } else { 4 }).sum();
        let bare = TRANSACTION_GAS + tokens * TOKEN_GAS;
        let floor = TRANSACTION_GAS + tokens * FLOOR_TOKEN_GAS;
        let (addresses, keys) = request
            .access_list
            .as_ref()
            .map_or((0, 0), |list| (list.len() as u64, list.storage_keys_count() as u64));
        let authorizations = request.authorization_list.as_ref().map_or(0, Vec::len) as u64;
        let lists = addresses * ACCESS_LIST_ADDRESS_GAS
            + keys * ACCESS_LIST_KEY_GAS
            + authorizations * AUTHORIZATION_GAS;
        Self { bare, departure: (bare + lists).max(floor) }
    }

    /// The limit that suffices for the whole way, from what suffices where it arrives.
    pub(super) fn whole(self, local: u64) -> u64 {
        self.departure.saturating_add(local.saturating_sub(self.bare))
    }
}
