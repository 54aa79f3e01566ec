//! Every opening of a view that a leader could show.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::law::{HeightWord, Opening, Outcome};
use crate::model::Model;
use crate::state::{Blocks, HONEST, Mark, Promise, STAGES_MAX, State};
use crate::tree::{BlockId, HEIGHTS};

/// What the openings of a view follow from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OpeningKey {
    stage: u8,
    prepares: [Blocks; STAGES_MAX],
    decided: Blocks,
    convictable: Blocks,
    promises: [Option<Promise>; HONEST],
}

impl Model {
    /// PrepareCerts at a height from the views below this stage's.
    pub(crate) fn prepares<'a>(
        &'a self,
        prepares: &'a [Blocks; STAGES_MAX],
        stage: u8,
        height: usize,
    ) -> impl Iterator<Item = Mark> + 'a {
        (0..stage).flat_map(move |at| {
            let of_stage = prepares[usize::from(at)];
            self.tree.at(height).filter(move |&b| of_stage.has(b)).map(move |b| Mark::new(2 * at, b))
        })
    }

    /// Every opening of the present view that a leader could show, one for each outcome.
    pub(crate) fn openings(&mut self, state: &State) -> Rc<[Opening]> {
        let mut promises = state.seats.map(|seat| seat.promise);
        promises.sort_unstable();
        let key = OpeningKey {
            stage: state.stage,
            prepares: state.prepares,
            decided: state.decided,
            // A conviction of what is wrong may come at any time, also from a later view.
            convictable: state.convicted.or(state.invalid),
            promises,
        };
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut found: Vec<Opening> = Vec::new();
        let made: Vec<Promise> = key.promises.iter().flatten().copied().collect();
        for members in 0u8..1 << made.len() {
            let honest: Vec<Promise> =
                (0..made.len()).filter(|at| members & (1 << at) != 0).map(|at| made[at]).collect();
            let shown = key.decided.iter().filter(|&block| self.may_show(key.decided, block));
            let tips: Vec<u8> = shown.map(|block| block + 1).chain([0]).collect();
            if honest.len() == self.law.promises() {
                self.collect(&key, &honest, None, &mut found);
            } else if honest.len() + 1 == self.law.promises() {
                for tip in tips {
                    self.collect(&key, &honest, Some(tip), &mut found);
                }
            }
        }
        for opening in &found {
            self.law.verify(state.view(), opening);
        }
        let found: Rc<[Opening]> = found.into();
        self.known.insert(key, found.clone());
        found
    }

    /// Whether a promise can show this block as its tip: with the certificates of all blocks below.
    fn may_show(&self, decided: Blocks, block: BlockId) -> bool {
        self.tree.chain(block).iter().all(|&below| decided.has(below))
    }

    /// All outcomes of openings with these honest promises and, if given, a byzantine one with this tip.
    fn collect(&mut self, key: &OpeningKey, honest: &[Promise], tip: Option<u8>, found: &mut Vec<Opening>) {
        let tips = honest.iter().map(|promise| promise.tip).chain(tip);
        let ground = tips.max_by_key(|&tip| self.tip_height(tip)).unwrap_or(0);
        let first = Opening {
            honest: honest.to_vec(),
            byzantine: tip.map(|tip| Promise { tip, ..Promise::default() }),
            convictions: Blocks::default(),
            outcome: Outcome { ground, carried: [0; HEIGHTS] },
            dead: None,
        };
        let mut open = vec![(first, self.tip_height(ground) + 1, ground)];
        while let Some((opening, height, below)) = open.pop() {
            let choices = if height > HEIGHTS { Vec::new() } else { self.candidates(key, &opening, height) };
            if choices.is_empty() {
                let known = found.iter().any(|known| known.outcome == opening.outcome);
                if !known {
                    found.push(opening);
                }
                continue;
            }
            for (candidate, lie, convictions) in choices {
                let mut next = opening.clone();
                next.convictions = next.convictions.or(convictions);
                if let Some(byzantine) = &mut next.byzantine {
                    (byzantine.prepared[height - 1], byzantine.approved[height - 1]) = lie;
                }
                let alive = candidate.filter(|&block| self.below(block) == below);
                match alive {
                    Some(block) => {
                        next.outcome.carried[height - 1] = block + 1;
                        open.push((next, height + 1, block + 1));
                    }
                    None => {
                        next.dead = candidate;
                        open.push((next, HEIGHTS + 1, below));
                    }
                }
            }
        }
    }

    /// What can come out at a height, each with a lie and the convictions that bring it about.
    fn candidates(
        &mut self,
        key: &OpeningKey,
        opening: &Opening,
        height: usize,
    ) -> Vec<(Option<BlockId>, HeightWord, Blocks)> {
        let slot = height - 1;
        let mut lies = vec![(Mark::NONE, Mark::NONE)];
        if opening.byzantine.is_some() {
            let seen: Vec<Mark> =
                self.prepares(&key.prepares, key.stage, height).chain([Mark::NONE]).collect();
            let mut claims = vec![Mark::NONE];
            for view in 0..2 * key.stage {
                claims.extend(self.tree.at(height).map(|block| Mark::new(view, block)));
            }
            let pairs = claims.iter().flat_map(|&claim| seen.iter().map(move |&cert| (cert, claim)));
            lies = pairs.collect();
        }
        let here = self.tree.at(height).filter(|&block| key.convictable.has(block));
        let here = here.fold(0, |bits, block| bits | 1 << block);
        let mut found: Vec<(Option<BlockId>, HeightWord, Blocks)> = Vec::new();
        for convictions in BTreeSet::from([0, here]) {
            for &lie in &lies {
                let told = opening.honest.iter().map(|p| (p.prepared[slot], p.approved[slot]));
                let lie_told = opening.byzantine.map(|_| lie);
                let reports: Vec<HeightWord> = told.chain(lie_told).collect();
                let convictions = Blocks(convictions);
                let candidate = self.law.candidate(2 * key.stage, height, &reports, convictions);
                if found.iter().all(|&(known, _, _)| known != candidate) {
                    found.push((candidate, lie, convictions));
                }
            }
        }
        found
    }

    /// An opening under which this seat may vote for this block.
    pub(crate) fn opening_for(&mut self, state: &State, seat: usize, block: BlockId) -> Option<Opening> {
        let openings = self.openings(state);
        let chain = self.chain_above(state.seats[seat].tip, block)?;
        let fits = |opening: &&Opening| chain.iter().all(|&block| self.admits(&opening.outcome, block));
        openings.iter().find(fits).cloned()
    }
}
