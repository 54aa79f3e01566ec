//! Holds a history of transfers and reads against what the server promises.
//!
//! Each transfer to a receiver moves a power of four of its own, and a receiver gets coins in no other way. So his
//! balance says which transfers have reached him: a bit in an odd place is one that came twice.

use std::collections::BTreeMap;
use std::fmt;

/// A moment of the recorder's clock, which ticks at each start and each end of an operation.
pub(crate) type Tick = u64;

/// A transfer that was sent, and how it ended if that was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) receiver: usize,
    /// It moves 4 to the power of this, in wei.
    pub(crate) power: u32,
    pub(crate) sent: Tick,
    /// When its receipt was seen, and the block that the receipt names.
    pub(crate) done: Option<(Tick, u64)>,
}

/// A balance that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) receiver: usize,
    pub(crate) start: Tick,
    pub(crate) end: Tick,
    /// The block that it was asked for; `None` for the newest.
    pub(crate) block: Option<u64>,
    /// In wei.
    pub(crate) balance: u128,
}

/// The newest block's number, as read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) start: Tick,
    pub(crate) end: Tick,
    pub(crate) number: u64,
}

/// Everything that was done and seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) reads: Vec<Read>,
    pub(crate) heads: Vec<Head>,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Coins that no transfer, or one twice, has brought.
    Doubled,
    /// A transfer is seen before it was sent.
    Foreseen,
    /// A transfer whose receipt had been seen is not there.
    Lost,
    /// A read sees less than one that had ended before it began.
    Backwards,
    /// A block shows another balance than before, or than its transfers give.
    Unstable,
    /// The newest block is older than one that was seen before.
    HeadBack,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl History {
    /// The first breach, with what shows it.
    pub(crate) fn check(&self) -> Result<(), (Breach, String)> {
        self.check_heads()?;
        self.reads.iter().try_for_each(|read| self.check_read(read))?;
        self.check_order()?;
        self.check_blocks()
    }

    fn transfers_to(&self, receiver: usize) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter().filter(move |transfer| transfer.receiver == receiver)
    }

    fn check_heads(&self) -> Result<(), (Breach, String)> {
        let mut by_start = self.heads.clone();
        by_start.sort_by_key(|head| head.start);
        let mut by_end = self.heads.clone();
        by_end.sort_by_key(|head| head.end);
        let (mut ended, mut highest) = (by_end.iter().peekable(), 0);
        for head in by_start {
            while let Some(before) = ended.next_if(|before| before.end < head.start) {
                highest = highest.max(before.number);
            }
            if head.number < highest {
                return Err((Breach::HeadBack, format!("{head:?} after {highest}")));
            }
        }
        Ok(())
    }

    fn check_read(&self, read: &Read) -> Result<(), (Breach, String)> {
        let known: u128 = self.transfers_to(read.receiver).map(|transfer| 4u128.pow(transfer.power)).sum();
        if read.balance & !known != 0 {
            return Err((Breach::Doubled, format!("{read:?}, {:#x} unaccounted for", read.balance & !known)));
        }
        for transfer in self.transfers_to(read.receiver) {
            let amount = 4u128.pow(transfer.power);
            let there = read.balance & amount != 0;
            if there && transfer.sent > read.end {
                return Err((Breach::Foreseen, format!("{transfer:?} in {read:?}")));
            }
            let Some((seen, block)) = transfer.done else { continue };
            if !there && read.block.is_none() && seen < read.start {
                return Err((Breach::Lost, format!("{transfer:?} not in {read:?}")));
            }
            if read.block.is_some_and(|at| there != (at >= block)) {
                return Err((Breach::Unstable, format!("{transfer:?} in {read:?}")));
            }
        }
        Ok(())
    }

    /// Reads of the newest block, in real time.
    fn check_order(&self) -> Result<(), (Breach, String)> {
        let newest = self.reads.iter().filter(|read| read.block.is_none());
        let mut by_receiver: BTreeMap<usize, Vec<&Read>> = BTreeMap::new();
        newest.for_each(|read| by_receiver.entry(read.receiver).or_default().push(read));
        for mut reads in by_receiver.into_values() {
            let mut by_end = reads.clone();
            by_end.sort_by_key(|read| read.end);
            reads.sort_by_key(|read| read.start);
            let (mut ended, mut seen) = (by_end.into_iter().peekable(), 0);
            for read in reads {
                while let Some(before) = ended.next_if(|before| before.end < read.start) {
                    seen |= before.balance;
                }
                if read.balance & seen != seen {
                    return Err((Breach::Backwards, format!("{read:?} after {seen:#x}")));
                }
            }
        }
        Ok(())
    }

    /// Reads of given blocks: one balance a block, and more in later ones.
    fn check_blocks(&self) -> Result<(), (Breach, String)> {
        let mut by_block: BTreeMap<(usize, u64), u128> = BTreeMap::new();
        for read in &self.reads {
            let Some(block) = read.block else { continue };
            let before = by_block.insert((read.receiver, block), read.balance);
            if before.is_some_and(|before| before != read.balance) {
                return Err((Breach::Unstable, format!("{read:?}, and {before:?} before")));
            }
        }
        let pairs = by_block.iter().zip(by_block.iter().skip(1));
        for ((earlier, before), (later, after)) in pairs.filter(|(a, b)| a.0.0 == b.0.0) {
            if before & after != *before {
                return Err((Breach::Backwards, format!("{earlier:?} {before:#x}, {later:?} {after:#x}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two transfers to one receiver, in blocks 5 and 7, and reads that fit.
    fn sound() -> History {
        History {
            transfers: vec![
                Transfer { receiver: 0, power: 0, sent: 1, done: Some((4, 5)) },
                Transfer { receiver: 0, power: 1, sent: 6, done: Some((11, 7)) },
                Transfer { receiver: 1, power: 0, sent: 2, done: None },
            ],
            reads: vec![
                Read { receiver: 0, start: 2, end: 3, block: None, balance: 0 },
                Read { receiver: 0, start: 5, end: 7, block: None, balance: 1 },
                Read { receiver: 0, start: 8, end: 9, block: None, balance: 5 },
                Read { receiver: 0, start: 12, end: 13, block: Some(6), balance: 1 },
                Read { receiver: 0, start: 14, end: 15, block: Some(7), balance: 5 },
                Read { receiver: 1, start: 8, end: 9, block: None, balance: 1 },
            ],
            heads: vec![Head { start: 1, end: 3, number: 4 }, Head { start: 4, end: 5, number: 5 }],
        }
    }

    #[test]
    fn a_sound_history_passes() {
        assert_eq!(sound().check(), Ok(()));
    }

    #[test]
    fn each_kind_of_breach_is_found() {
        type Spoil = fn(&mut History);
        let spoilt: [(Breach, Spoil); 11] = [
            (Breach::Doubled, |it| it.reads[2].balance = 2),
            (Breach::Doubled, |it| it.reads[4].balance = 7),
            (Breach::Doubled, |it| it.reads[5].balance = 4),
            (Breach::Foreseen, |it| it.reads[0].balance = 4),
            (Breach::Lost, |it| it.reads[1].balance = 0),
            (Breach::Lost, |it| {
                it.reads.push(Read { receiver: 0, start: 20, end: 21, block: None, balance: 1 });
            }),
            (Breach::Backwards, |it| {
                it.transfers[1].done = None;
                it.reads.push(Read { receiver: 0, start: 20, end: 21, block: None, balance: 1 });
            }),
            (Breach::Backwards, |it| {
                it.transfers[1].done = None;
                it.reads.push(Read { receiver: 0, start: 20, end: 21, block: Some(9), balance: 1 });
            }),
            (Breach::Unstable, |it| it.reads[3].balance = 5),
            (Breach::Unstable, |it| it.reads[4].balance = 1),
            (Breach::HeadBack, |it| it.heads[1].number = 3),
        ];
        for (index, (breach, spoil)) in spoilt.into_iter().enumerate() {
            let mut history = sound();
            spoil(&mut history);
            let found = history.check().map_err(|(found, _)| found);
            assert_eq!(found, Err(breach), "number {index}");
        }
    }
}
