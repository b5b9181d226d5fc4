//! Join tokens: single-use secrets with which a new agent earns its first certificate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// A join token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// The public part of the token, 12 characters.
    pub id: String,
    /// The name the agent gets; its host name where there is none.
    pub name: Option<String>,
    /// The labels the agent gets.
    pub labels: BTreeMap<String, String>,
    /// The agent that used it, or for which alone it was made.
    pub agent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// When an agent used it.
    pub used_at: Option<Timestamp>,
    /// When it was revoked, where it was.
    pub revoked_at: Option<Timestamp>,
}

/// Asks for a new join token.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJoinToken {
    /// The name the agent gets, 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The labels the agent gets: at most 32, keys and values of 1 to 63 characters of `a-z A-Z 0-9 . _ - /`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Seconds until it stops working, 60 to 86,400; 3,600 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
}

/// A new join token; the only time its secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedJoinToken {
    /// The token without its secret.
    #[serde(flatten)]
    pub token: JoinToken,
    /// What `probe-agent enrol` reads from standard input: address, pin of the authority, token.
    pub bundle: String,
}
