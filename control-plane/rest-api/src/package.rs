//! Packages: observations of a tenant's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// A package as its author signed it, which `probectl packages sign` writes; at most 512 KiB.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageText {
    /// Always `probeops-observation-1`.
    pub format: String,
    /// The manifest, in TOML.
    pub manifest: String,
    /// The object for the kernel, as Base64.
    pub object: String,
    /// The key that signed it: `ed25519:` and 32 bytes as Base64.
    pub key: String,
    /// The signature over the hash of manifest and object, as Base64.
    pub signature: String,
}

/// A package without its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Package {
    /// The hash by which it is known, 64 hexadecimal digits.
    pub sha256: String,
    /// By what name it is asked for.
    pub name: String,
    /// Which one of that name.
    pub version: String,
    /// What it is for.
    pub summary: String,
    /// The key that signed it. Whether it is trusted is for the owner of each host to say.
    pub signed_by: String,
    /// Who uploaded it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A package with where it is and how it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageDetail {
    /// The package.
    #[serde(flatten)]
    pub package: Package,
    /// Its manifest, as it was signed.
    pub manifest: String,
    /// Agents that were told of packages of this name, or said something of one; at most 1,000.
    pub agents: Vec<PackageOnAgent>,
}

/// What an agent has to do with packages of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageOnAgent {
    /// The agent's id.
    pub agent: String,
    /// Its name.
    pub agent_name: String,
    /// The package that the name means there; the newest of the name where none was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sha256: Option<String>,
    /// The one before, to which `roll_back` goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous: Option<String>,
    /// When it was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deployed_at: Option<Timestamp>,
    /// What its observer said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub health: Option<PackageHealth>,
}

/// What an observer said last of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageHealth {
    /// Which package it was.
    pub sha256: String,
    /// `ok`, `degraded`, `failed` or `timeout`, as in the report.
    pub status: String,
    /// Why not, as a code of a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// Why not, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What is to be done with a package on some agents.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageAction {
    /// What.
    pub action: PackageActionKind,
    /// On which agents; at least one condition.
    pub selection: PackageSelection,
}

/// What can be done with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackageActionKind {
    /// From here on its name means this package there.
    Deploy,
    /// Where its name means this package, it means again the one that it meant before.
    RollBack,
}

/// Which agents of the tenant: those named, or all that the conditions hold for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageSelection {
    /// These, by id or name; at most 1,000.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Those with all of these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// All.
    #[serde(default)]
    pub all: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageActed {
    /// Names of the agents where it was done.
    pub agents: Vec<String>,
    /// Names of the agents where there was nothing to go back to.
    pub unchanged: Vec<String>,
}
