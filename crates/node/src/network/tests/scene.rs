//! A network of hand-made shard blocks and root blocks: nothing runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip4844, TxType};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, TxKind, U256};
use alloy_rpc_types_eth::SyncInfo;
use alloy_rpc_types_trace::geth::{CallFrame, GethDebugTracingOptions, GethTrace};
use anfs_execution::Refusal;
use anfs_execution::trace::ArrivalTrace;
use anfs_primitives::{
    Arrival, BlockCrossing, BlockHash, BlsSignature, CallForm, CertificateKind, CertifiedRootBlock,
    ChainSpec, CrossCall, CrossMessage, DomainId, Epoch, GasPayment, Height, MessageBody, Receipt,
    RecoveredTransaction, RootBlock, RootCertificate, RootHeader, RootSeat, SealedHeader, SeatIndex,
    ShardHeader, ShardReference, ShardTip, Slot, Supply, View, VoteTarget,
};
use anfs_rpc::{BackendError, ChainReader, RpcBlock, ShownBlock};
use anfs_state::{StateChanges, WorldState};
use anfs_store::MessagePlace;
use anfs_store::disk::SystemDisk;
use parking_lot::RwLock;
use tempfile::TempDir;

use crate::error::NodeError;
use crate::genesis::{first_header, root_state};
use crate::network::follow::Progress;
use crate::network::{DomainChain, NetworkFollower, NetworkSources, NetworkView};
use crate::root::{RootChain, RootDomain, RootExecuted};
use crate::testing;

/// Base fee of every hand-made block.
pub(super) const BASE_FEE: u64 = 1_000_000_000;
/// What every transaction offers at most, and for the proposer.
pub(super) const MAX_FEE: u128 = 3_000_000_000;
pub(super) const TIP: u128 = 500_000_000;

/// A shard's decided blocks; the first is genesis.
#[derive(Debug)]
pub(super) struct FakeShard {
    blocks: RwLock<Vec<Arc<RpcBlock>>>,
    /// The states after them.
    states: RwLock<Vec<WorldState>>,
    /// States below this height are gone.
    oldest_state: RwLock<Height>,
    /// Blocks from here on are not visible yet.
    hidden_from: RwLock<Option<Height>>,
}

/// What goes into a hand-made shard block.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) transactions: Vec<(RecoveredTransaction, Receipt)>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) sent: Vec<CrossMessage>,
    pub(super) changes: StateChanges,
}

pub(super) struct Scene {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) root: Arc<RootChain>,
    pub(super) shards: Vec<Arc<FakeShard>>,
    pub(super) view: Arc<NetworkView>,
    lanes: BTreeMap<(DomainId, DomainId), u64>,
    folder: TempDir,
}

impl FakeShard {
    fn new((header, state): (SealedHeader, WorldState)) -> Arc<Self> {
        let genesis = shard_block(header, Content::default());
        Arc::new(Self {
            blocks: RwLock::new(vec![genesis]),
            states: RwLock::new(vec![state]),
            oldest_state: RwLock::default(),
            hidden_from: RwLock::default(),
        })
    }

    pub(super) fn last_state(&self) -> WorldState {
        self.states.read().last().unwrap().clone()
    }

    /// The state after a block, whether or not it is gone.
    pub(super) fn state_at(&self, height: Height) -> WorldState {
        self.states.read()[usize::try_from(height.0).unwrap()].clone()
    }

    pub(super) fn replace_last_state(&self, state: WorldState) {
        *self.states.write().last_mut().unwrap() = state;
    }

    pub(super) fn forget_states_below(&self, height: Height) {
        *self.oldest_state.write() = height;
    }

    pub(super) fn last(&self) -> Arc<RpcBlock> {
        self.blocks.read().last().unwrap().clone()
    }

    pub(super) fn at(&self, height: Height) -> Arc<RpcBlock> {
        self.blocks.read()[usize::try_from(height.0).unwrap()].clone()
    }

    pub(super) fn hide_from(&self, height: Option<Height>) {
        *self.hidden_from.write() = height;
    }

    fn shown(&self, height: Height) -> bool {
        self.hidden_from.read().is_none_or(|hidden| height < hidden)
    }
}

