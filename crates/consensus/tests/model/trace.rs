//! Counterexamples in words.

use crate::law::Opening;
use crate::model::{Model, Step, Violation};
use crate::state::{Blocks, HONEST, Mark, Promise, State, Word};
use crate::tree::{HEIGHTS, Tree};

fn packed(tree: &Tree, packed: u8) -> &'static str {
    packed.checked_sub(1).map_or("genesis", |block| tree.name(block))
}

fn list(tree: &Tree, blocks: impl Iterator<Item = u8>) -> String {
    blocks.map(|block| tree.name(block)).collect::<Vec<_>>().join(", ")
}

fn mark(tree: &Tree, mark: Mark) -> Option<String> {
    mark.get().map(|(view, block)| format!("{} in view {view}", tree.name(block)))
}

fn promise(tree: &Tree, promise: &Promise) -> String {
    let mut parts = Vec::new();
    if promise.tip != 0 {
        parts.push(format!("{} is decided", packed(tree, promise.tip)));
    }
    for height in 0..HEIGHTS {
        parts.extend(mark(tree, promise.prepared[height]).map(|text| format!("PrepareCert of {text}")));
        parts.extend(mark(tree, promise.approved[height]).map(|text| format!("approved {text}")));
    }
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

fn opening(tree: &Tree, opening: &Opening) -> String {
    let honest = opening.honest.iter().map(|told| format!("«{}»", promise(tree, told)));
    let lie = opening.byzantine.iter().map(|told| format!("byzantine «{}»", promise(tree, told)));
    let promises: Vec<_> = honest.chain(lie).collect();
    let carried = list(tree, opening.outcome.carried.iter().filter_map(|packed| packed.checked_sub(1)));
    let carried = if carried.is_empty() { "carries nothing".into() } else { format!("carries {carried}") };
    let ground = match opening.outcome.ground {
        0 => String::new(),
        ground => format!(" above {}", packed(tree, ground)),
    };
    let dead =
        opening.dead.map_or(String::new(), |block| format!(", shows that {} is dead", tree.name(block)));
    let convicted = match opening.convictions {
        Blocks(0) => String::new(),
        blocks => format!(", shows a conviction of {}", list(tree, blocks.iter())),
    };
    format!("opening with {}: {carried}{ground}{dead}{convicted}", promises.join(" + "))
}

/// The line for a start.
pub(crate) fn start(tree: &Tree, state: &State) -> String {
    let wrong = list(tree, state.invalid.iter());
    let wrong = if wrong.is_empty() { "none of them wrong".into() } else { format!("{wrong} wrong") };
    let blocks: Vec<_> = tree
        .all()
        .map(|b| format!("{} on {}", tree.name(b), packed(tree, tree.parent(b).map_or(0, |p| p + 1))))
        .collect();
    format!("blocks: {}; {wrong}", blocks.join(", "))
}

/// The line for a step.
pub(crate) fn step(model: &mut Model, before: &State, step: Step, after: &State) -> String {
    let tree = model.tree.clone();
    let mut line = match step {
        Step::Vote { seat, block, word } => {
            let word_text = match word {
                Word::Sliced => "Valid, Sliced",
                Word::Full => "Valid, Full",
                Word::Invalid => "Invalid, Full",
                Word::Commit => "Commit",
            };
            let first = before.seats[seat].votes.iter(&tree).next().is_none() && before.stage > 0;
            let shown = if first { model.opening_for(before, seat, block) } else { None };
            let shown = shown.map_or(String::new(), |shown| format!("   ({})", opening(&tree, &shown)));
            let lifted = before.seats[seat].tip != after.seats[seat].tip;
            let decides = if lifted {
                format!("decides {}, ", packed(&tree, after.seats[seat].tip))
            } else {
                String::new()
            };
            format!("  SV{}: {decides}{word_text} {}{shown}", seat + 1, tree.name(block))
        }
        Step::Decide { seat, block } => format!("  SV{}: sees it and decides {}", seat + 1, tree.name(block)),
        Step::Prepare { block } => format!("  Valid, Full {} by all who approved it", tree.name(block)),
        Step::Leave => format!("view {} is over", before.view()),
        Step::Promise => {
            let promises = (0..HONEST).filter_map(|seat| {
                let told = after.seats[seat].promise?;
                Some(format!("SV{} «{}»", seat + 1, promise(&tree, &told)))
            });
            format!("view {}: promised by {}", after.view(), promises.collect::<Vec<_>>().join("; "))
        }
    };
    for (name, old, new) in [
        ("PrepareCert", before.prepares[stage(before)], after.prepares[stage(before)]),
        ("deciding certificate", before.certified(), after.certified()),
        ("conviction", before.convicted, after.convicted),
    ] {
        if old != new {
            let fresh = new.iter().filter(|&block| !old.has(block));
            line.push_str(&format!("   => {name} of {}", list(&tree, fresh)));
        }
    }
    line
}

fn stage(state: &State) -> usize {
    usize::from(state.stage).min(crate::state::STAGES_MAX - 1)
}

/// The last line.
pub(crate) fn violation(tree: &Tree, state: &State, violation: &Violation) -> String {
    let name = |block| tree.name(block);
    match violation {
        Violation::Fork(a, b) => format!("VIOLATION: {} and {} are both decided", name(*a), name(*b)),
        Violation::Convicted(block) => format!("VIOLATION: {} is decided and convicted", name(*block)),
        Violation::Contradiction(seat) => format!("VIOLATION: SV{} contradicts itself", seat + 1),
        Violation::Excluded(block, shown) => {
            let view = state.view();
            format!(
                "VIOLATION: {} is decided, and view {view} excludes it: {}",
                name(*block),
                opening(tree, shown)
            )
        }
    }
}
