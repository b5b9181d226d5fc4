//! What the checks look at: the crates of the workspace, what they name, and what is built because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};

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

impl Graph {
    pub(super) fn load(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .features(CargoOpt::AllFeatures)
            .other_options(vec!["--locked".to_owned()])
            .exec()
            .context("cargo metadata (if Cargo.lock is behind the manifests: cargo update --workspace)")?;
        Self::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &Metadata) -> Result<Self> {
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
            let reached = reach(&edges, &package.id, Follow::Normal)
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
        let used: BTreeSet<&PackageId> = metadata.workspace_members.iter().flat_map(|id| reach(&edges, id, Follow::Everything)).collect();
        let features: BTreeMap<&PackageId, BTreeSet<String>> = resolve
            .nodes
            .iter()
            .map(|node| (&node.id, node.features.iter().map(ToString::to_string).collect()))
            .collect();
        let packages = metadata
            .packages
            .iter()
            .filter(|package| used.contains(&package.id) || metadata.workspace_members.contains(&package.id))
            .map(|package| Package {
                name: package.name.to_string(),
                version: package.version.to_string(),
                source: package.source.as_ref().map(|source| source.repr.clone()),
                licence: package.license.clone(),
                features: features.get(&package.id).cloned().unwrap_or_default(),
            });
        Ok(Self {
            members,
            packages: packages.collect(),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// What ends up in the built crate.
    Normal,
    /// Also what builds and tests it.
    Everything,
}

fn reach<'a>(edges: &Edges<'a>, from: &'a PackageId, follow: Follow) -> BTreeSet<&'a PackageId> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(id) = waiting.pop() {
        for (next, kinds) in edges.get(id).into_iter().flatten() {
            let followed = follow == Follow::Everything || kinds.contains(&DependencyKind::Normal);
            if followed && reached.insert(*next) {
                waiting.push(next);
            }
        }
    }
    reached
}