fn shard_block(header: SealedHeader, content: Content) -> Arc<RpcBlock> {
    let (transactions, receipts): (Vec<_>, Vec<_>) = content.transactions.into_iter().unzip();
    Arc::new(RpcBlock {
        timestamp: header.slot.0,
        prev_randao: B256::ZERO,
        size: 1000,
        transactions: transactions.into(),
        receipts: receipts.into(),
        crossing: Arc::new(crossing_of(content.arrivals, content.sent)),
        certificate: None,
        header,
    })
}

impl DomainChain for FakeShard {
    fn state(&self, height: Height) -> Option<WorldState> {
        let held = height >= *self.oldest_state.read() && self.shown(height);
        self.states.read().get(usize::try_from(height.0).unwrap()).filter(|_| held).cloned()
    }

    /// A call succeeds; without a receipt it was turned away.
    fn trace_arrival(
        &self,
        height: Height,
        index: u32,
        _options: &GethDebugTracingOptions,
    ) -> Result<ArrivalTrace, BackendError> {
        let block = self.at(height);
        let arrival = &block.crossing.arrivals[usize::try_from(index).unwrap()];
        Ok(match (&arrival.message.body, &arrival.receipt) {
            (MessageBody::Call(call), Some(_)) => {
                let frame = CallFrame { from: call.sender, to: Some(call.recipient), ..CallFrame::default() };
                ArrivalTrace::Ran(Box::new(GethTrace::CallTracer(frame)))
            }
            (MessageBody::Call(call), None) => ArrivalTrace::Refused(Refusal::Late(call.deadline)),
            _ => ArrivalTrace::Settled,
        })
    }

    fn message(&self, id: &B256) -> Result<Option<MessagePlace>, NodeError> {
        let place = |height, index: usize, consumed| MessagePlace {
            height,
            index: u32::try_from(index).unwrap(),
            consumed,
        };
        Ok(self.blocks.read().iter().find_map(|block| {
            let (height, crossing) = (block.header.height, &block.crossing);
            let sent = crossing.sent.iter().position(|message| message.id() == *id);
            let consumed = || crossing.arrivals.iter().position(|arrival| arrival.message.id() == *id);
            sent.map(|at| place(height, at, false)).or_else(|| Some(place(height, consumed()?, true)))
        }))
    }
}

fn crossing_of(arrivals: Vec<Arrival>, sent: Vec<CrossMessage>) -> BlockCrossing {
    BlockCrossing { arrivals: arrivals.try_into().unwrap(), sent: sent.try_into().unwrap() }
}

impl ChainReader for FakeShard {
    fn chain_id(&self) -> u64 {
        7
    }
    fn head(&self) -> Arc<dyn ShownBlock> {
        self.last()
    }
    fn block(&self, height: Height) -> Result<Option<Arc<dyn ShownBlock>>, BackendError> {
        let at = usize::try_from(height.0).unwrap();
        let block = self.blocks.read().get(at).cloned();
        Ok(block.filter(|_| self.shown(height)).map(|block| block as _))
    }
    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, BackendError> {
        let blocks = self.blocks.read();
        Ok(blocks.iter().find(|block| block.header.hash() == *hash).map(|block| block.header.height))
    }
    fn transaction(&self, hash: &B256) -> Result<Option<(Height, u32)>, BackendError> {
        Ok(self.blocks.read().iter().find_map(|block| {
            let (index, _) = (0u32..).zip(block.transactions.iter()).find(|(_, tx)| tx.hash() == hash)?;
            Some((block.header.height, index))
        }))
    }
    fn next_base_fee(&self) -> u64 {
        self.last().header.base_fee + 1
    }
    fn next_timestamp(&self) -> u64 {
        self.last().timestamp + 1
    }
    fn syncing(&self) -> Option<SyncInfo> {
        None
    }
}

impl Scene {
    pub(super) fn new(shards: u32) -> Self {
        let mut spec = (*testing::spec()).clone();
        spec.accounts.extend(anfs_execution::system::root_accounts());
        spec.shards = vec![spec.shards[0].clone(); shards as usize];
        let folder = TempDir::new().unwrap();
        let genesis = |domain| first_header(&spec, DomainId(domain)).unwrap();
        let chains: Vec<_> = (1..=shards).map(|domain| FakeShard::new(genesis(domain))).collect();
        let spec = Arc::new(spec);
        let header = root_header(Height::ZERO, B256::ZERO, &chains).seal();
        let accounts = root_state(&spec).unwrap();
        let first = RootExecuted::made_up(&spec, &header, accounts, BlockCrossing::default());
        let domain = Arc::new(RootDomain::new(spec.clone(), &first));
        let root = Arc::new(RootChain::new(header, domain));
        let view = NetworkView::open(sources(&spec, &root, &chains, index(&folder)), &SystemDisk);
        let view = Arc::new(view.unwrap());
        Self { spec, root, shards: chains, view, lanes: BTreeMap::new(), folder }
    }

