//! Partial findings of `dns`.

use serde::{Deserialize, Serialize};

use crate::report::DnsTry;

/// What a DNS probe tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DnsEvent {
    /// One try has its outcome; what an answer says is in the report.
    Try(Box<DnsTry>),
}
