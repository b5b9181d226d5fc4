//! Files that were opened.

use serde::{Deserialize, Serialize};

/// Who opened what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesSeen {
    /// Numbers over all processes, also those that are not told.
    pub totals: FileTotals,
    /// Those that opened most.
    pub openers: Vec<Opener>,
    /// What was opened last, the last first.
    pub openings: Vec<Opening>,
}

/// Numbers over everything that was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTotals {
    /// Files that were opened, as often as they were.
    pub opened: u64,
    /// Tries that failed.
    pub failed: u64,
}

/// A process that opened files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opener {
    /// The process.
    pub pid: u32,
    /// The number of the user whose process it is.
    pub user: u32,
    /// The name of the thread that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Files that it opened, as often as it did.
    pub opened: u64,
    /// Tries that failed.
    pub failed: u64,
}

/// A file that was opened, or was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The process.
    pub pid: u32,
    /// The number of the user whose process it is.
    pub user: u32,
    /// The name of the thread that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The file as it was named, the first 255 bytes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether it was opened to be written.
    pub writes: bool,
    /// Why it could not be opened (the error's number), where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<u32>,
}
