//! Mutation proof: deliberate faults in the consensus rules, each of which must be found.
//!
//! The list is crates/sim/mutations.toml. A copy of the few crates that the simulator needs is changed and built
//! in a folder of its own, so that neither the sources nor their builds are touched.

mod tree;

use std::collections::BTreeSet;
use std::time::Instant;

use eyre::{Context as _, Result, ensure};
use serde::Deserialize;

use self::tree::{Answer, Tree};
use crate::cli::MutantsArgs;
use crate::repo::Repo;

/// Where the list is.
const LIST: &str = "crates/sim/mutations.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutation: Vec<Mutation>,
}

/// One deliberate fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    name: String,
    /// What it breaks, for people.
    breaks: String,
    /// Relative to the repository.
    file: String,
    /// Stands in the file exactly once.
    find: String,
    replace: String,
    /// `sim`, or `crate/suite::test`.
    found_by: String,
    /// Seeds that the simulator is given; only with `sim`.
    #[serde(default)]
    seeds: u64,
}

/// Who is to find a mutation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finder {
    /// The swarm, with so many seeds.
    Sim { seeds: u64 },
    /// One test of one suite.
    Test { package: String, suite: String, test: String },
}

impl Mutation {
    fn finder(&self) -> Result<Finder> {
        if self.found_by == "sim" {
            ensure!(self.seeds > 0, "{}: the simulator needs `seeds`", self.name);
            return Ok(Finder::Sim { seeds: self.seeds });
        }
        ensure!(self.seeds == 0, "{}: `seeds` are for the simulator only", self.name);
        let parts = self.found_by.split_once('/').and_then(|(package, rest)| {
            let (suite, test) = rest.split_once("::")?;
            Some((format!("anfs-{package}"), suite.to_owned(), test.to_owned()))
        });
        let (package, suite, test) = parts
            .ok_or_else(|| eyre::eyre!("{}: found_by is neither `sim` nor `crate/suite::test`", self.name))?;
        Ok(Finder::Test { package, suite, test })
    }

    /// The file with the fault in it.
    fn apply(&self, text: &str) -> Result<String> {
        let count = text.matches(&self.find).count();
        let Self { name, file, .. } = self;
        ensure!(
            count == 1,
            "{name}: its `find` is {count} times in {file}, and must be there once: mend {LIST}"
        );
        ensure!(self.find != self.replace, "{name}: replaces its text by the same");
        Ok(text.replacen(&self.find, &self.replace, 1))
    }
}

/// What became of one mutation.
#[derive(Debug)]
struct Outcome {
    mutation: Mutation,
    answer: Answer,
    seconds: f32,
}

/// Looks whether every mutation can still be applied; returns how many there are.
pub(crate) fn check(repo: &Repo) -> Result<usize> {
    let list = read(repo)?;
    println!("mutants: {} mutations apply", list.len());
    Ok(list.len())
}

pub(crate) fn run(repo: &Repo, args: &MutantsArgs) -> Result<()> {
    if args.check {
        return check(repo).map(|_| ());
    }
    let mut list = read(repo)?;
    if !args.only.is_empty() {
        for name in &args.only {
            ensure!(list.iter().any(|mutation| mutation.name == *name), "no mutation {name} in {LIST}");
        }
        list.retain(|mutation| args.only.contains(&mutation.name));
    }
    let tree = Tree::make(repo, args.jobs)?;
    sound(&tree, &list)?;
    let mut outcomes = Vec::new();
    for mutation in list {
        let started = Instant::now();
        let answer = try_one(&tree, &mutation)?;
        let seconds = started.elapsed().as_secs_f32();
        println!("{:<28} {seconds:>6.1} s  {answer}", mutation.name);
        outcomes.push(Outcome { mutation, answer, seconds });
    }
    summary(&outcomes)
}

