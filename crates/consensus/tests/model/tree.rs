//! The few blocks that a run knows of, and their production headers.

use alloy_primitives::{Address, B256, Bloom, U256};
use anfs_primitives::{
    BlockHash, BoundedVec, DomainId, Epoch, Height, NetworkId, Proposal, RootReference, SealedHeader,
    SeatIndex, ShardHeader, Slot, View, VoteTarget,
};

/// A block by its place in the tree; in packed fields 0 is "none" and `block + 1` the block.
pub(crate) type BlockId = u8;

/// Heights above genesis that a tree may have.
pub(crate) const HEIGHTS: usize = 2;
/// Blocks that a tree may have: what the packed fields hold.
pub(crate) const BLOCKS_MAX: usize = 8;

/// Blocks on top of genesis.
pub(crate) struct Tree {
    names: Vec<&'static str>,
    parents: Vec<Option<BlockId>>,
    headers: Vec<SealedHeader>,
    /// For each block: itself and its ancestors, downwards.
    chains: Vec<Vec<BlockId>>,
    /// Renamings of blocks that leave the tree as it is; the first changes nothing.
    pub(crate) symmetries: Vec<Vec<BlockId>>,
}

impl Tree {
    /// Takes (name, parent); parents come before their children.
    pub(crate) fn new(blocks: &[(&'static str, Option<BlockId>)]) -> Self {
        assert!(blocks.len() <= BLOCKS_MAX, "packed fields hold {BLOCKS_MAX} blocks");
        let names = blocks.iter().map(|&(name, _)| name).collect();
        let parents: Vec<_> = blocks.iter().map(|&(_, parent)| parent).collect();
        let mut headers: Vec<SealedHeader> = Vec::new();
        for (salt, parent) in (0..).zip(&parents) {
            let below = parent.map(|parent| &headers[usize::from(parent)]);
            let header = header(salt, below);
            headers.push(header);
        }
        let mut chains: Vec<Vec<BlockId>> = Vec::new();
        for (block, parent) in (0..).zip(&parents) {
            let below = parent.map_or(Vec::new(), |parent| chains[usize::from(parent)].clone());
            chains.push([&[block], &below[..]].concat());
        }
        let symmetries = symmetries(&parents);
        let tree = Self { names, parents, headers, chains, symmetries };
        assert!(tree.all().all(|block| tree.height(block) <= HEIGHTS), "at most {HEIGHTS} heights");
        tree
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = BlockId> + use<> {
        0..BlockId::try_from(self.parents.len()).unwrap()
    }

    pub(crate) fn at(&self, height: usize) -> impl Iterator<Item = BlockId> + '_ {
        self.all().filter(move |&block| self.height(block) == height)
    }

    pub(crate) fn name(&self, block: BlockId) -> &'static str {
        self.names[usize::from(block)]
    }

    pub(crate) fn parent(&self, block: BlockId) -> Option<BlockId> {
        self.parents[usize::from(block)]
    }

    pub(crate) fn height(&self, block: BlockId) -> usize {
        self.chains[usize::from(block)].len()
    }

    /// The block and its ancestors, downwards.
    pub(crate) fn chain(&self, block: BlockId) -> &[BlockId] {
        &self.chains[usize::from(block)]
    }

    /// Whether `ancestor` is the block or below it.
    pub(crate) fn extends(&self, block: BlockId, ancestor: BlockId) -> bool {
        self.chain(block).contains(&ancestor)
    }

    pub(crate) fn hash(&self, block: BlockId) -> BlockHash {
        self.headers[usize::from(block)].hash()
    }

    pub(crate) fn find(&self, hash: &BlockHash) -> Option<BlockId> {
        self.all().find(|&block| self.hash(block) == *hash)
    }

    pub(crate) fn proposal(&self, block: BlockId) -> Proposal {
        let signature = anfs_primitives::BlsSignature::ZERO;
        Proposal { header: self.headers[usize::from(block)].clone(), signature }
    }

    pub(crate) fn target(&self, view: View, block: BlockId) -> VoteTarget {
        VoteTarget {
            network: NetworkId(7),
            epoch: Epoch::ZERO,
            domain: DomainId(1),
            height: height_of(self.height(block)),
            view,
            block: self.hash(block),
        }
    }
}

pub(crate) fn height_of(height: usize) -> Height {
    Height(u64::try_from(height).unwrap())
}

fn header(salt: u64, parent: Option<&SealedHeader>) -> SealedHeader {
    let height = parent.map_or(Height(1), |parent| parent.height.next());
    ShardHeader {
        network: NetworkId(7),
        domain: DomainId(1),
        height,
        slot: Slot(height.0),
        parent: parent.map_or(B256::ZERO, SealedHeader::hash),
        epoch: Epoch::ZERO,
        view: View::ZERO,
        proposer: SeatIndex::GENERATOR,
        beneficiary: Address::ZERO,
        root_reference: RootReference::default(),
        poh_start: B256::ZERO,
        poh_end: B256::ZERO,
        boundaries: BoundedVec::new(),
        entries_root: B256::ZERO,
        transactions_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        state_root: B256::ZERO,
        outbox_root: B256::ZERO,
        lanes: BoundedVec::new(),
        inbox_cursors: BoundedVec::new(),
        gas_used: salt,
        gas_limit: 1_000,
        base_fee: 1,
        value_in: U256::ZERO,
        value_out: U256::ZERO,
        burned: U256::ZERO,
    }
    .seal()
}

/// All renamings under which every block keeps its parent.
fn symmetries(parents: &[Option<BlockId>]) -> Vec<Vec<BlockId>> {
    let mut found = vec![Vec::new()];
    for (block, parent) in parents.iter().enumerate() {
        let mut longer = Vec::new();
        for renaming in &found {
            let fits = |&to: &BlockId| {
                let image = parent.map(|parent| renaming[usize::from(parent)]);
                !renaming.contains(&to) && parents[usize::from(to)] == image
            };
            let all = 0..BlockId::try_from(parents.len()).unwrap();
            longer.extend(all.filter(fits).map(|to| [&renaming[..], &[to]].concat()));
        }
        found = longer;
        debug_assert!(found.iter().all(|renaming| renaming.len() == block + 1));
    }
    found
}
