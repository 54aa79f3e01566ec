//! What accounts do: random payments within a shard, across, and to the root, and calls with programs.

use alloy_primitives::U256;
use anfs_primitives::DomainId;

use super::bank::{ACCOUNTS, Kind, Operation, address};
use super::block::Executed;
use super::contracts::Request;
use super::lies::Lie;
use super::plan::Plan;
use crate::rng::Rng;

impl Plan {
    /// The transactions of the block above a parent. `moved`: whether it refers to a newer root block.
    pub(super) fn pay(&self, rng: &mut Rng, parent: &Executed, moved: bool, quiet: bool) -> Vec<Operation> {
        let most = if quiet { 0 } else { self.operations };
        let count = rng.below(most + 1);
        let mut operations: Vec<Operation> = (0..count).map(|_| self.draw_payment(rng, parent)).collect();
        let captured = self.captured.filter(|captured| captured.domain == parent.bank.domain);
        let next = parent.header.height.next();
        if let Some(captured) = captured.filter(|captured| next >= captured.from) {
            let first = next == captured.from;
            let lie = match captured.lie {
                Lie::Drain if !first => Some(Lie::Overdraw),
                lie if lie.stalls() => Some(lie).filter(|_| first),
                Lie::Fork => Some(Lie::Fork).filter(|_| moved),
                Lie::Answer => Some(Lie::Answer).filter(|_| !quiet),
                lie => Some(lie),
            };
            let lie = lie.map(|lie| Operation { from: 0, value: U256::ZERO, kind: Kind::Lie(lie) });
            operations.extend(lie);
        }
        operations
    }

    fn draw_payment(&self, rng: &mut Rng, parent: &Executed) -> Operation {
        let own = parent.bank.domain;
        let others: Vec<DomainId> = (0..=self.shards).map(DomainId).filter(|other| *other != own).collect();
        let mut account = || u16::try_from(rng.below(u64::from(ACCOUNTS))).expect("few accounts");
        let (from, to) = (account(), account());
        let held = parent.bank.accounts[usize::from(from)];
        // Small shares and odd weis; now and then more than there is.
        let share = U256::from(rng.between(20, 400));
        let value = if rng.chance(30) { held + held } else { held / share + U256::from(rng.below(1_000)) };
        if self.programs > 0 && rng.chance(self.programs) {
            let kind = Kind::Program(Request::draw_deep(rng, self.shards, own));
            return Operation { from, value, kind };
        }
        let shard = *rng.pick(&others);
        let kind = match rng.below(100) {
            0..15 => Kind::Transfer { to },
            15..18 => Kind::Burn,
            18..62 => Kind::Credit { to: address(shard, to), via: *rng.pick(&others) },
            _ => Kind::Call { to: address(shard, to), fails: rng.chance(300), gas: rng.between(0, 30_000) },
        };
        Operation { from, value, kind }
    }
}
