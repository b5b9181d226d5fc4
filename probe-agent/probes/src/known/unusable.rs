//! Why a file of the owner's is of no use.

use std::io;

/// Why nothing is taken from a file; what was read before it stays.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a folder, a pipe or a device.
    #[error("is no plain file")]
    NotAFile,
    /// It is longer than any such file.
    #[error("is longer than {most} bytes")]
    TooLarge {
        /// The bound.
        most: u64,
    },
    /// It is packed, as such files often come.
    #[error("is compressed; unpack it")]
    Compressed,
    /// A line is not what it should be.
    #[error("line {line} {what}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What it is, or is not.
        what: &'static str,
    },
    /// It ends in `.mmdb`, and is no database.
    #[error("is no database in the format of MaxMind: {0}")]
    Database(String),
    /// It can be read, and says nothing of what is asked.
    #[error("has no entry")]
    Empty,
    /// With the files before it there would be more entries than any have.
    #[error("has more than {most} entries, with those of the files before it")]
    TooMany {
        /// The bound.
        most: usize,
    },
}

impl Unusable {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "file_unreadable",
            Self::NotAFile => "file_not_plain",
            Self::TooLarge { .. } => "file_too_large",
            Self::Compressed => "file_compressed",
            Self::Line { .. } => "file_bad_line",
            Self::Database(_) => "file_bad_database",
            Self::Empty => "file_empty",
            Self::TooMany { .. } => "file_too_many_entries",
        }
    }
}
