//! Which kernel this process runs on, and the trial each has to pass.
//!
//! A kernel that computes wrongly makes an honest verifier reject honest blocks, or an honest generator propose
//! blocks that all others reject. What the processor says it can do is therefore no proof: the best kernel is
//! tried on a sequence that the portable code recorded, and the next best when it fails.

use std::slice;
use std::sync::OnceLock;

use alloy_primitives::B256;

use crate::check::check_links_on;
use crate::clock::HashClock;
use crate::kernel::{Kernel, Width};
use crate::link::Link;

/// What the trial of the kernels came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The kernel in use: the best that this machine has and that passed.
    pub kernel: Kernel,
    /// Better kernels that this machine claims to have and that computed wrongly, best first. Any is a
    /// fault of this program or of this machine, and worth a warning: the node is right, but slower.
    pub rejected: Vec<Kernel>,
}

impl Selection {
    /// The selection of this process, made at the first call, in well under a millisecond.
    #[must_use]
    pub fn of_this_process() -> &'static Self {
        static SELECTION: OnceLock<Selection> = OnceLock::new();
        SELECTION.get_or_init(|| {
            let best_first = Kernel::ALL.into_iter().rev().filter(|kernel| kernel.is_supported());
            select(best_first.map(|kernel| (kernel, kernel.widths())))
        })
    }
}

impl Kernel {
    /// The best kernel of this machine that computes rightly: that of [`Selection::of_this_process`].
    #[must_use]
    pub fn detect() -> Self {
        Selection::of_this_process().kernel
    }
}

/// Tries the kernels in turn until one passes. The portable one is the measure itself, and always passes.
fn select(best_first: impl IntoIterator<Item = (Kernel, Vec<Width>)>) -> Selection {
    let trial = Trial::record();
    let mut rejected = Vec::new();
    for (kernel, widths) in best_first {
        if kernel == Kernel::Portable || trial.is_passed_by(&widths) {
            return Selection { kernel, rejected };
        }
        rejected.push(kernel);
    }
    Selection { kernel: Kernel::Portable, rejected }
}

/// Steps of the trial.
const HASHES: u64 = 660;
/// Ticks of the trial.
const TICKS: u64 = 110;
/// Steps during which the trial records. Ticks alone follow, so many that each width runs full for a whole period.
const RECORDING: u64 = 450;
/// How many stretches run at once, besides all of them: one alone, and odd counts on either side of each width.
const COUNTS: [usize; 7] = [1, 3, 5, 9, 17, 31, 33];

/// A sequence as the portable code recorded it.
struct Trial {
    start: B256,
    links: Vec<Link>,
}

impl Trial {
    fn record() -> Self {
        let start = B256::repeat_byte(0x96);
        let mut clock = HashClock::with_kernel(Kernel::Portable, start, HASHES, TICKS);
        let mut links = Vec::new();
        while clock.position() < RECORDING {
            // 0 to 4 steps, in an order that does not repeat with the periods.
            let gap = (clock.position() * 7 + 3) % 41 % 5;
            links.extend(clock.tick_to(clock.position() + gap));
            // Unlike the clock in every word, so that no mix-up of the two goes unseen.
            let mut mixin = clock.hash();
            mixin.0.reverse();
            match clock.record(mixin) {
                Some(link) => links.push(link),
                None => links.extend(clock.tick_to(clock.position() + 1)),
            }
        }
        links.extend(clock.finish());
        Self { start, links }
    }

    /// Each width alone, since the stretches of another sequence may keep to it throughout, then all of them
    /// together, on the sequence, on beginnings of it, and on forgeries.
    fn is_passed_by(&self, widths: &[Width]) -> bool {
        let is_right = |widths: &[Width], links: &[Link]| check_links_on(widths, self.start, links).is_ok();
        widths.iter().all(|width| is_right(slice::from_ref(width), &self.links))
            && is_right(widths, &self.links)
            && COUNTS.iter().all(|count| is_right(widths, &self.links[..*count]))
            && self.forgeries_are_found_by(widths)
    }

