//! The least number of tests that each suite must run: a suite that is silently skipped fails the run.

use std::collections::BTreeMap;

use eyre::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::repo::Repo;

const FILE: &str = "xtask/suites.toml";
const HEADER: &str = "\
# The least number of tests that must run and pass in each suite, so that none can be skipped unseen.
# `cargo xtask test --record` raises the numbers to what ran; lower one by hand when tests are removed.

";

/// A suite's name: `package/target` for Rust, the script's name for clients.
pub(crate) type Counts = BTreeMap<String, usize>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suites {
    pub(crate) rust: Counts,
    pub(crate) clients: Counts,
}

impl Suites {
    pub(crate) fn read(repo: &Repo) -> Result<Self> {
        let text =
            std::fs::read_to_string(repo.join(FILE)).wrap_err_with(|| format!("cannot read {FILE}"))?;
        toml::from_str(&text).wrap_err_with(|| format!("{FILE} is not what it should be"))
    }

    pub(crate) fn write(&self, repo: &Repo) -> Result<()> {
        let text = HEADER.to_owned() + &toml::to_string(self).wrap_err("cannot write TOML")?;
        std::fs::write(repo.join(FILE), text).wrap_err_with(|| format!("cannot write {FILE}"))
    }
}

/// What is wrong with the counts of a run.
pub(crate) fn compare(least: &Counts, ran: &Counts) -> Vec<String> {
    let short = least.iter().filter_map(|(suite, least)| {
        let ran = ran.get(suite).copied().unwrap_or(0);
        (ran < *least).then(|| format!("{suite}: {ran} tests passed, {FILE} asks for {least}"))
    });
    let unknown = ran
        .iter()
        .filter(|(suite, ran)| **ran > 0 && !least.contains_key(*suite))
        .map(|(suite, _)| format!("{suite}: not in {FILE}; run `cargo xtask test --record`"));
    short.chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, usize)]) -> Counts {
        list.iter().map(|(suite, count)| ((*suite).to_owned(), *count)).collect()
    }

    #[test]
    fn a_suite_that_ran_less_or_not_at_all_or_is_unknown_is_reported() {
        let least = counts(&[("a/lib", 2), ("b/it", 1)]);
        assert!(compare(&least, &counts(&[("a/lib", 2), ("b/it", 5), ("c/bin", 0)])).is_empty());
        assert_eq!(compare(&least, &counts(&[("a/lib", 1), ("b/it", 1)])).len(), 1);
        assert_eq!(compare(&least, &counts(&[("a/lib", 2)])).len(), 1);
        assert_eq!(compare(&least, &counts(&[("a/lib", 2), ("b/it", 1), ("c/it", 3)])).len(), 1);
    }
}
