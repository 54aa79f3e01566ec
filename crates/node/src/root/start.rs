//! What a seat needs to take part in the root, brought up to the last final root block on its disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::U256;
use anfs_consensus::ConsensusError;
use anfs_consensus::root::{
    BlsRootCrypto, RootConfig, RootCore, RootCrypto, RootLogRecord, RootState, RootStatus,
    genesis_root_header,
};
use anfs_crypto::bls::SecretKey;
use anfs_primitives::{ChainSpec, DomainId, Epoch, Height, RootSeat, SealedHeader, SealedRootHeader, decode};
use anfs_store::disk::Disk;
use anfs_store::{RootRecovered, RootStore, RootStoreOptions};
use parking_lot::RwLock;

use super::chain::RootChain;
use super::engine::{RootEngine, RootInbox, RootParts};
use super::wire::{NetworkMailbox, NetworkTransport};
use crate::context::SeatContext;
use crate::error::NodeError;
use crate::genesis;
use crate::inbox::Inbox;
use crate::seat::epoch_seed;
use crate::verified::SharedRootCrypto;

/// How a seat reaches the rest of the network.
#[derive(Debug, Clone)]
pub struct RootLink {
    /// To the seats of all shards.
    pub transport: Arc<dyn NetworkTransport>,
    /// Shows what any seat of this process has made final.
    pub shown: Option<Arc<RootChain>>,
}

/// Messages of other seats that may wait for the root's engine; more are dropped.
const NETWORK_QUEUE: usize = 8192;
/// Decided blocks of the own shard that may wait for it; then the committer waits.
const LOCAL_QUEUE: usize = 1024;
/// A saved state of the root at most: headers of every shard, and a ledger of lanes.
const STATE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A seat's part in the root, ready to run.
pub(crate) struct RootSide {
    pub(crate) inbox: Arc<RootInbox>,
    pub(crate) chain: Arc<RootChain>,
    pub(crate) status: Arc<RwLock<RootStatus>>,
    pub(crate) engine: RootEngine,
}

/// Where the root begins.
pub(crate) struct RootGenesis {
    pub(crate) header: SealedRootHeader,
    /// The genesis blocks of the shards, domain 1's first.
    shards: Vec<SealedHeader>,
    /// What each domain's accounts hold, in wei.
    coins: BTreeMap<DomainId, U256>,
}

/// The root's genesis, which follows from the chain spec.
pub(crate) fn genesis_root(spec: &ChainSpec) -> Result<RootGenesis, NodeError> {
    let domains = (1u32..).map(DomainId).zip(&spec.shards).map(|(domain, _)| domain);
    let shards = domains.map(|domain| Ok(genesis::first_header(spec, domain)?.0));
    let shards = shards.collect::<Result<Vec<_>, NodeError>>()?;
    let coins = genesis::coins(spec);
    Ok(RootGenesis { header: genesis_root_header(spec, &shards, &coins), shards, coins })
}

impl RootSide {
    /// Opens the root's part of a seat's folder, goes through the root blocks whose sum was not saved, and listens.
    pub(crate) fn open(
        context: &Arc<SeatContext>,
        link: &RootLink,
        key: SecretKey,
        place: (&Path, &Arc<dyn Disk>),
        founding: bool,
    ) -> Result<Self, NodeError> {
        let (dir, disk) = place;
        let spec = &context.spec;
        let seat = RootSeat { domain: context.domain, seat: context.seat };
        let RootGenesis { header: genesis, shards, coins } = genesis_root(spec)?;
        let options = RootStoreOptions {
            dir: dir.join("root"),
            network: spec.network,
            genesis: genesis.hash(),
            founding,
        };
        let (store, recovered) = RootStore::open(options, disk)?;
        let store = Arc::new(store);
        let chain = Arc::new(RootChain::new(genesis.clone()));
        for chain in std::iter::once(&chain).chain(&link.shown) {
            chain.take_in(seat, &store)?;
        }
        let first = RootState::genesis(genesis, shards, &coins);
        let state = add_up(&store, &recovered, first)?;
        let config = RootConfig::new(spec, Epoch::ZERO, epoch_seed(spec, Epoch::ZERO))?;
        let inner = BlsRootCrypto::from_spec(Some((seat, key)), spec, context.entropy)
            .map_err(ConsensusError::from)?;
        let verified = context.verified.clone();
        let log = recovered.votes.iter().map(|record| RootLogRecord::from_bytes(record));
        let log = log.collect::<Result<_, _>>().map_err(|error| NodeError::SigningLog(error.to_string()))?;
        let crypto: Arc<dyn RootCrypto> = Arc::new(SharedRootCrypto { inner, verified });
        let voting = if recovered.unsure { None } else { Some(seat) };
        if recovered.unsure {
            tracing::warn!(%seat, "the record of what the seat signed for the root is lost: it watches the root for a while");
        }
        let core = RootCore::new(config, voting, crypto.clone(), state, log)?;
        let status = Arc::new(RwLock::new(core.status()));
        let inbox = Arc::new(Inbox::new(LOCAL_QUEUE, NETWORK_QUEUE));
        link.transport.attach(seat, NetworkMailbox::new(inbox.clone()));
        let engine = RootEngine::new(RootParts {
            context: context.clone(),
            core,
            crypto,
            store,
            chain: chain.clone(),
            shown: link.shown.clone(),
            transport: link.transport.clone(),
            status: status.clone(),
        })?;
        Ok(Self { inbox, chain, status, engine })
    }
}

/// The state after the newest block on disk.
fn add_up(store: &RootStore, recovered: &RootRecovered, first: RootState) -> Result<RootState, NodeError> {
    let saved = recovered.state.as_ref().and_then(|(height, bytes)| {
        let state: RootState = decode(bytes, STATE_BYTES_MAX).ok()?;
        (state.head().height == *height).then_some(state)
    });
    let mut state = saved.unwrap_or(first);
    for height in (state.head().height.0 + 1..=store.head().0).map(Height) {
        let Some(block) = store.block(height)? else { break };
        state.apply(&block).map_err(|fault| NodeError::Root { height, fault: Box::new(fault) })?;
    }
    Ok(state)
}
