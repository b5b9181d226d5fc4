//! Problems: the body of every error (RFC 9457).

use serde::{Deserialize, Serialize};
use shared_protocol::fault::ProblemCode;
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// The content type of a problem.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// What went wrong and what to do (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the code is explained: a reference relative to this server.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// The stable code, for programs.
    #[schema(value_type = String, example = "invalid_field")]
    pub code: ProblemCode,
    /// One sentence: what is wrong and what to do.
    pub detail: String,
    /// The field it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// When the work could start, where it could not before its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub estimated_start: Option<Timestamp>,
    /// Finds this request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
