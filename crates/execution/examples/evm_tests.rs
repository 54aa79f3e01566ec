//! Runs a folder of Ethereum's `GeneralStateTests`: `cargo run --release --example evm_tests -- DIR`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anfs_execution::statetest::{Verdict, run};
use eyre::{Result, WrapErr, bail, eyre};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| eyre!("usage: evm_tests DIR"))?;
    let mut files = Vec::new();
    collect(Path::new(&folder), &mut files)?;
    files.sort();
    let mut passed: BTreeMap<String, usize> = BTreeMap::new();
    let (mut failed, mut skipped, mut unreadable) = (0, 0, 0);
    for path in &files {
        let text = std::fs::read_to_string(path).wrap_err_with(|| format!("reading {}", path.display()))?;
        let cases = run(&text).unwrap_or_else(|error| {
            unreadable += 1;
            println!("{}: {error}", path.display());
            Vec::new()
        });
        for case in cases {
            match case.verdict {
                Verdict::Passed => *passed.entry(case.fork).or_default() += 1,
                Verdict::Skipped => skipped += 1,
                Verdict::Failed(reason) => {
                    failed += 1;
                    println!("{} {} {} {}: {reason}", path.display(), case.test, case.fork, case.index);
                }
            }
        }
    }
    println!(
        "{} files, of which {unreadable} are no state tests; passed {passed:?}, failed {failed}, of other forks {skipped}",
        files.len()
    );
    if passed.is_empty() && failed == 0 {
        bail!("no case of Cancun, Prague or Osaka below {folder}");
    }
    if failed > 0 || unreadable > 0 {
        bail!("{failed} cases failed, {unreadable} files are no state tests");
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).wrap_err_with(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}
