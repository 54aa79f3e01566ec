//! A shard of real seats on temporary folders, and bounded waits for what it does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anfs_crypto::bls::SecretKey;
use anfs_mempool::PoolLimits;
use anfs_node::backend::SeatBackend;
use anfs_node::disk::Disk;
use anfs_node::genesis::{
    DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC, GenesisChoices, devnet_spec, seat_key, wallets,
};
use anfs_node::{ChainLimits, Clock, NodeError, Seat, SeatConfig, SystemClock, Transport};
use anfs_primitives::{CertificateKind, ChainSpec, DomainId, Height, SeatIndex};
use anfs_rpc::{Backend, RpcBlock};
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::wire::Wire;

/// Longer than anything here takes on a busy machine; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const SLOT_MS: u64 = 40;
/// Verifiers of most tests: one of them may be faulty.
pub(crate) const VERIFIERS: u16 = 4;

/// A shard, its folders and its network.
pub(crate) struct Shard {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) wallet: PrivateKeySigner,
    domain: DomainId,
    seats: Vec<Option<Seat>>,
    folder: TempDir,
    runtime: Runtime,
    nonce: u64,
    /// All seats have run: from now on a missing signing record is a lost one.
    founded: bool,
    /// Seats that misbehave on purpose.
    pub(crate) byzantine: Vec<u16>,
}

/// The chain spec of these tests; networks differ by their id.
pub(crate) fn spec(verifiers: u16, chain_id: u64) -> ChainSpec {
    let mut spec = devnet_spec(&GenesisChoices {
        chain_id,
        shards: 1,
        verifiers,
        slot_ms: SLOT_MS,
        mnemonic: DEFAULT_MNEMONIC.into(),
        accounts: 2,
        balance: 1_000,
        block_gas_limit: 200_000_000,
        genesis_time_ms: SystemClock.now_ms(),
    })
    .unwrap();
    // Long enough that a busy machine mostly stays on the fast path, short enough to see the slow one.
    spec.fast_timeout_ms = 400;
    spec.view_timeout_ms = 1_200;
    spec
}

/// The generator's key.
pub(crate) fn generator_key() -> SecretKey {
    seat_key(DEFAULT_MNEMONIC, DomainId(1), SeatIndex::GENERATOR)
}

impl Shard {
    /// A shard that runs.
    pub(crate) fn start() -> Self {
        let mut shard = Self::stopped(VERIFIERS, None);
        shard.start_all();
        shard
    }

    /// A shard none of whose seats runs yet.
    pub(crate) fn stopped(verifiers: u16, disk: Option<Arc<dyn Disk>>) -> Self {
        Self::of(Arc::new(spec(verifiers, DEFAULT_CHAIN_ID)), DomainId(1), disk)
    }

    /// One shard of a network, none of whose seats runs yet.
    pub(crate) fn of(spec: Arc<ChainSpec>, domain: DomainId, disk: Option<Arc<dyn Disk>>) -> Self {
        let verifiers = spec.verifiers_per_shard;
        Self {
            spec,
            domain,
            wire: Arc::new(Wire::new(verifiers)),
            disk,
            wallet: wallets(DEFAULT_MNEMONIC, 1).unwrap().remove(0),
            seats: (0..=verifiers).map(|_| None).collect(),
            folder: TempDir::new().unwrap(),
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            nonce: 0,
            founded: false,
            byzantine: Vec::new(),
        }
    }

    pub(crate) fn dir(&self, seat: u16) -> PathBuf {
        self.folder.path().join(format!("seat-{seat}"))
    }

    pub(crate) fn try_start(&mut self, seat: u16) -> Result<(), NodeError> {
        let index = SeatIndex(seat);
        let config = SeatConfig {
            seat: index,
            domain: self.domain,
            spec: self.spec.clone(),
            key: seat_key(DEFAULT_MNEMONIC, self.domain, index),
            entropy: [u8::try_from(seat).unwrap(); 32],
            verified: Arc::default(),
            dir: self.dir(seat),
            limits: ChainLimits::SERVING,
            pool: PoolLimits::for_chain(&self.spec),
            clock: Arc::new(SystemClock),
            disk: self.disk.clone(),
            founding: !self.founded,
            byzantine: self.byzantine.contains(&seat),
            root: None,
        };
        let transport: Arc<dyn Transport> = self.wire.clone();
        self.seats[usize::from(seat)] = Some(Seat::start(&config, &transport)?);
        Ok(())
    }

    pub(crate) fn start_seat(&mut self, seat: u16) {
        self.try_start(seat).unwrap();
    }

    /// Starts every seat that does not run, the generator last.
    pub(crate) fn start_all(&mut self) {
        for seat in self.indices().rev() {
            if self.seats[usize::from(seat)].is_none() {
                self.start_seat(seat);
            }
        }
        self.founded = true;
    }

    pub(crate) fn stop_seat(&mut self, seat: u16) {
        self.seats[usize::from(seat)].take().expect("it runs").stop();
    }

    /// Stops a seat as a power cut would.
    pub(crate) fn kill_seat(&mut self, seat: u16) {
        self.seats[usize::from(seat)].take().expect("it runs").kill();
    }

    pub(crate) fn kill_all(&mut self) {
        for seat in self.running() {
            self.kill_seat(seat);
        }
    }