    pub(super) fn index(&self) -> PathBuf {
        index(&self.folder)
    }

    pub(super) fn shard(&self, domain: u32) -> &Arc<FakeShard> {
        &self.shards[domain as usize - 1]
    }

    /// The next message of a lane.
    pub(super) fn message(&mut self, from: u32, to: u32, origin: B256, body: MessageBody) -> CrossMessage {
        let lane = self.lanes.entry((DomainId(from), DomainId(to))).or_default();
        *lane += 1;
        CrossMessage {
            network: self.spec.network,
            source: DomainId(from),
            destination: DomainId(to),
            sequence: *lane - 1,
            origin,
            body,
        }
    }

    /// A shard decides a block.
    pub(super) fn decide(&self, domain: u32, content: Content) -> Height {
        let shard = self.shard(domain);
        let parent = shard.last();
        let gas_used = content.transactions.iter().map(|(_, receipt)| receipt.gas_used).sum();
        let state = shard.last_state().apply(&content.changes).unwrap();
        let header = ShardHeader {
            state_root: state.root(),
            height: parent.header.height.next(),
            slot: Slot(parent.header.slot.0 + 1),
            parent: parent.header.hash(),
            base_fee: BASE_FEE,
            gas_used,
            ..parent.header.header().clone()
        };
        let height = header.height;
        shard.blocks.write().push(shard_block(header.seal(), content));
        shard.states.write().push(state);
        height
    }

    /// The root makes all decided blocks final, in its order, and does nothing itself.
    pub(super) fn finalise(&self) -> Height {
        self.finalise_and(Content::default())
    }

    /// As [`Self::finalise`]; the root's block, once executed, comes to this.
    pub(super) fn finalise_and(&self, content: Content) -> Height {
        let parent = self.root.head();
        let height = parent.height.next();
        let mut references = Vec::new();
        for (domain, shard) in (1u32..).zip(&self.shards) {
            let tip = parent.tip(DomainId(domain)).unwrap().height;
            let blocks = shard.blocks.read();
            references.extend(blocks.iter().filter(|block| block.header.height > tip).map(|block| {
                let certificate = testing::certificate(&block.header);
                ShardReference { header: block.header.clone(), certificate }
            }));
        }
        let header = root_header(height, parent.hash(), &self.shards).seal();
        let target = VoteTarget {
            network: header.network,
            epoch: Epoch::ZERO,
            domain: DomainId(0),
            height,
            view: View::ZERO,
            block: header.hash(),
        };
        let certificate = RootCertificate {
            kind: CertificateKind::Commit,
            target,
            signers: Default::default(),
            signature: BlsSignature::ZERO,
        };
        let crossing = crossing_of(content.arrivals, content.sent);
        let domain = self.root.domain();
        let accounts = domain.state_at(domain.newest().header.height).unwrap();
        domain.publish(&RootExecuted::made_up(&self.spec, &header, accounts, crossing));
        let block = Arc::new(RootBlock {
            header,
            references: references.try_into().unwrap(),
            inbound: Default::default(),
            parent_commit: None,
        });
        self.root.publish(&Arc::new(CertifiedRootBlock { block, certificate }));
        height
    }

    /// Takes in all that the root has.
    pub(super) fn follow(&self) {
        while self.view.advance().unwrap() == Progress::Added {}
    }

    /// Makes all decided blocks final, and gives the network block that comes of it.
    pub(super) fn seal(&self) -> Arc<dyn ShownBlock> {
        let height = self.finalise();
        self.follow();
        self.view.block(height).unwrap().unwrap()
    }

    /// Follows the root in a thread of its own, on an index of its own.
    pub(super) fn start(&self, index: &str) -> NetworkFollower {
        let index = self.folder.path().join(index);
        NetworkView::start(sources(&self.spec, &self.root, &self.shards, index), &SystemDisk).unwrap()
    }

    /// Starts over from disk, having lost what was not written.
    pub(super) fn reopen(&mut self) {
        self.view = Arc::new(self.try_open().unwrap());
        self.follow();
    }

