//! With what number the process ends, which service managers act upon.

/// Why a command failed, as far as the exit code is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Something that may be different the next time: exit 1.
    Failed,
    /// Revoked, or a configuration that no restart mends: exit 78 (`EX_CONFIG` of sysexits.h), which the unit file lists in `RestartPreventExitStatus`.
    Misconfigured,
}

impl Failure {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Misconfigured => 78,
        }
    }
}
