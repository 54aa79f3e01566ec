//! What a state of the model holds: facts that only grow within a view, and no messages.

use crate::tree::{BlockId, HEIGHTS, Tree};

/// Honest verifiers; one more is byzantine.
pub(crate) const HONEST: usize = 3;
/// Views in which seats may vote, at most.
pub(crate) const STAGES_MAX: usize = 4;

/// A view and a block in one byte; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark(u8);

impl Mark {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(view: u8, block: BlockId) -> Self {
        Self(1 + view * 8 + block)
    }

    /// The view and the block.
    pub(crate) fn get(self) -> Option<(u8, BlockId)> {
        self.0.checked_sub(1).map(|packed| (packed / 8, packed % 8))
    }

    pub(crate) fn view(self) -> Option<u8> {
        self.get().map(|(view, _)| view)
    }

    fn rename(self, names: &[BlockId]) -> Self {
        self.get().map_or(self, |(view, block)| Self::new(view, names[usize::from(block)]))
    }
}

/// What an honest verifier can say of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Word {
    Sliced = 0,
    Full = 1,
    Invalid = 2,
    Commit = 3,
}

impl Word {
    pub(crate) const ALL: [Self; 4] = [Self::Sliced, Self::Full, Self::Invalid, Self::Commit];
}

/// The votes of one seat in the present view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Votes(u32);

impl Votes {
    pub(crate) fn has(self, block: BlockId, word: Word) -> bool {
        self.0 & (1 << (u32::from(block) * 4 + word as u32)) != 0
    }

    pub(crate) fn add(&mut self, block: BlockId, word: Word) {
        self.0 |= 1 << (u32::from(block) * 4 + word as u32);
    }

    pub(crate) fn approves(self, block: BlockId) -> bool {
        self.has(block, Word::Sliced) || self.has(block, Word::Full)
    }

    /// Those on one block.
    pub(crate) fn on(self, block: BlockId) -> Self {
        Self(self.0 & (0xf << (u32::from(block) * 4)))
    }

    pub(crate) fn iter(self, tree: &Tree) -> impl Iterator<Item = (BlockId, Word)> {
        let all = tree.all().flat_map(|block| Word::ALL.map(|word| (block, word)));
        all.filter(move |&(block, word)| self.has(block, word))
    }

    fn rename(self, names: &[BlockId]) -> Self {
        let mut renamed = Self::default();
        for (from, &to) in (0u32..).zip(names).filter(|_| self.0 != 0) {
            renamed.0 |= ((self.0 >> (from * 4)) & 0xf) << (u32::from(to) * 4);
        }
        renamed
    }
}

/// What a promise to enter a view says. `tip` is 0 or block + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Promise {
    pub(crate) tip: u8,
    pub(crate) approved: [Mark; HEIGHTS],
    pub(crate) prepared: [Mark; HEIGHTS],
}

impl Promise {
    fn rename(self, names: &[BlockId]) -> Self {
        Self {
            tip: rename_one(self.tip, names),
            approved: self.approved.map(|mark| mark.rename(names)),
            prepared: self.prepared.map(|mark| mark.rename(names)),
        }
    }
}

/// An honest verifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat {
    /// The highest block that it has decided: 0 or block + 1.
    pub(crate) tip: u8,
    /// Its latest approval in the views before, by height.
    pub(crate) approved: [Mark; HEIGHTS],
    /// The PrepareCert that its latest commit in the views before answered, by height.
    pub(crate) prepared: [Mark; HEIGHTS],
    pub(crate) votes: Votes,
    /// Its promise to enter the present view.
    pub(crate) promise: Option<Promise>,
}

impl Seat {
    fn rename(self, names: &[BlockId]) -> Self {
        Self {
            tip: rename_one(self.tip, names),
            approved: self.approved.map(|mark| mark.rename(names)),
            prepared: self.prepared.map(|mark| mark.rename(names)),
            votes: self.votes.rename(names),
            promise: self.promise.map(|promise| promise.rename(names)),
        }
    }
}

/// A set of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Blocks(pub(crate) u8);

impl Blocks {
    pub(crate) fn has(self, block: BlockId) -> bool {
        self.0 & (1 << block) != 0
    }

    pub(crate) fn add(&mut self, block: BlockId) {
        self.0 |= 1 << block;
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = BlockId> {
        (0..8).filter(move |&block| self.has(block))
    }

    fn rename(self, names: &[BlockId]) -> Self {
        let mut renamed = Self::default();
        for (from, &to) in (0..).zip(names) {
            if self.has(from) {
                renamed.add(to);
            }
        }
        renamed
    }
}

/// A state: the present view, the certificates that exist, and three honest verifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    /// The present view is number 2 · stage; see the crate's text.
    pub(crate) stage: u8,
    /// The view before is over, and the promises to enter this one are not made yet.
    pub(crate) between: bool,
    /// Blocks with a PrepareCert, by stage.
    pub(crate) prepares: [Blocks; STAGES_MAX],
    /// Blocks with a FastCert or CommitCert of an earlier view.
    pub(crate) decided: Blocks,
    /// The same, of the present view.
    pub(crate) decided_now: Blocks,
    /// Blocks with a conviction.
    pub(crate) convicted: Blocks,
    /// Blocks that are wrong.
    pub(crate) invalid: Blocks,
    pub(crate) seats: [Seat; HONEST],
}

impl State {
    pub(crate) fn view(&self) -> u8 {
        2 * self.stage
    }

    pub(crate) fn certified(&self) -> Blocks {
        self.decided.or(self.decided_now)
    }

    /// The least of all states that differ from this one in names only.
    pub(crate) fn canonical(&self, tree: &Tree) -> Self {
        let mut least = *self;
        least.seats.sort_unstable();
        for names in &tree.symmetries[1..] {
            let mut state = Self {
                stage: self.stage,
                between: self.between,
                prepares: self.prepares.map(|blocks| blocks.rename(names)),
                decided: self.decided.rename(names),
                decided_now: self.decided_now.rename(names),
                convicted: self.convicted.rename(names),
                invalid: self.invalid.rename(names),
                seats: self.seats.map(|seat| seat.rename(names)),
            };
            state.seats.sort_unstable();
            least = least.min(state);
        }
        least
    }
}

fn rename_one(packed: u8, names: &[BlockId]) -> u8 {
    packed.checked_sub(1).map_or(0, |block| 1 + names[usize::from(block)])
}
