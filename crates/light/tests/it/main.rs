//! What a light client accepts, and every forgery that it refuses beside it.

mod headers;
mod proofs;
mod scene;

use anfs_light::{LightError, ProofError};
use scene::Scene;

/// What a check comes to; a refusal in its words.
type Outcome = Result<(), Refusal>;

#[derive(Debug)]
struct Refusal(String);

impl From<LightError> for Refusal {
    fn from(error: LightError) -> Self {
        Self(error.to_string())
    }
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        Self(error.to_string())
    }
}

/// A row of a table of attacks.
struct Attack {
    name: &'static str,
    /// What the forgery imitates, which holds.
    honest: fn(&Scene) -> Outcome,
    forged: fn(&Scene) -> Outcome,
    /// What the refusal says.
    words: &'static str,
}

/// Holds a light client to a table: each honest one is accepted, each forgery refused for its own reason.
fn hold(table: &[Attack]) {
    let scene = Scene::new();
    let mut names: Vec<&str> = table.iter().map(|attack| attack.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), table.len(), "each attack has a name of its own");
    for Attack { name, honest, forged, words } in table {
        if let Err(Refusal(why)) = honest(&scene) {
            panic!("{name}: the honest one is refused: {why}");
        }
        match forged(&scene) {
            Ok(()) => panic!("{name}: accepted"),
            Err(Refusal(why)) => assert!(why.contains(words), "{name}: refused, but because {why}"),
        }
    }
}
