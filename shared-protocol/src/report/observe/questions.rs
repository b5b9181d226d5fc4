//! Questions to DNS as the kernel saw them leave and their answers come.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Latencies;

/// What this host asked over UDP, in all network namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsSeen {
    /// Numbers over all questions, also those that are not told.
    pub totals: DnsTotals,
    /// How long answers took, from the first time that the question was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
    /// By question, server and program: those without an answer first, then the slowest.
    pub questions: Vec<QuestionSeen>,
}

/// Numbers over all questions seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsTotals {
    /// Questions; one that is sent again counts once.
    pub questions: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Answers that say something else than that there was no error.
    pub failed: u64,
    /// Those without an answer: still waiting, or for more than five seconds.
    pub unanswered: u64,
    /// How often questions were sent once more.
    pub sent_again: u64,
}

/// One question of one program to one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionSeen {
    /// The name, as in a zone file (RFC 1035, section 5.1); absent where it is hidden, or longer than about 120 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type of record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// Who was asked.
    pub server: SocketAddr,
    /// The process that asked last.
    pub pid: u32,
    /// The program's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Answers.
    pub answered: u64,
    /// Of them, those that say something else than that there was no error.
    pub failed: u64,
    /// Questions without an answer.
    pub unanswered: u64,
    /// The last code that was not 0 (RFC 1035, section 4.1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcode: Option<u8>,
    /// How long answers took on average, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_us: Option<u64>,
    /// The longest, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
}
