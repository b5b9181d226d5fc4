//! What OpenSSL takes.

use serde::{Deserialize, Serialize};

use super::Latencies;

/// Who shook hands, read and wrote by OpenSSL, and how long that took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSeen {
    /// Numbers over all programs, also those that are not told.
    pub totals: TlsTotals,
    /// How long all handshakes took that came to something, from the first call to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<Latencies>,
    /// By command and kind: handshakes, reads, writes, of each those first that took longest together.
    pub calls: Vec<TlsCalls>,
    /// The files that were looked at, as those call them who use them.
    pub libraries: Vec<String>,
}

/// Numbers over all programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsTotals {
    /// Handshakes that came to something.
    pub handshakes: u64,
    /// Handshakes that failed, or were let go of.
    pub handshakes_failed: u64,
    /// Reads that brought something.
    pub reads: u64,
    /// Reads of which the library said that they failed.
    pub reads_failed: u64,
    /// Writes that took something.
    pub writes: u64,
    /// Writes of which the library said that they failed.
    pub writes_failed: u64,
}

/// What one command did of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsCalls {
    /// The name of the thread; absent where the owner hides commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The process that did last.
    pub pid: u32,
    /// What it did.
    pub kind: TlsKind,
    /// How often that came to something.
    pub count: u64,
    /// How often it failed; what was only not ready yet is in neither number.
    pub failed: u64,
    /// How long it took where it came to something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
}

/// What programs do by OpenSSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsKind {
    /// A handshake, of all calls that it takes.
    Handshake,
    /// One call that reads.
    Read,
    /// One call that writes.
    Write,
}