    pub(super) fn try_open(&self) -> Result<NetworkView, NodeError> {
        NetworkView::open(sources(&self.spec, &self.root, &self.shards, self.index()), &SystemDisk)
    }

    /// The root begins again at genesis, and makes its first block final once more.
    pub(super) fn restart_root(&mut self) {
        let first = self.root.block(Height(1)).unwrap().unwrap();
        let genesis = self.root.genesis().clone();
        let accounts = root_state(&self.spec).unwrap();
        let executed = RootExecuted::made_up(&self.spec, &genesis, accounts, BlockCrossing::default());
        let domain = Arc::new(RootDomain::new(self.spec.clone(), &executed));
        self.root = Arc::new(RootChain::new(genesis, domain));
        self.reopen();
        self.root.publish(&first);
        self.follow();
    }
}

fn index(folder: &TempDir) -> PathBuf {
    folder.path().join("network.log")
}

fn sources(
    spec: &Arc<ChainSpec>,
    root: &Arc<RootChain>,
    shards: &[Arc<FakeShard>],
    index: PathBuf,
) -> NetworkSources {
    let shards = shards.iter().map(|shard| shard.clone() as _).collect();
    NetworkSources { spec: spec.clone(), root: root.clone(), shards, index }
}

fn root_header(height: Height, parent: B256, shards: &[Arc<FakeShard>]) -> RootHeader {
    let tips = shards.iter().map(|shard| {
        let last = shard.last();
        ShardTip { height: last.header.height, hash: last.header.hash() }
    });
    RootHeader {
        network: shards[0].last().header.network,
        height,
        parent,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: RootSeat { domain: DomainId(1), seat: SeatIndex(0) },
        timestamp_ms: 1_700_000_000_000 + height.0 * 500,
        references_root: B256::with_last_byte(0x11),
        tips: tips.collect::<Vec<_>>().try_into().unwrap(),
        inbound_root: B256::ZERO,
        parent_commit: B256::ZERO,
        execution: Default::default(),
        supply: Supply::default(),
    }
}

/// An address whose home is a domain.
pub(super) fn resident(scene: &Scene, domain: u32, salt: u64) -> Address {
    let map = scene.view.map();
    let mut candidates =
        (salt * 1_000_000..).map(|number: u64| Address::left_padding_from(&(number + 0x1000).to_be_bytes()));
    candidates.find(|address| map.home(address) == DomainId(domain)).unwrap()
}

pub(super) fn transaction(sender: Address, to: TxKind, nonce: u64) -> RecoveredTransaction {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: MAX_FEE,
        max_priority_fee_per_gas: TIP,
        to,
        value: U256::from(5),
        // Keeps hashes of different senders apart: the signature is made up.
        input: Bytes::copy_from_slice(sender.as_slice()),
        ..TxEip1559::default()
    };
    let signed: EthereumTxEnvelope<TxEip4844> = tx.into_signed(Signature::test_signature()).into();
    RecoveredTransaction::decode_claimed(&signed.encoded_2718().into(), sender).unwrap()
}

pub(super) fn receipt(success: bool, gas_used: u64, logs: Vec<Log>) -> Receipt {
    Receipt {
        kind: TxType::Eip1559,
        success,
        cumulative_gas_used: gas_used,
        gas_used,
        contract_address: None,
        logs,
    }
}

pub(super) fn log(mark: u8) -> Log {
    let data = LogData::new_unchecked(vec![B256::repeat_byte(mark)], Bytes::new());
    Log { address: Address::repeat_byte(mark), data }
}

/// The call that a transaction leaves with.
pub(super) fn departure(tx: &RecoveredTransaction, to: Address) -> MessageBody {
    MessageBody::Call(CrossCall {
        sender: tx.sender(),
        recipient: to,
        value: U256::from(5),
        gas_limit: 179_000,
        payment: GasPayment::Prepaid { max_fee: MAX_FEE, max_tip: TIP },
        deadline: Slot(1000),
        data: Default::default(),
        form: CallForm::Direct,
        result: None,
    })
}

pub(super) fn credit(recipient: Address) -> MessageBody {
    MessageBody::Credit { recipient, value: U256::from(9) }
}

pub(super) fn ran(message: CrossMessage, leg: Receipt) -> Arrival {
    Arrival { message, receipt: Some(leg) }
}

pub(super) fn settled(message: CrossMessage) -> Arrival {
    Arrival { message, receipt: None }
}
