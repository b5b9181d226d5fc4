//! API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// An API key, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The public part of the key, 10 characters.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// `measure`, `read`, `admin`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// When it was revoked, where it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Asks for a new key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What it is for, 1 to 100 characters.
    pub name: String,
    /// Any of `measure`, `read`, `admin`; at least one, none beyond those of the key that asks.
    pub scopes: Vec<String>,
    /// Days until it stops working, 1 to 365; 90 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// A new key; the only time its secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key without its secret.
    #[serde(flatten)]
    pub key: Key,
    /// The whole key, for the `Authorization: Bearer` header.
    #[serde(rename = "key")]
    pub secret: String,
}
