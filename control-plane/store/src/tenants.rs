//! Tenants.

use control_core::authorize::SystemScope;
use shared_protocol::id::TenantId;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Its subscription.
    pub tier: Tier,
    /// When it is made.
    pub created_at: UnixMicros,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Its subscription.
    pub tier: Tier,
    /// When it was made.
    pub created_at: UnixMicros,
}

/// Makes a tenant.
pub async fn create(tx: &mut Tx, _: SystemScope, new: &NewTenant) -> Result<(), StoreError> {
    let statement = Statement::own(CREATE)
        .bind(new.id.uuid())
        .bind(new.name.clone())
        .bind(new.tier.as_str())
        .bind(new.created_at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

/// Finds a tenant.
pub async fn find(on: &mut impl Read, _: SystemScope, id: TenantId) -> Result<Option<TenantRow>, StoreError> {
    tx::optional(on, Statement::own(FIND).bind(id.uuid()), tenant).await
}

/// Gives a tenant another tier; none where there is no such tenant.
pub async fn set_tier(tx: &mut Tx, _: SystemScope, id: TenantId, tier: Tier) -> Result<Option<TenantRow>, StoreError> {
    tx::optional(tx, Statement::own(SET_TIER).bind(id.uuid()).bind(tier.as_str()), tenant).await
}

fn tenant(row: &Row) -> Result<TenantRow, RowError> {
    Ok(TenantRow {
        id: TenantId::from_uuid(row.uuid("id")?),
        name: row.text("name")?,
        tier: row.known("tier")?,
        created_at: row.instant("created_at")?,
    })
}

const CREATE: &str = "INSERT INTO tenant (id, name, tier, created_at) VALUES ($1, $2, $3, $4)";
const FIND: &str = "SELECT id, name, tier, created_at FROM tenant WHERE id = $1";

const SET_TIER: &str = "UPDATE tenant SET tier = $2 WHERE id = $1 RETURNING id, name, tier, created_at";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[CREATE, FIND, SET_TIER];