fn read(repo: &Repo) -> Result<Vec<Mutation>> {
    let text = std::fs::read_to_string(repo.join(LIST)).wrap_err_with(|| format!("cannot read {LIST}"))?;
    let List { mutation: list } = toml::from_str(&text).wrap_err_with(|| format!("{LIST} is no list"))?;
    let mut names = BTreeSet::new();
    for mutation in &list {
        ensure!(names.insert(&mutation.name), "{LIST} has {} twice", mutation.name);
        mutation.finder()?;
        let path = repo.join(&mutation.file);
        let source =
            std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        mutation.apply(&source)?;
    }
    Ok(list)
}

/// Without a fault, no finder may find one.
fn sound(tree: &Tree, list: &[Mutation]) -> Result<()> {
    let mut finders = BTreeSet::new();
    for mutation in list {
        finders.insert(mutation.finder()?);
    }
    // Fewer seeds are among more of them.
    let most = finders.iter().filter_map(|finder| match finder {
        Finder::Sim { seeds } => Some(*seeds),
        Finder::Test { .. } => None,
    });
    let most = most.max();
    finders.retain(|finder| !matches!(finder, Finder::Sim { seeds } if Some(*seeds) != most));
    for finder in finders {
        let answer = tree.ask(&finder)?;
        ensure!(matches!(answer, Answer::Nothing), "without any mutation, {finder:?} answers: {answer}");
    }
    println!("mutants: the unchanged sources pass every finder");
    Ok(())
}

fn try_one(tree: &Tree, mutation: &Mutation) -> Result<Answer> {
    let source = tree.read(&mutation.file)?;
    tree.write(&mutation.file, &mutation.apply(&source)?)?;
    let answer = tree.ask(&mutation.finder()?);
    tree.write(&mutation.file, &source)?;
    answer
}

fn summary(outcomes: &[Outcome]) -> Result<()> {
    println!("\n| mutation | what it breaks | asked | found | seconds |\n|---|---|---|---|---|");
    for Outcome { mutation, answer, seconds } in outcomes {
        let Mutation { name, breaks, found_by, seeds, .. } = mutation;
        let asked = if *seeds > 0 { format!("{found_by}, {seeds} seeds") } else { found_by.clone() };
        println!("| {name} | {breaks} | {asked} | {answer} | {seconds:.0} |");
    }
    let survivors: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| !matches!(outcome.answer, Answer::Found(_)))
        .map(|outcome| outcome.mutation.name.as_str())
        .collect();
    println!("\nmutants: {} found, {} survived", outcomes.len() - survivors.len(), survivors.len());
    ensure!(survivors.is_empty(), "nothing finds: {}", survivors.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutation(find: &str, replace: &str, found_by: &str, seeds: u64) -> Mutation {
        let text = str::to_owned;
        Mutation {
            name: text("m"),
            breaks: text("b"),
            file: text("f"),
            find: text(find),
            replace: text(replace),
            found_by: text(found_by),
            seeds,
        }
    }

    #[test]
    fn a_mutation_applies_where_its_text_stands_once() {
        assert_eq!(mutation("a == b", "true", "sim", 1).apply("if a == b {").unwrap(), "if true {");
        assert!(mutation("a", "c", "sim", 1).apply("a a").is_err());
        assert!(mutation("x", "c", "sim", 1).apply("a a").is_err());
        assert!(mutation("a", "a", "sim", 1).apply("a").is_err());
    }

    #[test]
    fn finders_are_named_in_one_word() {
        assert_eq!(mutation("a", "b", "sim", 9).finder().unwrap(), Finder::Sim { seeds: 9 });
        let test = mutation("a", "b", "consensus/lib::bft::tests::x", 0).finder().unwrap();
        let (package, suite, test_) = ("anfs-consensus".into(), "lib".into(), "bft::tests::x".into());
        assert_eq!(test, Finder::Test { package, suite, test: test_ });
        for wrong in
            [mutation("a", "b", "sim", 0), mutation("a", "b", "nobody", 0), mutation("a", "b", "c/l::t", 4)]
        {
            assert!(wrong.finder().is_err(), "{wrong:?}");
        }
    }
}
