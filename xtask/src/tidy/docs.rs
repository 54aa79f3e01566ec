//! Documents name only commands and files that exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use eyre::Result;

use super::Finding;
use crate::cli::Cli;
use crate::process::{execute, output};
use crate::repo::Repo;

/// The folder of the book's pages.
const BOOK: &str = "docs";
/// The book's table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Which program a documented command starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Xtask,
    Anfs,
}

/// Checks the commands in the documents' fenced blocks against what the programs offer.
pub(super) fn commands(repo: &Repo, documents: &[(&str, String)]) -> Result<Vec<Finding>> {
    let mentions: Vec<(Program, String, &str, usize)> = documents
        .iter()
        .flat_map(|(file, text)| {
            mentioned(text).into_iter().map(|(line, program, command)| (program, command, *file, line))
        })
        .collect();
    let xtask = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let anfs = if mentions.iter().any(|(program, ..)| *program == Program::Anfs) {
        execute(repo.cargo().args(["build", "--release", "--quiet", "--package", "anfs"]))?;
        help_commands(&output(Command::new(repo.anfs()).arg("--help"))?)
    } else {
        BTreeSet::new()
    };
    Ok(unknown(&mentions, &xtask, &anfs))
}

fn unknown(
    mentions: &[(Program, String, &str, usize)],
    xtask: &BTreeSet<String>,
    anfs: &BTreeSet<String>,
) -> Vec<Finding> {
    let offered = |program: Program| if program == Program::Xtask { xtask } else { anfs };
    let wrong = mentions.iter().filter(|(program, command, ..)| {
        command != "help" && !command.starts_with('-') && !offered(*program).contains(command)
    });
    wrong
        .map(|(program, command, file, line)| {
            Finding::new(file, *line, format!("{program:?} has no command `{command}`"))
        })
        .collect()
}

/// Commands in fenced blocks: line, program, its first argument.
fn mentioned(text: &str) -> Vec<(usize, Program, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if !fenced {
            continue;
        }
        let line = line.trim_start().trim_start_matches("$ ");
        let words: Vec<&str> = line.split_whitespace().collect();
        let command = match words.as_slice() {
            ["cargo", "xtask", command, ..] => Some((Program::Xtask, *command)),
            ["anfs" | "./target/release/anfs" | "target/release/anfs", command, ..] => {
                Some((Program::Anfs, *command))
            }
            ["cargo", "run", flags @ ..] => {
                let mut rest = flags.iter().skip_while(|word| **word != "--").skip(1);
                let other = flags.iter().any(|flag| ["-p", "--package", "--example", "--bin"].contains(flag));
                rest.next().filter(|_| !other).map(|command| (Program::Anfs, *command))
            }
            _ => None,
        };
        found.extend(command.map(|(program, command)| (number + 1, program, command.to_owned())));
    }
    found
}

/// The names under `Commands:` in a program's help.
fn help_commands(help: &str) -> BTreeSet<String> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("  "));
    // Names are indented by two; their descriptions, when wrapped, by more.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Checks relative links. `exists` is asked for paths relative to the repository's root.
pub(super) fn links(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let dead = relative_links(text).into_iter().filter(|(_, target)| {
        normal(&folder.join(path_of(target))).is_none_or(|path| !exists(&path.to_string_lossy()))
    });
    dead.map(|(line, target)| Finding::new(file, line, format!("the link to `{target}` leads nowhere")))
        .collect()
}

/// Links to files, outside of fenced blocks: line, target.
fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.map(|target| (number + 1, target)).filter(|(_, target)| {
            let path = path_of(target);
            !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")
        }));
    }
    found
}

/// A link's target without its anchor and title.
fn path_of(target: &str) -> &str {
    target.split(['#', ' ']).next().unwrap_or_default()
}

/// Checks that the book has every page: mdBook leaves out, without a word, what the summary does not name, and a
/// link that leaves the book's folder is dead in it.
pub(super) fn book(documents: &[(&str, String)]) -> Vec<Finding> {
    let folder = Path::new(BOOK);
    let pages = documents.iter().filter(|(file, _)| Path::new(file).starts_with(folder));
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    for (file, text) in pages.clone() {
        for (line, target) in relative_links(text) {
            let to = Path::new(file).parent().and_then(|parent| normal(&parent.join(path_of(target))));
            match to {
                Some(to) if to.starts_with(folder) => {
                    if *file == SUMMARY {
                        named.insert(to);
                    }
                }
                _ => {
                    findings.push(Finding::new(
                        file,
                        line,
                        format!("the link to `{target}` leaves the book"),
                    ));
                }
            }
        }
    }
    let forgotten = pages.filter(|(file, _)| *file != SUMMARY && !named.contains(Path::new(file)));
    findings.extend(forgotten.map(|(file, _)| Finding::new(file, 0, format!("{SUMMARY} does not name it"))));
    findings
}

/// The path without `.` and `..`; `None` if it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found_and_live_ones_are_not() {
        let exists = |path: &str| path == "docs/b.md";
        let good = "[b](b.md#part) [web](https://example.org) [here](#x)\n```\n[x](nowhere)\n```\n";
        assert!(links("docs/a.md", good, exists).is_empty());
        assert_eq!(links("docs/a.md", "\n[c](c.md)", exists)[0].line, 2);
        assert_eq!(links("a.md", "[up](../docs/b.md) [ok](docs/b.md)", exists).len(), 1);
        assert_eq!(links("a.md", "[abs](/docs/b.md)", exists).len(), 1);
    }

    #[test]
    fn pages_that_the_book_lacks_and_links_out_of_it_are_found() {
        let page = |file, text: &str| (file, text.to_owned());
        let summary = page(SUMMARY, "[Home](README.md)\n- [A](use/a.md)\n");
        let home = page("docs/README.md", "[a](use/a.md#part) [web](https://example.org)");
        let good =
            [summary.clone(), home.clone(), page("docs/use/a.md", "[up](../README.md)"), page("b.md", "")];
        assert!(book(&good).is_empty());
        let bad = [summary, home, page("docs/use/a.md", "\n[out](../../b.md)"), page("docs/c.md", "")];
        let found: Vec<_> = book(&bad).into_iter().map(|finding| (finding.file, finding.line)).collect();
        assert_eq!(found, [("docs/use/a.md".to_owned(), 2), ("docs/c.md".to_owned(), 0)]);
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let text = "cargo xtask nothing\n```sh\n$ cargo xtask fly --far\ncargo run --release -- devnet\n\
                    anfs sing\ncargo run -p other -- x\ncargo xtask test\n```\n";
        let mentions: Vec<_> = mentioned(text)
            .into_iter()
            .map(|(line, program, command)| (program, command, "a.md", line))
            .collect();
        assert_eq!(mentions.len(), 4);
        let help =
            "About\n\nCommands:\n  devnet  Run\n          more words\n  help    Print\n\nOptions:\n  -h\n";
        let anfs = help_commands(help);
        assert_eq!(anfs.iter().map(String::as_str).collect::<Vec<_>>(), ["devnet", "help"]);
        let lines: Vec<usize> =
            unknown(&mentions, &["test".to_owned()].into(), &anfs).iter().map(|f| f.line).collect();
        assert_eq!(lines, [3, 5]);
    }
}
