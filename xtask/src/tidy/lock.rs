//! Lock files name the standard registry and nothing else.

use super::Finding;

const STANDARD: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

pub(super) fn sources(file: &str, text: &str) -> Vec<Finding> {
    let sources = text.lines().enumerate().filter(|(_, line)| line.starts_with("source = "));
    let others = sources.filter(|(_, line)| *line != STANDARD);
    others
        .map(|(number, line)| Finding::new(file, number + 1, format!("not the standard registry: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_sources_and_other_registries_are_found() {
        assert!(sources("Cargo.lock", &format!("name = \"a\"\n{STANDARD}\n")).is_empty());
        assert_eq!(sources("Cargo.lock", "source = \"git+https://example.org/a#1\"").len(), 1);
        assert_eq!(sources("Cargo.lock", "source = \"sparse+https://example.org/\"").len(), 1);
    }
}
