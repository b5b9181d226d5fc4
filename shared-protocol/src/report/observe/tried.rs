//! What a kernel thinks of a package that was given to it and put onto no hook.

use serde::{Deserialize, Serialize};

/// What a kernel thinks of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageTried {
    /// Bytes of its maps on that host.
    pub memory_bytes: u64,
    /// Each program, in the manifest's order.
    pub programs: Vec<ProgramTried>,
}

/// What a kernel thinks of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramTried {
    /// Its name.
    pub name: String,
    /// The hook it would be put onto.
    pub attach: String,
    /// How many instructions the verifier went through, where the kernel says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u32>,
    /// Why it is not taken; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What the verifier said to that, the end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl PackageTried {
    /// Why the first program that is not taken is not; nothing where all are.
    pub fn refused(&self) -> Option<&str> {
        self.programs.iter().find_map(|program| program.refused.as_deref())
    }
}
