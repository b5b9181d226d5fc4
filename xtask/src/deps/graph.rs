//! What the checks look at: the crates of the workspace, what they name, and what is built because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::tool;

/// The workspace as cargo resolves it, with only what is really used.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// By package name.
    pub(super) members: BTreeMap<String, Member>,
    /// Every package that something of the workspace uses, members included.
    pub(super) packages: Vec<Package>,
}

/// A crate of the workspace.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// What it names as a normal or build dependency.
    pub(super) normal: BTreeSet<String>,
    /// What its tests name.
    pub(super) dev: BTreeSet<String>,
    /// Everything its normal dependencies bring along.
    pub(super) reached: BTreeSet<String>,
}

/// A package that is used.
#[derive(Debug, Default, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// `None` for a crate of the workspace.
    pub(super) source: Option<String>,
    pub(super) licence: Option<String>,
    pub(super) features: BTreeSet<String>,
}

/// Every edge of the resolved graph, by package.
type Edges<'a> = BTreeMap<&'a PackageId, Vec<(&'a PackageId, Vec<DependencyKind>)>>;

/// By name and version.
type Built = BTreeMap<(String, String), BTreeSet<String>>;

impl Graph {
    pub(super) fn load(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(vec!["--locked".to_owned()])
            .exec()
            .context("cargo metadata (if Cargo.lock is behind the manifests: cargo update --workspace)")?;
        Self::from_metadata(&metadata, &built(root)?)
    }

    fn from_metadata(metadata: &Metadata, built: &Built) -> Result<Self> {
        let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
        let names: BTreeMap<&PackageId, &str> = metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
        let edges: Edges<'_> = resolve
            .nodes
            .iter()
            .map(|node| {
                (
                    &node.id,
                    node.deps
                        .iter()
                        .map(|dep| (&dep.pkg, dep.dep_kinds.iter().map(|kind| kind.kind).collect()))
                        .collect(),
                )
            })
            .collect();
        let members = metadata.workspace_packages().into_iter().map(|package| {
            let of_kind = |dev: bool| {
                package
                    .dependencies
                    .iter()
                    .filter(|dep| (dep.kind == DependencyKind::Development) == dev)
                    .map(|dep| dep.name.clone())
                    .collect()
            };
            let reached = reach(&edges, &package.id)
                .into_iter()
                .filter_map(|id| names.get(id).map(|name| (*name).to_owned()))
                .collect();
            let member = Member {
                normal: of_kind(false),
                dev: of_kind(true),
                reached,
            };
            (package.name.to_string(), member)
        });
        let members = members.collect();
        let ours = |package: &cargo_metadata::Package| metadata.workspace_members.contains(&package.id);
        let packages = metadata.packages.iter().filter_map(|package| {
            let features = built.get(&(package.name.to_string(), package.version.to_string()));
            (features.is_some() || ours(package)).then(|| Package {
                name: package.name.to_string(),
                version: package.version.to_string(),
                source: package.source.as_ref().map(|source| source.repr.clone()),
                licence: package.license.clone(),
                features: features.cloned().unwrap_or_default(),
            })
        });
        Ok(Self {
            members,
            packages: packages.collect(),
        })
    }
}

/// What ends up in the built crate.
fn reach<'a>(edges: &Edges<'a>, from: &'a PackageId) -> BTreeSet<&'a PackageId> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(id) = waiting.pop() {
        for (next, kinds) in edges.get(id).into_iter().flatten() {
            if kinds.contains(&DependencyKind::Normal) && reached.insert(*next) {
                waiting.push(next);
            }
        }
    }
    reached
}

/// What is really built, by name and version, with its features. `cargo metadata` also names crates that only a feature nobody turned on would bring.
fn built(root: &Path) -> Result<Built> {
    let output = tool::cargo(root)
        .args([
            "tree",
            "--locked",
            "--workspace",
            "--edges",
            "normal,build,dev",
            "--target",
            "all",
            "--prefix",
            "none",
            "--format",
            "{p};{f}",
        ])
        .output()
        .context("calling cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(read_tree(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines `name v1.2.3 (where);feature,feature (*)`.
fn read_tree(text: &str) -> Built {
    let mut built = Built::new();
    for line in text.lines() {
        let Some((package, features)) = line.split_once(';') else { continue };
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        let of_package = built.entry((name.to_owned(), version.trim_start_matches('v').to_owned())).or_default();
        let features = features.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
        of_package.extend(features.map(str::to_owned));
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_with_its_features() {
        let built = read_tree("rustls v0.23.46;aws_lc_rs,std (*)\nours v0.1.0 (/x/y);\nrustls v0.23.46;tls12\n\n");
        assert_eq!(built.len(), 2);
        let features = &built[&("rustls".to_owned(), "0.23.46".to_owned())];
        assert_eq!(features.iter().map(String::as_str).collect::<Vec<_>>(), ["aws_lc_rs", "std", "tls12"]);
    }
}
