//! Stacks of tasks, as the kernel saw them: where time went.

use serde::{Deserialize, Serialize};

/// Where the time of tasks went, by the functions that they were in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StacksSeen {
    /// What is counted.
    pub unit: StackUnit,
    /// Looks at each CPU in a second, where that is how it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hz: Option<u32>,
    /// All that was counted, over all tasks.
    pub total: u64,
    /// Looks at a CPU that had nothing to do; they are not in the total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// Functions by what they took themselves, most first, over all stacks.
    pub hottest: Vec<HotFunction>,
    /// The names that stacks are made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// Stacks, those with most first, as many as there is room for; only in the final report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<TaskStack>,
    /// What was counted for stacks that are not told.
    pub others: u64,
}

/// What is counted for stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackUnit {
    /// How often a task was found so.
    Samples,
    /// How long tasks were so, microseconds.
    Microseconds,
}

/// What one function took, in all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotFunction {
    /// Its name; `_[k]` is at the end of the kernel's. Where a file has no name for it, the file and where in it; else `[unknown]`.
    pub function: String,
    /// In the function itself.
    pub own: u64,
    /// In it, or in what it called.
    pub within: u64,
}

/// One stack of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStack {
    /// The name of the task, where the owner shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The process.
    pub pid: u32,
    /// What was counted.
    pub value: u64,
    /// Functions by their place among the names, the outermost first.
    pub frames: Vec<u32>,
}
