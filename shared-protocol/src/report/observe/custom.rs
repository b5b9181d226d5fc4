//! What a package of somebody's own saw: what its maps hold, by its own types.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::package::{PackageDigest, PackageName, PackageVersion};

/// What a package saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomSeen {
    /// Its name.
    pub package: PackageName,
    /// Its version, as its manifest has it.
    pub version: PackageVersion,
    /// Exactly which one it was.
    pub sha256: PackageDigest,
    /// Maps whose entries are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<CustomRows>,
    /// Rings whose messages are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<CustomEvents>,
}

/// What a map holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRows {
    /// Its name.
    pub map: String,
    /// Entries it holds, told or not; of an array those that are not all zeros.
    pub entries: u64,
    /// Those with most to tell, as many as were asked for and there is room for.
    pub rows: Vec<CustomRow>,
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRow {
    /// Its key.
    pub key: Value,
    /// Its value. Of a map by CPU it is the sum where there are only numbers, and a list otherwise.
    pub value: Value,
}

/// What came through a ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEvents {
    /// Its name.
    pub map: String,
    /// Messages that came, from the beginning.
    pub seen: u64,
    /// Messages that were not of the size that the package says, from the beginning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub malformed: u64,
    /// The latest, oldest first: in a window those that came in it, at the end the last of all.
    pub events: Vec<Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
