//! Breadth-first search over all states, each kept once.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::model::{Model, Violation};
use crate::state::State;
use crate::trace;

/// A quick hash for keys of one's own making.
#[derive(Default)]
pub(crate) struct Mix(u64);

/// Makes [`Mix`]es.
pub(crate) type Mixer = BuildHasherDefault<Mix>;

impl Mix {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.word(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.word(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }
}

/// States in the order in which they were found, each with the place of the one it was found from.
struct Found {
    states: Vec<State>,
    parents: Vec<u32>,
    /// Open addressing: place + 1, or 0.
    slots: Vec<u32>,
}

impl Found {
    fn new() -> Self {
        Self { states: Vec::new(), parents: Vec::new(), slots: vec![0; 1 << 16] }
    }

    fn start_of(state: &State, slots: usize) -> usize {
        let mut mix = Mix::default();
        state.hash(&mut mix);
        usize::try_from(mix.finish() % slots as u64).expect("less than the number of slots")
    }

    /// Adds a state unless it is there.
    fn add(&mut self, state: State, parent: u32) -> bool {
        if self.states.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mut slot = Self::start_of(&state, self.slots.len());
        while let Some(place) = self.slots[slot].checked_sub(1) {
            if self.states[place as usize] == state {
                return false;
            }
            slot = (slot + 1) % self.slots.len();
        }
        self.states.push(state);
        self.parents.push(parent);
        self.slots[slot] = u32::try_from(self.states.len()).expect("fewer than 2^32 states");
        true
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        for (place, state) in (1..).zip(&self.states) {
            let mut slot = Self::start_of(state, slots.len());
            while slots[slot] != 0 {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = place;
        }
        self.slots = slots;
    }

    fn path(&self, place: u32) -> Vec<State> {
        let mut path = vec![self.states[place as usize]];
        let mut at = place;
        while self.parents[at as usize] != at {
            at = self.parents[at as usize];
            path.push(self.states[at as usize]);
        }
        path.reverse();
        path
    }
}

/// What an exploration came to.
#[derive(Debug)]
pub(crate) struct Report {
    /// States that differ in more than names.
    pub(crate) states: usize,
    /// Steps from one to another, with those to known states.
    pub(crate) steps: u64,
    /// Steps that lead to the farthest state.
    pub(crate) depth: usize,
    /// Different openings that the production code checked.
    pub(crate) openings: usize,
    /// A shortest way to a state that breaks an invariant.
    pub(crate) counterexample: Option<String>,
}

/// Visits every state, or goes on until one breaks an invariant.
///
/// # Panics
/// When there are more than `states_max`: the search would not be exhaustive.
pub(crate) fn explore(model: &mut Model, states_max: usize) -> Report {
    let tree = model.tree.clone();
    let mut found = Found::new();
    for start in model.starts() {
        let own = u32::try_from(found.states.len()).expect("few starts");
        found.add(start, own);
    }
    let (mut place, mut steps, mut depth) = (0, 0, 0);
    let mut level_end = found.states.len();
    while place < found.states.len() {
        if place == level_end {
            depth += 1;
            level_end = found.states.len();
        }
        let state = found.states[place];
        let from = u32::try_from(place).expect("fewer than 2^32 states");
        if let Some(violation) = model.violation(&state) {
            let counterexample = Some(tell(model, &found.path(from), &violation));
            let openings = model.law.openings_verified();
            return Report { states: found.states.len(), steps, depth, openings, counterexample };
        }
        model.steps(&state, &mut |_, next| {
            steps += 1;
            found.add(next.canonical(&tree), from);
        });
        assert!(found.states.len() <= states_max, "more than {states_max} states: narrow the bounds");
        place += 1;
    }
    let openings = model.law.openings_verified();
    Report { states: found.states.len(), steps, depth, openings, counterexample: None }
}

/// Walks the path again without renaming, and puts it into words.
fn tell(model: &mut Model, path: &[State], violation: &Violation) -> String {
    let tree = model.tree.clone();
    let mut state = path[0];
    let mut lines = vec![trace::start(&tree, &state)];
    for wanted in &path[1..] {
        let mut taken = None;
        model.steps(&state, &mut |step, next| {
            if taken.is_none() && next.canonical(&tree) == *wanted {
                taken = Some((step, next));
            }
        });
        let (step, next) = taken.expect("the path was walked before");
        lines.push(trace::step(model, &state, step, &next));
        state = next;
    }
    // Named as the walk has it, not as the search had it.
    let violation = model.violation(&state).unwrap_or_else(|| violation.clone());
    lines.push(trace::violation(&tree, &state, &violation));
    lines.join("\n")
}
