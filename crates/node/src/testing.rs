//! What unit tests of several modules need: a seat's context without its threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, TxKind, U256};
use alloy_signer::SignerSync;
use anfs_mempool::{AccountView, PoolLimits};
use anfs_primitives::{
    Block, BlockBody, BlockCrossing, BlsSignature, BoundedVec, Certificate, CertificateKind, CertifiedBlock,
    ChainSpec, DomainId, Height, RecoveredTransaction, SeatIndex, ShardHeader, SignedTransaction, SignerSet,
    Slot, View, VoteTarget,
};
use anfs_state::{EMPTY_ROOT, WorldState};
use anfs_store::{BlockRecord, Store, StoreOptions};
use tempfile::TempDir;

use crate::chain::ChainLimits;
use crate::clock::Clock;
use crate::context::SeatContext;
use crate::genesis::{DEFAULT_MNEMONIC, GenesisChoices, devnet_spec, seat_key, wallets};
use crate::root::{InProcessNetwork, RootLink};
use crate::seat::{SeatConfig, prepare};

/// A clock on which a millisecond passes with each look.
#[derive(Debug, Default)]
struct LookClock(AtomicU64);

impl Clock for LookClock {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A seat without threads, and its folder.
pub(crate) struct Scene {
    pub(crate) context: Arc<SeatContext>,
    pub(crate) config: SeatConfig,
    _folder: TempDir,
}

pub(crate) fn choices() -> GenesisChoices {
    GenesisChoices {
        chain_id: 7,
        shards: 1,
        verifiers: 4,
        slot_ms: 100,
        mnemonic: DEFAULT_MNEMONIC.into(),
        accounts: 2,
        balance: 1_000,
        block_gas_limit: 30_000_000,
        genesis_time_ms: 0,
    }
}

pub(crate) fn spec() -> Arc<ChainSpec> {
    Arc::new(devnet_spec(&choices()).unwrap())
}

impl Scene {
    pub(crate) fn new(seat: u16, limits: ChainLimits) -> Self {
        Self::with_root(seat, limits, None)
    }

    /// A seat of a shard beneath a root, which nobody runs.
    pub(crate) fn rooted(seat: u16, limits: ChainLimits) -> Self {
        let transport = Arc::new(InProcessNetwork::new(&[], choices().verifiers));
        Self::with_root(seat, limits, Some(RootLink { transport, shown: None }))
    }

    fn with_root(seat: u16, limits: ChainLimits, root: Option<RootLink>) -> Self {
        let folder = TempDir::new().unwrap();
        let spec = spec();
        let config = SeatConfig {
            seat: SeatIndex(seat),
            domain: DomainId(1),
            key: seat_key(DEFAULT_MNEMONIC, DomainId(1), SeatIndex(seat)),
            entropy: [1; 32],
            verified: Arc::default(),
            dir: folder.path().join("seat"),
            limits,
            pool: PoolLimits::for_chain(&spec),
            clock: Arc::new(LookClock::default()),
            disk: None,
            founding: true,
            byzantine: false,
            root,
            spec,
        };
        let context = open(&config);
        Self { context, config, _folder: folder }
    }

    /// Puts a transfer of the first wallet into the pool.
    pub(crate) fn add(&self, nonce: u64) -> RecoveredTransaction {
        self.add_transaction(transfer(nonce))
    }

    pub(crate) fn add_transaction(&self, tx: RecoveredTransaction) -> RecoveredTransaction {
        let account = AccountView { nonce: 0, balance: U256::MAX / U256::from(2) };
        self.context.pool.pool.lock().add(tx.clone(), account, 0).unwrap();
        tx
    }

    /// Transactions that the builder would get now.
    pub(crate) fn take(&self) -> usize {
        self.context.pool.pool.lock().take_best(100, u64::MAX, 1_000_000_000).len()
    }
}

/// Opens the folder of a seat as its start does.
pub(crate) fn open(config: &SeatConfig) -> Arc<SeatContext> {
    let state = WorldState::genesis(config.spec.accounts.iter()).unwrap();
    let genesis = config.spec.genesis_header(config.domain, state.root(), EMPTY_ROOT).seal();
    let options = StoreOptions::new(&config.dir, config.spec.network, genesis.hash());
    let (store, recovered) = Store::open(options).unwrap();
    let store = Arc::new(store);
    prepare(config, store, &genesis, state, recovered.flushed, recovered.tail).unwrap().0
}

pub(crate) fn transfer(nonce: u64) -> RecoveredTransaction {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let wallet = wallets(DEFAULT_MNEMONIC, 1).unwrap().remove(0);
    let signature = wallet.sign_hash_sync(&tx.signature_hash()).unwrap();
    SignedTransaction::from_envelope(&tx.into_signed(signature).into()).unwrap().recover().unwrap()
}

/// A made-up child of a header: its own fields are those that tests look at.
pub(crate) fn child(parent: &ShardHeader, parent_hash: alloy_primitives::B256) -> ShardHeader {
    ShardHeader {
        height: parent.height.next(),
        slot: Slot(parent.slot.0 + 1),
        parent: parent_hash,
        ..parent.clone()
    }
}

/// A header as the block log takes it, with a certificate that nobody checks here.
pub(crate) fn record(header: ShardHeader) -> BlockRecord {
    let header = header.seal();
    BlockRecord {
        certified: CertifiedBlock {
            certificate: certificate(&header),
            block: Block { header, body: BlockBody { entries: BoundedVec::new() } },
        },
        receipts: Vec::new(),
        crossing: BlockCrossing::default(),
    }
}

pub(crate) fn certificate(header: &anfs_primitives::SealedHeader) -> Certificate {
    let target = VoteTarget {
        network: header.network,
        epoch: header.epoch,
        domain: header.domain,
        height: header.height,
        view: View::ZERO,
        block: header.hash(),
    };
    let signers = SignerSet::from_iter([0, 1, 2, 3]);
    Certificate { kind: CertificateKind::Fast, target, signers, signature: BlsSignature::default() }
}

/// Heights of the chain that a made-up log holds.
pub(crate) fn heights(range: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = Height> {
    range.map(Height)
}
