//! The contracts of the network: compiled into committed artifacts, and held against them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use eyre::{Context as _, Result, ensure};

use crate::cli::ContractsArgs;
use crate::process::output;
use crate::repo::Repo;
use crate::setup;

/// Compiles contracts/src, and writes the artifacts or compares them.
pub(crate) fn run(repo: &Repo, args: &ContractsArgs) -> Result<()> {
    setup::node_packages(repo)?;
    let compiled = compile(repo)?;
    let committed = committed(repo)?;
    let different: Vec<&String> = compiled
        .keys()
        .chain(committed.keys().filter(|name| !compiled.contains_key(*name)))
        .filter(|name| compiled.get(*name) != committed.get(*name))
        .collect();
    if args.check {
        ensure!(
            different.is_empty(),
            "artifacts are not what contracts/src compiles to: {different:?}; run `cargo xtask contracts`"
        );
        println!("contracts: {} artifacts are what the sources compile to", compiled.len());
        return Ok(());
    }
    let dir = repo.join("contracts/artifacts");
    fs::create_dir_all(&dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
    for name in &different {
        let path = dir.join(name);
        match compiled.get(*name) {
            Some(text) => fs::write(&path, text),
            None => fs::remove_file(&path),
        }
        .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    println!("contracts: {} compiled, {} artifacts changed", compiled.len(), different.len());
    Ok(())
}

/// Each artifact's file name and text.
fn compile(repo: &Repo) -> Result<BTreeMap<String, String>> {
    let mut compiler = Command::new("node");
    let printed = output(compiler.arg(repo.clients().join("artifacts.mjs")))?;
    let artifacts: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&printed).wrap_err("the compiler's answer is not what was expected")?;
    let text = |artifact: serde_json::Value| serde_json::to_string_pretty(&artifact).map(|text| text + "\n");
    artifacts.into_iter().map(|(name, artifact)| Ok((format!("{name}.json"), text(artifact)?))).collect()
}

fn committed(repo: &Repo) -> Result<BTreeMap<String, String>> {
    let dir = repo.join("contracts/artifacts");
    let mut texts = BTreeMap::new();
    let Ok(entries) = fs::read_dir(&dir) else { return Ok(texts) };
    for entry in entries {
        let entry = entry.wrap_err_with(|| format!("cannot list {}", dir.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path())
            .wrap_err_with(|| format!("cannot read {}", entry.path().display()))?;
        texts.insert(name, text);
    }
    Ok(texts)
}
