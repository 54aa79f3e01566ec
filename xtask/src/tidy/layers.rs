//! layers.toml against what cargo says: who imports whom.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};
use eyre::{Context as _, Result};
use serde::Deserialize;

use super::Finding;
use crate::repo::Repo;

const FILE: &str = "layers.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Layers {
    crates: BTreeMap<String, Crate>,
    /// Outside crates that only some of ours may name.
    exclusive: BTreeMap<String, Vec<String>>,
    forbidden_in_core: Forbidden,
    /// Crates that may contain unsafe code, and why.
    r#unsafe: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Crate {
    kind: Kind,
    imports: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Core,
    Shell,
    Binary,
    Tool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbidden {
    crates: Vec<String>,
}

/// A workspace crate as cargo knows it. Dependencies of tests and benches are left out: they do not ship.
#[derive(Debug)]
struct Package {
    name: String,
    /// Relative to the root.
    dir: String,
    dependencies: BTreeSet<String>,
}

pub(super) fn check(repo: &Repo) -> Result<Vec<Finding>> {
    Ok(compare(&read(repo)?, &packages(repo)?))
}

/// Folders of the crates that may contain unsafe code, with a slash at the end.
pub(super) fn unsafe_dirs(repo: &Repo) -> Result<Vec<String>> {
    let layers = read(repo)?;
    let packages = packages(repo)?.into_iter().filter(|package| layers.r#unsafe.contains_key(&package.name));
    Ok(packages.map(|package| package.dir + "/").collect())
}

fn read(repo: &Repo) -> Result<Layers> {
    let text = std::fs::read_to_string(repo.join(FILE)).wrap_err_with(|| format!("cannot read {FILE}"))?;
    toml::from_str(&text).wrap_err_with(|| format!("{FILE} is not what it should be"))
}

fn packages(repo: &Repo) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new().current_dir(repo.root()).no_deps().exec();
    let metadata = metadata.wrap_err("cargo metadata failed")?;
    let package = |package: &cargo_metadata::Package| {
        let dir =
            package.manifest_path.parent().and_then(|dir| dir.strip_prefix(&metadata.workspace_root).ok());
        let shipped = package.dependencies.iter().filter(|dep| dep.kind != DependencyKind::Development);
        Package {
            name: package.name.to_string(),
            dir: dir.map(ToString::to_string).unwrap_or_default(),
            dependencies: shipped.map(|dependency| dependency.name.clone()).collect(),
        }
    };
    Ok(metadata.packages.iter().map(package).collect())
}

fn compare(layers: &Layers, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |what: String| findings.push(Finding::new(FILE, 0, what));
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for name in
        layers.crates.keys().chain(layers.r#unsafe.keys()).filter(|name| !ours.contains(name.as_str()))
    {
        report(format!("{name} is listed but is no crate of the workspace"));
    }
    for Package { name, dependencies, .. } in packages {
        let Some(rules) = layers.crates.get(name) else {
            report(format!("{name} is not listed under [crates]"));
            continue;
        };
        for dependency in dependencies {
            if ours.contains(dependency.as_str()) && !rules.imports.contains(dependency) {
                report(format!("{name} must not import {dependency}"));
            }
            if let Some(owners) = layers.exclusive.get(dependency)
                && !owners.contains(name)
            {
                report(format!("{name} must not name {dependency}: only {} may", owners.join(", ")));
            }
            if rules.kind == Kind::Core && layers.forbidden_in_core.crates.contains(dependency) {
                report(format!("{name} is a core crate and must not name {dependency}"));
            }
        }
        for import in &rules.imports {
            let shells = rules.kind == Kind::Shell && name != "anfs-node";
            match layers.crates.get(import).map(|import| import.kind) {
                None => report(format!("{name} may import {import}, which is not listed")),
                Some(kind) if rules.kind == Kind::Core && kind != Kind::Core => {
                    report(format!("{name} is a core crate and may not be allowed to import {import}"));
                }
                Some(Kind::Shell) if shells => {
                    report(format!("{name} and {import} are shell crates: only anfs-node joins those"));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: &str = r#"
        [crates]
        core-a = { kind = "core", imports = [] }
        core-b = { kind = "core", imports = ["core-a"] }
        shell = { kind = "shell", imports = ["core-a"] }
        [exclusive]
        redb = ["shell"]
        [forbidden-in-core]
        crates = ["tokio"]
        [unsafe]
        core-a = "intrinsics"
    "#;

    fn findings(layers: &str, dependencies: [&[&str]; 3]) -> Vec<String> {
        let names = ["core-a", "core-b", "shell"];
        let packages: Vec<Package> = names
            .iter()
            .zip(dependencies)
            .map(|(name, list)| Package {
                name: (*name).to_owned(),
                dir: format!("crates/{name}"),
                dependencies: list.iter().map(|name| (*name).to_owned()).collect(),
            })
            .collect();
        let layers = toml::from_str(layers).unwrap();
        compare(&layers, &packages).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn allowed_imports_pass() {
        assert!(findings(LAYERS, [&["serde"], &["core-a"], &["core-a", "redb", "tokio"]]).is_empty());
    }

    #[test]
    fn each_breach_is_found() {
        let one = |dependencies, words: &str| {
            let found = findings(LAYERS, dependencies);
            assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
        };
        one([&["core-b"], &[], &[]], "core-a must not import core-b");
        one([&[], &[], &["core-b"]], "shell must not import core-b");
        one([&["redb"], &[], &[]], "core-a must not name redb");
        one([&[], &["tokio"], &[]], "core-b is a core crate");
    }

    #[test]
    fn the_table_itself_is_checked() {
        let unlisted = LAYERS.replace("core-b = { kind = \"core\", imports = [\"core-a\"] }", "");
        assert_eq!(findings(&unlisted, [&[], &[], &[]]), ["core-b is not listed under [crates]"]);
        let upward = LAYERS.replace(
            "core-b = { kind = \"core\", imports = [\"core-a\"]",
            "core-b = { kind = \"core\", imports = [\"shell\"]",
        );
        assert_eq!(findings(&upward, [&[], &[], &[]]).len(), 1);
        let ghost = LAYERS.replace("core-a = \"intrinsics\"", "ghost = \"\"");
        assert_eq!(findings(&ghost, [&[], &[], &[]]).len(), 1);
    }
}
