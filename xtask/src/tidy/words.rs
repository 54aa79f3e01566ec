//! What no source file may hold.
//!
//! The words are put together here, so that this file does not hold them itself.

use super::Finding;

const LINES_MAX: usize = 800;

/// Never in Rust sources.
const FORBIDDEN: [(&str, &str); 6] = [
    (concat!("to", "do!("), "write the code"),
    (concat!("unimple", "mented!("), "write the code"),
    (concat!("db", "g!("), "use tracing, or remove it"),
    (concat!("#[ig", "nore"), "a test that does not run is no test"),
    (concat!("allow(dead", "_code"), "remove what is not used"),
    (concat!("allow(unused", "_must_use"), "handle the result"),
];

/// Where clients of a devnet pause between two questions, a bounded number of times, for want of an event to wait for.
const PACED: &str = "crates/anfs/tests/it/harness.rs";
/// Never in tests.
const SLEEPS: [&str; 3] =
    [concat!("thread::sl", "eep"), concat!("time::sl", "eep"), concat!("sleep_unt", "il(")];

/// Never in any tracked file: they name a machine, not the project.
const MACHINE_PATHS: [&str; 3] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

/// Never in any tracked file: which registry is used is the machine's choice.
const REGISTRIES: [&str; 7] = [
    concat!("registry.np", "mjs.org"),
    concat!("registry.yar", "npkg.com"),
    concat!("py", "pi.org"),
    concat!("files.python", "hosted.org"),
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("proxy.go", "lang.org"),
];

const UNSAFE: [&str; 6] = [
    concat!("unsa", "fe {"),
    concat!("unsa", "fe fn"),
    concat!("unsa", "fe impl"),
    concat!("unsa", "fe extern"),
    concat!("unsa", "fe trait"),
    concat!("allow(unsa", "fe_code"),
];

pub(super) fn length(file: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let what = format!("{lines} lines; split it, {LINES_MAX} is the most");
    (lines > LINES_MAX).then(|| Finding::new(file, 0, what))
}

pub(super) fn forbidden(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_tests = is_test_file(file);
    for (line, content) in code_lines(text) {
        in_tests |= content.trim_start().starts_with("#[cfg(test)]") && !content.contains("use ");
        for (word, remedy) in FORBIDDEN {
            if content.contains(word) {
                findings.push(Finding::new(file, line, format!("`{word}`: {remedy}")));
            }
        }
        if in_tests && file != PACED && SLEEPS.iter().any(|word| content.contains(word)) {
            findings.push(Finding::new(file, line, "a test sleeps: wait for the event instead"));
        }
    }
    findings
}

pub(super) fn unsafe_code(file: &str, text: &str) -> Vec<Finding> {
    let lines = code_lines(text).filter(|(_, content)| UNSAFE.iter().any(|word| content.contains(word)));
    lines
        .map(|(line, _)| Finding::new(file, line, "unsafe code in a crate that layers.toml does not list"))
        .collect()
}

pub(super) fn machine_paths(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, content) in text.lines().enumerate() {
        // The start of a path, not the middle of one.
        let starts_path = |word: &str| {
            content.match_indices(word).any(|(at, _)| {
                let before = content[..at].chars().next_back();
                before.is_none_or(|before| !before.is_alphanumeric() && !"._-/~}>*".contains(before))
            })
        };
        if let Some(word) = MACHINE_PATHS.iter().find(|word| starts_path(word)) {
            findings.push(Finding::new(file, number + 1, format!("`{word}` is a path of one machine")));
        }
        if let Some(host) = REGISTRIES.iter().find(|host| content.contains(*host)) {
            findings.push(Finding::new(
                file,
                number + 1,
                format!("`{host}`: the registry is the machine's choice"),
            ));
        }
    }
    findings
}

fn is_test_file(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs") || file.starts_with("tests/")
}

/// Lines without what follows `//`, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(length("a.rs", &"\n".repeat(LINES_MAX)).is_none());
        assert!(length("a.rs", &"\n".repeat(LINES_MAX + 1)).is_some());
    }

    #[test]
    fn each_forbidden_word_is_found_but_not_in_comments() {
        for (word, _) in FORBIDDEN {
            assert_eq!(found(forbidden("src/a.rs", &format!("fn a() {{\n{word}\n}}"))), [2], "{word}");
            assert!(forbidden("src/a.rs", &format!("// {word}\n")).is_empty(), "{word}");
        }
    }

    #[test]
    fn sleeps_are_found_in_tests_only() {
        let sleep = format!("std::{}(d);", SLEEPS[0]);
        assert!(forbidden("src/a.rs", &sleep).is_empty());
        assert_eq!(found(forbidden("crates/a/tests/it/b.rs", &sleep)), [1]);
        assert_eq!(found(forbidden("src/foo/tests.rs", &sleep)), [1]);
        assert_eq!(
            found(forbidden("src/a.rs", &format!("{sleep}\n#[cfg(test)]\nmod tests {{\n{sleep}"))),
            [4]
        );
    }

    #[test]
    fn unsafe_code_is_found_and_attributes_that_forbid_it_are_not() {
        for word in UNSAFE {
            assert_eq!(found(unsafe_code("src/a.rs", word)), [1], "{word}");
        }
        assert!(unsafe_code("src/a.rs", concat!("#![forbid(unsa", "fe_code)]")).is_empty());
    }

    #[test]
    fn machine_paths_and_registries_are_found_in_any_file() {
        for path in MACHINE_PATHS {
            assert_eq!(found(machine_paths("a.toml", &format!("dir = \"{path}x\""))), [1], "{path}");
            assert!(machine_paths("a.md", &format!("see docs{path}x")).is_empty(), "{path}");
        }
        for host in REGISTRIES {
            assert_eq!(
                found(machine_paths("package-lock.json", &format!("\nhttps://{host}/a"))),
                [2],
                "{host}"
            );
        }
        let source = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert!(machine_paths("Cargo.lock", source).is_empty());
    }
}