    /// The seats that run.
    pub(crate) fn running(&self) -> Vec<u16> {
        self.indices().filter(|seat| self.seats[usize::from(*seat)].is_some()).collect()
    }

    pub(crate) fn stop_all(&mut self) {
        for seat in self.indices() {
            self.stop_seat(seat);
        }
    }

    pub(crate) fn indices(&self) -> std::ops::Range<u16> {
        0..u16::try_from(self.seats.len()).unwrap()
    }

    pub(crate) fn seat(&self, seat: u16) -> &Seat {
        self.seats[usize::from(seat)].as_ref().expect("it runs")
    }

    /// What the RPC server would serve from.
    pub(crate) fn backend(&self, seat: u16) -> Backend {
        self.clients(seat).serve(None, None)
    }

    /// The same, which can be led to another seat.
    pub(crate) fn clients(&self, seat: u16) -> Arc<SeatBackend> {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        SeatBackend::new(self.seat(seat), metrics)
    }

    pub(crate) fn height(&self, seat: u16) -> u64 {
        self.seat(seat).chain().head().header.height.0
    }

    pub(crate) fn block(&self, seat: u16, height: u64) -> Arc<RpcBlock> {
        self.seat(seat).chain().block(Height(height)).unwrap().expect("it is decided")
    }

    /// Waits until something holds of a seat, looking again at every block and every message.
    pub(crate) fn wait(&self, seat: u16, what: &str, mut holds: impl FnMut(&Seat) -> bool) {
        let node = self.seat(seat);
        let mut heads = node.chain().subscribe();
        let mut sent = self.wire.sent();
        let watch = async {
            while !holds(node) {
                tokio::select! {
                    // Missed heads are as good as seen ones: the condition looks at the chain itself.
                    _ = heads.recv() => {}
                    changed = sent.changed() => changed.expect("the wire outlives the seats"),
                }
            }
        };
        let waited = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, watch).await });
        let trouble = node.health().trouble();
        assert!(waited.is_ok(), "seat {seat}: {what} did not come: {:?}, trouble {trouble:?}", node.status());
    }

    pub(crate) fn wait_height(&self, seat: u16, height: u64) {
        self.wait(seat, &format!("height {height}"), |seat| seat.chain().head().header.height.0 >= height);
    }

    /// Waits for a block above `above` that was decided in this way; its height.
    pub(crate) fn wait_decided(&self, seat: u16, above: u64, kind: CertificateKind) -> u64 {
        let mut next = above + 1;
        let mut found = 0;
        self.wait(seat, &format!("a block of kind {kind:?} above {above}"), |seat| {
            while let Some(block) = seat.chain().block(Height(next)).unwrap() {
                if block.certificate.as_ref().is_some_and(|certificate| certificate.kind == kind) {
                    found = next;
                    return true;
                }
                next += 1;
            }
            false
        });
        found
    }

    /// A signed transfer of the wallet with its next nonce.
    pub(crate) fn transfer(&mut self, input: usize) -> Bytes {
        let tx = TxEip1559 {
            chain_id: self.spec.network.0,
            nonce: self.nonce,
            gas_limit: 21_000 + 40 * input as u64,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::repeat_byte(0x77)),
            value: U256::from(1),
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: vec![0; input].into(),
        };
        self.nonce += 1;
        let signature = self.wallet.sign_hash_sync(&tx.signature_hash()).unwrap();
        alloy_consensus::TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
    }

    /// Submits so many transfers to the generator.
    pub(crate) fn submit(&mut self, count: usize, input: usize) -> Vec<B256> {
        let backend = self.backend(0);
        self.submit_to(&backend, count, input)
    }

    /// Submits so many transfers; every one is acknowledged.
    pub(crate) fn submit_to(&mut self, backend: &Backend, count: usize, input: usize) -> Vec<B256> {
        (0..count).map(|_| backend.pool.submit(self.transfer(input)).unwrap()).collect()
    }

    /// Waits until the generator shows a transaction; the height of its block.
    pub(crate) fn wait_included(&self, hash: &B256) -> u64 {
        self.wait_included_at(0, hash)
    }

    /// Waits until a seat shows a transaction; the height of its block.
    pub(crate) fn wait_included_at(&self, seat: u16, hash: &B256) -> u64 {
        let mut at = 0;
        self.wait(seat, "a transaction", |seat| {
            let place = seat.chain().transaction(hash).unwrap();
            at = place.map_or(0, |(height, _)| height.0);
            place.is_some()
        });
        at
    }

    /// Holds every running seat's chain against the first one's, and every held state against its header.
    pub(crate) fn assert_agreement(&self) {
        let running = self.running();
        let common = running.iter().map(|seat| self.height(*seat)).min().unwrap();
        assert!(common > 0, "nothing was decided");
        for height in 1..=common {
            let expected = self.block(running[0], height);
            for seat in running.iter().copied() {
                let block = self.block(seat, height);
                assert_eq!(block.header.hash(), expected.header.hash(), "seat {seat}, height {height}");
                assert_eq!(block.receipts, expected.receipts, "seat {seat}, height {height}");
                if let Some(state) = self.seat(seat).chain().state(Height(height)) {
                    assert_eq!(state.root(), expected.header.state_root, "seat {seat}, height {height}");
                }
            }
        }
    }
}
