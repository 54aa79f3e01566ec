//! Checks of the repository as text: what a reviewer should not have to look for.

mod docs;
mod layers;
mod lock;
mod words;

use std::fmt;

use eyre::{Result, ensure};

use crate::repo::Repo;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

pub(crate) fn run(repo: &Repo) -> Result<()> {
    let mut findings = layers::check(repo)?;
    let unsafe_dirs = layers::unsafe_dirs(repo)?;
    let mut documents = Vec::new();
    let files = repo.files()?;
    for file in &files {
        let Some(text) = repo.text(file)? else { continue };
        findings.extend(words::machine_paths(file, &text));
        if file.ends_with(".rs") {
            findings.extend(words::length(file, &text));
            findings.extend(words::forbidden(file, &text));
            if !unsafe_dirs.iter().any(|dir| file.starts_with(dir)) {
                findings.extend(words::unsafe_code(file, &text));
            }
        } else if file.ends_with(".md") {
            findings.extend(docs::links(file, &text, |path| repo.join(path).exists()));
            documents.push((file.as_str(), text));
        } else if file.ends_with("Cargo.lock") {
            findings.extend(lock::sources(file, &text));
        }
    }
    findings.extend(docs::book(&documents));
    findings.extend(docs::commands(repo, &documents)?);
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "tidy: {} findings in {} files", findings.len(), files.len());
    println!("tidy: {} files, no findings", files.len());
    Ok(())
}
