//! The form of a slot: how many hashes, where its ticks stand, and where it is cut.

use alloy_primitives::B256;
use anfs_primitives::header::VERIFIERS_MAX;
use anfs_primitives::{Boundary, Fault};

use crate::link::LinkCost;

/// Cuts a slot into `n` contiguous slices of about equal cost: `n + 1` cuts, the first before the first link
/// with the clock at `start`, the last behind the last link.
///
/// Each cut falls between the two links where the running cost comes nearest to its share, the earlier one on a tie,
/// so a slice costs at most one link more than the even share. A slot of fewer than `n` links has empty slices.
///
/// spec: PROTOCOL §2
///
/// # Panics
/// When `n` is 0, or there are 2³² links or more.
#[must_use]
pub fn boundaries(start: B256, links: &[LinkCost], n: usize) -> Vec<Boundary> {
    assert!(n > 0, "a slot is cut into at least one slice");
    let total: u128 = links.iter().map(LinkCost::total).sum();
    let parts = n as u128;
    let mut cuts = Vec::with_capacity(n + 1);
    let (mut entry, mut before) = (0, 0);
    for part in 0..n as u128 {
        // Compared in n-ths, so that nothing is rounded.
        let target = total * part;
        while let Some(link) = links.get(entry) {
            let after = before + link.total();
            if target.abs_diff(after * parts) >= target.abs_diff(before * parts) {
                break;
            }
            before = after;
            entry += 1;
        }
        cuts.push(cut(start, links, entry));
    }
    cuts.push(cut(start, links, links.len()));
    cuts
}

fn cut(start: B256, links: &[LinkCost], entry: usize) -> Boundary {
    let hash = entry.checked_sub(1).map_or(start, |last| links[last].hash);
    Boundary { entry: u32::try_from(entry).expect("a block holds BLOCK_ENTRIES_MAX entries at most"), hash }
}

/// Checks the form of a slot, without hashing: exactly `hashes_per_slot` hashes in links of at least one, a
/// tick as the last step of each period and nowhere else, the last link at `end`, and the cuts just where
/// [`boundaries`] puts them.
///
/// It bounds what [`crate::check_links`] will do, so it comes first.
///
/// spec: PROTOCOL §2
///
/// # Errors
/// [`Fault::Shape`].
pub fn check_shape(
    start: B256,
    end: B256,
    hashes_per_slot: u64,
    ticks_per_slot: u64,
    links: &[LinkCost],
    cuts: &[Boundary],
    n: usize,
) -> Result<(), Fault> {
    let whole = ticks_per_slot > 0 && hashes_per_slot > 0 && hashes_per_slot.is_multiple_of(ticks_per_slot);
    if !whole || n == 0 || n > VERIFIERS_MAX || u32::try_from(links.len()).is_err() {
        return Err(Fault::Shape);
    }
    let period = hashes_per_slot / ticks_per_slot;
    let position = links.iter().try_fold(0u64, |position, link| step(position, link, period));
    let reached = position == Some(hashes_per_slot) && links.last().is_some_and(|last| last.hash == end);
    if reached && cuts == boundaries(start, links, n) { Ok(()) } else { Err(Fault::Shape) }
}

/// Where the clock stands after `link`, or `None` when the link cannot stand there.
fn step(position: u64, link: &LinkCost, period: u64) -> Option<u64> {
    let boundary = (position / period).checked_add(1)?.checked_mul(period)?;
    let after = position.checked_add(link.num_hashes)?;
    let in_place = if link.transactions == 0 { after == boundary } else { after < boundary };
    (in_place && link.num_hashes > 0).then_some(after)
}