    /// Whether one flipped bit is found where it is, in a hash and in a mix-in.
    fn forgeries_are_found_by(&self, widths: &[Width]) -> bool {
        let middle = self.links.len() / 2;
        let record = (middle..self.links.len()).find(|index| self.links[*index].mixin.is_some());
        let record = record.expect("more than half of the links come while the trial records");
        let mut forged = self.links.clone();
        forged[record].mixin = forged[record].mixin.map(|mixin| mixin ^ B256::with_last_byte(4));
        let mixin_is_found = check_links_on(widths, self.start, &forged) == Err(record);
        // The next link starts from the forged hash and is wrong as well; the first is to be named.
        forged[middle].hash.0[17] ^= 0x10;
        mixin_is_found && check_links_on(widths, self.start, &forged) == Err(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{LANES_MAX, Words};

    /// Right, whatever its width.
    fn advance(states: &mut [Words], steps: u64) {
        for state in states {
            (Kernel::Portable.sequential().advance)(slice::from_mut(state), steps);
        }
    }

    /// Right, whatever its width.
    fn mix(states: &mut [Words], mixins: &[Words]) {
        for (state, mixin) in states.iter_mut().zip(mixins) {
            (Kernel::Portable.sequential().mix)(slice::from_mut(state), &[*mixin]);
        }
    }

    fn right(lanes: usize) -> Width {
        Width { lanes, advance, mix }
    }

    type Mix = fn(&mut [Words], &[Words]);

    /// Ways to be wrong in one place only, at a width of that many lanes.
    fn broken(lanes: usize) -> Vec<Width> {
        let right = right(lanes);
        let advances: [fn(&mut [Words], u64); 5] = [
            |_, _| {},
            |states, steps| advance(states, steps.min(5)),
            |states, steps| advance(states, steps + 1),
            |states, steps| {
                advance(states, steps);
                states[states.len() - 1][7] ^= 1;
            },
            |states, steps| {
                advance(states, steps);
                states[0][0] ^= 1 << 31;
            },
        ];
        let mixes: [Mix; 5] = [
            |_, _| {},
            |states, _| advance(states, 1),
            |states, mixins| {
                let before = states.to_vec();
                states.copy_from_slice(mixins);
                mix(states, &before);
            },
            |states, mixins| {
                mix(states, mixins);
                states[states.len() - 1][7] ^= 1;
            },
            |states, mixins| {
                let last_word_lost: Vec<Words> =
                    mixins.iter().map(|[a, b, c, d, e, f, g, _]| [*a, *b, *c, *d, *e, *f, *g, 0]).collect();
                mix(states, &last_word_lost);
            },
        ];
        let mut broken: Vec<Width> = advances.map(|advance| Width { advance, ..right }).to_vec();
        broken.extend(mixes.map(|mix| Width { mix, ..right }));
        if lanes > 1 {
            broken.push(Width {
                advance: |states, steps| {
                    advance(states, steps);
                    let last = states.len() - 1;
                    states.swap(0, last);
                },
                ..right
            });
        }
        broken
    }

    #[test]
    fn a_broken_kernel_gives_way_to_the_next() {
        const LANES: [usize; 6] = [32, 16, 8, 4, 2, 1];
        for place in 0..LANES.len() {
            for (fault, width) in broken(LANES[place]).into_iter().enumerate() {
                let mut widths = LANES.map(right).to_vec();
                widths[place] = width;
                let candidates = [
                    (Kernel::Avx512, widths.clone()),
                    (Kernel::ShaNi, vec![width]),
                    (Kernel::Avx2, LANES[2..].iter().copied().map(right).collect()),
                ];
                let expected =
                    Selection { kernel: Kernel::Avx2, rejected: vec![Kernel::Avx512, Kernel::ShaNi] };
                assert_eq!(select(candidates), expected, "fault {fault} at {} lanes", LANES[place]);
            }
        }
    }

    #[test]
    fn the_portable_kernel_is_left_when_all_others_are_broken() {
        let wrong = broken(8);
        let candidates = [
            (Kernel::ShaNi, wrong[..1].to_vec()),
            (Kernel::Avx2, wrong[1..2].to_vec()),
            (Kernel::Portable, Kernel::Portable.widths()),
        ];
        let expected = Selection { kernel: Kernel::Portable, rejected: vec![Kernel::ShaNi, Kernel::Avx2] };
        assert_eq!(select(candidates.clone()), expected);
        assert_eq!(select(candidates[..2].to_vec()), expected);
    }

    #[test]
    fn no_kernel_is_tried_behind_one_that_passes() {
        let untouchable = Width {
            lanes: 1,
            advance: |_, _| panic!("tried without need"),
            mix: |_, _| panic!("tried without need"),
        };
        let candidates = [(Kernel::Avx512, vec![right(16), right(1)]), (Kernel::ShaNi, vec![untouchable])];
        assert_eq!(select(candidates), Selection { kernel: Kernel::Avx512, rejected: Vec::new() });
    }

    #[test]
    fn every_kernel_of_this_machine_passes() {
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported()) {
            let selection = select([(kernel, kernel.widths())]);
            assert_eq!(selection, Selection { kernel, rejected: Vec::new() });
            assert!(Trial::record().is_passed_by(&kernel.widths()), "{kernel:?}");
        }
        let best = Kernel::ALL.into_iter().rfind(|kernel| kernel.is_supported());
        assert_eq!(Some(Kernel::detect()), best);
        assert_eq!(Selection::of_this_process().rejected, []);
    }

    #[test]
    fn the_trial_is_long_and_uneven_enough() {
        let trial = Trial::record();
        assert!(trial.links.len() > 200, "{}", trial.links.len());
        let whole_periods = trial.links.iter().filter(|link| link.num_hashes == HASHES / TICKS).count();
        assert!(whole_periods > LANES_MAX, "{whole_periods}");
        for length in 1..=4 {
            for recording in [false, true] {
                let such = |link: &&Link| link.num_hashes == length && link.mixin.is_some() == recording;
                assert!(trial.links.iter().find(such).is_some(), "{length}, recording: {recording}");
            }
        }
    }

    #[test]
    fn the_trial_is_pinned() {
        // Computed by an independent implementation of SHA-256, so that the measure itself is measured.
        let end = Trial::record().links.last().map(|link| link.hash.to_string());
        assert_eq!(
            end.as_deref(),
            Some("0x4d9a85561eb60bd0e2bf9a947d7fd24153d09e8addb5d96c700b444b92649f9d")
        );
    }
}
