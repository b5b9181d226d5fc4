//! The tenant that a key belongs to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `free`, `standard` or `enterprise`.
    pub tier: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Asks for a new tenant; an operator's request, over the administration socket.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// `free`, `standard` or `enterprise`.
    pub tier: String,
}
