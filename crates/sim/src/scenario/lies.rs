//! The words for seats that do not follow the protocol: `SV3 lies: false-alert`.

use super::ScenarioError;
use super::words::Words;
use crate::blocks::Flaw;
use crate::byzantine::{Behaviour, Lie, Opening, Rivalry, Shape, Withheld};
use crate::plan::Plan;

const LIES: &str = "write silent, slow by 300ms, stall by 50ms, selective, equivocate, invalid-slice 3, invalid-state, \
                    collude slice 3, withhold, misshape, usurp, false-alert, lazy, double-vote, hoard, cancel-shares, \
                    lying-promise, conflicting-promise, bad-opening, replay, bogus-certificates, spam, pollute \
                    or twins";
const RIVALRIES: [(&str, Rivalry); 4] = [
    ("halves", Rivalry::Halves),
    ("overt", Rivalry::Overt),
    ("bodies", Rivalry::Bodies),
    ("wrong-body", Rivalry::WrongBody),
];
const WITHHELD: [(&str, Withheld); 3] = [
    ("from-all", Withheld::FromAll),
    ("from-half", Withheld::FromHalf),
    ("from-all-but-one", Withheld::FromAllButOne),
];
const SHAPES: [(&str, Shape); 5] = [
    ("slot", Shape::Slot),
    ("future", Shape::Future),
    ("clock", Shape::Clock),
    ("gas", Shape::Gas),
    ("boundaries", Shape::Boundaries),
];
const PROMISES: [(&str, Lie); 4] =
    [("nothing", Lie::Nothing), ("others", Lie::Others), ("stale", Lie::Stale), ("forged", Lie::Forged)];
const OPENINGS: [(&str, Opening); 8] = [
    ("freeing", Opening::Freeing),
    ("fewer", Opening::Fewer),
    ("repeated", Opening::Repeated),
    ("omitting", Opening::Omitting),
    ("twice", Opening::Twice),
    ("stale", Opening::Stale),
    ("forged", Opening::Forged),
    ("overriding", Opening::Overriding),
];

/// What stands behind `SV3 lies:`.
pub(super) fn parse(words: &mut Words<'_>, plan: &Plan) -> Result<Behaviour, ScenarioError> {
    let last = u64::from(plan.verifiers) - 1;
    let slice = |words: &mut Words<'_>| {
        words.number_in("a slice", 0, last).map(|slice| u16::try_from(slice).expect("below the verifiers"))
    };
    Ok(match words.word("what the seat does")? {
        "silent" => Behaviour::Dead,
        "slow" => {
            words.must("by")?;
            Behaviour::Slow { by_ms: words.time_ms()? }
        }
        "stall" => {
            words.must("by")?;
            Behaviour::Stall { spare_ms: words.time_ms()? }
        }
        "selective" => Behaviour::Selective,
        "equivocate" => Behaviour::Equivocate(style(words, &RIVALRIES)?),
        "invalid-slice" => {
            let flaw = Flaw::Slice(slice(words)?);
            Behaviour::Invalid { flaw, share: share(words)? }
        }
        "invalid-state" => Behaviour::Invalid { flaw: Flaw::State, share: share(words)? },
        "collude" => {
            words.must("slice")?;
            Behaviour::Collude { slice: slice(words)?, share: share(words)? }
        }
        "withhold" => Behaviour::Withhold(style(words, &WITHHELD)?),
        "misshape" => Behaviour::Misshape(style(words, &SHAPES)?),
        "usurp" => Behaviour::Usurp,
        "false-alert" => Behaviour::FalseAlert,
        "lazy" => Behaviour::Lazy,
        "double-vote" => Behaviour::DoubleVote,
        "hoard" => Behaviour::Hoard,
        "cancel-shares" => Behaviour::CancelShares,
        "lying-promise" => Behaviour::LyingPromise(style(words, &PROMISES)?),
        "conflicting-promise" => Behaviour::ConflictingPromise(style(words, &PROMISES)?),
        "bad-opening" => Behaviour::BadOpening(style(words, &OPENINGS)?),
        "replay" => Behaviour::Replay,
        "bogus-certificates" => Behaviour::BogusCertificates,
        "spam" => Behaviour::Spam,
        "pollute" => Behaviour::Pollute,
        "twins" => Behaviour::Twins,
        other => return words.fail(format!("`{other}` is no lie"), LIES),
    })
}

/// `share 30%`; without it, all blocks.
fn share(words: &mut Words<'_>) -> Result<u16, ScenarioError> {
    if words.take("share") { words.permille() } else { Ok(1000) }
}

/// One of the styles of a lie, or its first.
fn style<T: Copy>(words: &mut Words<'_>, styles: &[(&str, T)]) -> Result<T, ScenarioError> {
    let Some(word) = words.peek() else { return Ok(styles[0].1) };
    let Some((_, style)) = styles.iter().find(|(name, _)| *name == word) else {
        let names: Vec<&str> = styles.iter().map(|(name, _)| *name).collect();
        return words.fail(format!("`{word}` is no way to do that"), format!("write {}", names.join(", ")));
    };
    words.must(word)?;
    Ok(*style)
}
