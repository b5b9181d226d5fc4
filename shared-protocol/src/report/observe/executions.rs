//! Programs that were run.

use serde::{Deserialize, Serialize};

/// Who ran what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionsSeen {
    /// Numbers over all of them, also those that are not told.
    pub totals: ExecutionTotals,
    /// Those that were run last, the last first.
    pub executions: Vec<Execution>,
}

/// Numbers over all programs that were run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionTotals {
    /// Programs that a process became.
    pub executions: u64,
    /// Those that could not be run.
    pub refused: u64,
    /// Processes among them that ended.
    pub ended: u64,
    /// Those that ended by a signal or with another exit code than 0.
    pub failed: u64,
}

/// A program that a process became, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The process.
    pub pid: u32,
    /// The process that started it.
    pub parent: u32,
    /// The number of the user whose process it is.
    pub user: u32,
    /// The program's name; where it could not be run, the name of the one that tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The file that was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The command line, the first 256 bytes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// From its start to its end, microseconds, where it ended meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_us: Option<u64>,
    /// With what it ended, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u32>,
    /// Why it could not be run (the error's number), where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<u32>,
}
