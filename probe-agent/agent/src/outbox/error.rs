//! What can go wrong with the outbox, and what it means for the agent.

use crate::state_dir::StateDirError;

/// The outbox cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Its file, or the directory, is not one that may be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// Another agent has it open.
    #[error("another agent runs on this state directory")]
    Locked,
    /// A newer agent wrote it.
    #[error("the outbox was written by a newer agent (format {found}); install that version again, or move the file away")]
    Newer {
        /// The format found.
        found: i64,
    },
    /// What is in it cannot be read; it is set aside when the agent starts.
    #[error("the outbox is damaged")]
    Damaged,
    /// The disk is full, read-only, or broken.
    #[error("the outbox cannot be written or read: {0}")]
    Storage(sqlx::Error),
}

impl OutboxError {
    /// Whether only a person can mend it.
    pub const fn is_misconfiguration(&self) -> bool {
        match self {
            Self::State(_) | Self::Locked | Self::Newer { .. } => true,
            Self::Damaged | Self::Storage(_) => false,
        }
    }
}

impl From<sqlx::Error> for OutboxError {
    fn from(error: sqlx::Error) -> Self {
        // Extended result codes keep the primary one in their low byte (sqlite.org/rescode.html).
        let primary = error
            .as_database_error()
            .and_then(|database| database.code()?.parse::<u32>().ok())
            .map(|code| code & 0xff);
        match primary {
            Some(SQLITE_BUSY | SQLITE_LOCKED) => Self::Locked,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Damaged,
            _ => Self::Storage(error),
        }
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;
