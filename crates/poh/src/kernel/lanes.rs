//! Filling lanes: stretches of unequal length on kernels of fixed width.
//!
//! Stretches start longest first. All lanes run until the first of them is through; that lane takes the next
//! stretch. When no stretch waits, the lanes left close up and move to the narrowest kernel that holds them:
//!
//! ```text
//! lane 0  ████████████████████│■■■■■■■■■
//! lane 1  ██████████████│▒▒▒▒▒▒▒▒▒▒▒▒│      longest first: the ends are ragged by a short stretch at most
//! lane 2  ███████████│░░░░░░░░░░│
//! ```

use super::Words;

/// Lanes of the widest kernel.
pub(crate) const LANES_MAX: usize = 32;

/// A kernel of one width: its functions take exactly `lanes` chains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// Chains side by side.
    pub(crate) lanes: usize,
    /// Takes every chain this many plain steps on.
    pub(crate) advance: fn(&mut [Words], u64),
    /// Takes every chain one recording step on, each with its own mix-in.
    pub(crate) mix: fn(&mut [Words], &[Words]),
}

/// A stretch under way in a lane.
struct Stretch {
    index: usize,
    left: u64,
}

/// Takes each chain its own number of plain steps on, by `widths`, widest first.
pub(crate) fn chains(widths: &[Width], states: &mut [Words], steps: &[u64]) {
    let mut waiting: Vec<usize> = (0..states.len()).filter(|&index| steps[index] > 0).collect();
    waiting.sort_unstable_by_key(|&index| (steps[index], index));

    let mut stretches: Vec<Stretch> = Vec::with_capacity(LANES_MAX);
    let mut lanes = [Words::default(); LANES_MAX];
    loop {
        while stretches.len() < widths[0].lanes
            && let Some(index) = waiting.pop()
        {
            lanes[stretches.len()] = states[index];
            stretches.push(Stretch { index, left: steps[index] });
        }
        let Some(run) = stretches.iter().map(|stretch| stretch.left).min() else { return };
        let width = narrowest(widths, stretches.len());
        (width.advance)(&mut lanes[..width.lanes], run);
        for lane in (0..stretches.len()).rev() {
            stretches[lane].left -= run;
            if stretches[lane].left == 0 {
                states[stretches[lane].index] = lanes[lane];
                stretches.swap_remove(lane);
                lanes[lane] = lanes[stretches.len()];
            }
        }
    }
}

/// Takes the chains named in `records` one recording step on, by `widths`, widest first.
pub(crate) fn mixes(widths: &[Width], states: &mut [Words], records: &[(usize, Words)]) {
    let mut lanes = [Words::default(); LANES_MAX];
    let mut mixins = [Words::default(); LANES_MAX];
    for group in records.chunks(widths[0].lanes) {
        for (lane, (index, mixin)) in group.iter().enumerate() {
            lanes[lane] = states[*index];
            mixins[lane] = *mixin;
        }
        let width = narrowest(widths, group.len());
        (width.mix)(&mut lanes[..width.lanes], &mixins[..width.lanes]);
        for (lane, (index, _)) in group.iter().enumerate() {
            states[*index] = lanes[lane];
        }
    }
}

/// The narrowest kernel that holds this many chains; lanes left over run idle.
fn narrowest(widths: &[Width], chains: usize) -> Width {
    *widths.iter().rev().find(|width| width.lanes >= chains).expect("no more than the widest holds")
}
