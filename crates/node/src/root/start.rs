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
use anfs_primitives::{
    ChainSpec, DomainId, Epoch, Height, RootExecution, RootHash, RootSeat, SealedHeader, SealedRootHeader,
    decode,
};
use anfs_state::EMPTY_ROOT;
use anfs_store::disk::Disk;
use anfs_store::{RecordLog, RecordLogOptions, RootRecovered, RootStore, RootStoreOptions};
use parking_lot::RwLock;

use super::chain::RootChain;
use super::domain::RootDomain;
use super::engine::{RootEngine, RootInbox, RootParts, keep};
use super::machine::{RootMachine, SavedAccounts};
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
/// What executing each root block did.
const EXECUTIONS_FILE: &str = "executions.log";
const EXECUTIONS_MAGIC: [u8; 8] = *b"ANFSREX1";

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
    let execution = RootExecution {
        state_root: genesis::root_state(spec)?.root(),
        receipts_root: EMPTY_ROOT,
        base_fee: spec.initial_base_fee,
        ..RootExecution::default()
    };
    let domains = (1u32..).map(DomainId).zip(&spec.shards).map(|(domain, _)| domain);
    let shards = domains.map(|domain| Ok(genesis::first_header(spec, domain)?.0));
    let shards = shards.collect::<Result<Vec<_>, NodeError>>()?;
    let coins = genesis::coins(spec);
    Ok(RootGenesis { header: genesis_root_header(spec, &shards, &coins, execution), shards, coins })
}

/// The chain of the root's genesis block alone.
///
/// # Errors
/// When genesis is no state.
pub(crate) fn root_chain(spec: &Arc<ChainSpec>) -> Result<RootChain, NodeError> {
    let header = genesis_root(spec)?.header;
    let machine = RootMachine::genesis(spec, &header)?;
    Ok(RootChain::new(header, Arc::new(RootDomain::new(spec.clone(), machine.head()))))
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
        let executions = Arc::new(executions(spec, genesis.hash(), &dir.join("root"), disk)?);
        let first = Sum {
            state: RootState::genesis(spec, genesis.clone(), shards, &coins),
            machine: RootMachine::genesis(spec, &genesis)?,
        };
        let sum = saved(spec, &recovered, &executions).unwrap_or(first);
        let domain = Arc::new(RootDomain::new(spec.clone(), sum.machine.head()));
        let chain = Arc::new(RootChain::new(genesis, domain));
        for chain in std::iter::once(&chain).chain(&link.shown) {
            chain.take_in(seat, &store)?;
            chain.domain().archive(seat, &executions);
            chain.domain().skip_to(sum.machine.head());
        }
        let shown: Vec<&RootChain> = std::iter::once(&*chain).chain(link.shown.as_deref()).collect();
        let Sum { state, machine } = sum.go_on(&store, &executions, &shown)?;
        let config = RootConfig::new(spec, Epoch::ZERO, epoch_seed(spec, Epoch::ZERO))?;
        let inner = BlsRootCrypto::from_spec(Some((seat, key)), spec, context.entropy)
            .map_err(ConsensusError::from)?;
        let verified = context.verified.clone();
        let log = recovered.votes.iter().map(|record| RootLogRecord::from_bytes(record));
        let log = log.collect::<Result<_, _>>().map_err(|error| NodeError::SigningLog(error.to_string()))?;
        let quorum = usize::from(spec.quorum());
        let crypto: Arc<dyn RootCrypto> = Arc::new(SharedRootCrypto { inner, quorum, verified });
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
            machine,
            executions,
            chain: chain.clone(),
            shown: link.shown.clone(),
            transport: link.transport.clone(),
            status: status.clone(),
        })?;
        Ok(Self { inbox, chain, status, engine })
    }
}

/// The record of executed blocks.
fn executions(
    spec: &ChainSpec,
    genesis: RootHash,
    dir: &Path,
    disk: &Arc<dyn Disk>,
) -> Result<RecordLog, NodeError> {
    let options = RecordLogOptions {
        path: dir.join(EXECUTIONS_FILE),
        magic: EXECUTIONS_MAGIC,
        network: spec.network,
        genesis,
        first: 1,
    };
    Ok(RecordLog::open(&**disk, &options)?)
}

/// What the root blocks up to some height add up to.
struct Sum {
    state: RootState,
    machine: RootMachine,
}

/// What was saved, if it makes sense and the record of executed blocks reaches up to it.
fn saved(spec: &Arc<ChainSpec>, recovered: &RootRecovered, executions: &RecordLog) -> Option<Sum> {
    let (height, bytes) = recovered.state.as_ref()?;
    let (state, accounts): (RootState, SavedAccounts) = decode(bytes, STATE_BYTES_MAX).ok()?;
    let sound = state.head().height == *height && accounts.height() == *height;
    if !sound || executions.next() <= height.0 {
        return None;
    }
    Some(Sum { state, machine: RootMachine::restore(spec, accounts).ok()? })
}

impl Sum {
    /// Goes through the blocks that are on disk above.
    fn go_on(
        mut self,
        store: &RootStore,
        executions: &RecordLog,
        shown: &[&RootChain],
    ) -> Result<Self, NodeError> {
        for height in (self.state.head().height.0 + 1..=store.head().0).map(Height) {
            let Some(block) = store.block(height)? else { break };
            if block.block.header.execution != self.machine.head().execution {
                let detail = "the next root block says otherwise of it".to_owned();
                return Err(NodeError::Diverged { height: self.machine.head().height(), detail });
            }
            self.state.apply(&block).map_err(|fault| NodeError::Root { height, fault: Box::new(fault) })?;
            let executed = self.machine.execute(&block.block)?;
            keep(executions, &executed);
            shown.iter().for_each(|chain| chain.domain().publish(&executed));
        }
        Ok(self)
    }
}
