//! API keys: their public part and the code by which their secret is recognised, never the secret.

use control_core::authorize::{Scopes, SystemScope, TenantScope};
use serde::Serialize;
use shared_protocol::id::TenantId;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::dialect::rows;
use crate::error::StoreError;
use crate::page::Page;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its public part.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// HMAC of its secret.
    pub mac: [u8; 32],
    /// When it is made.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: UnixMicros,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its public part.
    pub id: String,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// That tenant's subscription.
    pub tier: Tier,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// HMAC of its secret.
    pub mac: [u8; 32],
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: UnixMicros,
    /// When it was revoked, where it was.
    pub revoked_at: Option<UnixMicros>,
    /// When it was last used.
    pub last_used_at: Option<UnixMicros>,
}

/// Makes a key of the tenant.
///
/// # Errors
/// [`StoreError::Conflict`] `key_id` where the id is taken, by any tenant's key.
pub async fn create(tx: &mut Tx, scope: TenantScope, new: &NewKey) -> Result<(), StoreError> {
    let statement = Statement::of(scope, CREATE)
        .bind(new.id.clone())
        .bind(scope.tenant().uuid())
        .bind(new.name.clone())
        .bind(new.scopes.to_text())
        .bind(new.mac.to_vec())
        .bind(new.created_at.micros())
        .bind(new.expires_at.micros());
    if tx::execute(tx, statement).await? == 0 {
        return Err(StoreError::Conflict("key_id"));
    }
    Ok(())
}

/// Finds a key by its public part, whoever's it is: the caller is not known yet.
pub async fn find_for_authentication(on: &mut impl Read, _: SystemScope, id: &str) -> Result<Option<KeyRow>, StoreError> {
    tx::optional(on, Statement::own(FIND).bind(id.to_owned()), key).await
}

/// Keys of the tenant that work.
pub async fn count(on: &mut impl Read, scope: TenantScope, at: UnixMicros) -> Result<u64, StoreError> {
    let statement = Statement::of(scope, COUNT).bind(scope.tenant().uuid()).bind(at.micros());
    Ok(tx::optional(on, statement, |row| row.number("keys")).await?.unwrap_or(0))
}

/// Lists the tenant's keys, newest first.
pub async fn list(on: &mut impl Read, scope: TenantScope, page: &Page<String>) -> Result<Vec<KeyRow>, StoreError> {
    let statement = match &page.after {
        None => Statement::of(scope, LIST_FIRST).bind(scope.tenant().uuid()).bind(page.limit),
        Some(after) => Statement::of(scope, LIST_AFTER)
            .bind(scope.tenant().uuid())
            .bind(page.limit)
            .bind(after.clone()),
    };
    tx::all(on, statement, key).await
}

/// Revokes a key of the tenant; says whether there is one. Revoking again changes nothing.
pub async fn revoke(tx: &mut Tx, scope: TenantScope, id: &str, at: UnixMicros) -> Result<bool, StoreError> {
    let statement = Statement::of(scope, REVOKE).bind(id.to_owned()).bind(scope.tenant().uuid()).bind(at.micros());
    Ok(tx::execute(tx, statement).await? > 0)
}

/// Notes when keys were last used.
pub async fn touch(tx: &mut Tx, _: SystemScope, used: &[(String, UnixMicros)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Used<'a> {
        id: &'a str,
        at: i64,
    }
    let batch: Vec<_> = used.iter().map(|(id, at)| Used { id, at: at.micros() }).collect();
    tx::execute(tx, Statement::own(TOUCH).bind(row::json(&batch)?)).await?;
    Ok(())
}

fn key(row: &Row) -> Result<KeyRow, RowError> {
    Ok(KeyRow {
        id: row.text("id")?,
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        tier: row.known("tier")?,
        name: row.text("name")?,
        scopes: Scopes::parse(&row.text("scopes")?).map_err(|_| RowError::Unknown("scopes"))?,
        mac: row.digest("mac")?,
        created_at: row.instant("created_at")?,
        expires_at: row.instant("expires_at")?,
        revoked_at: row.instant_or_none("revoked_at")?,
        last_used_at: row.instant_or_none("last_used_at")?,
    })
}

const CREATE: &str = "INSERT INTO api_key (id, tenant, name, scopes, mac, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO NOTHING";
const FIND: &str = "SELECT k.id, k.tenant, t.tier, k.name, k.scopes, k.mac, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
FROM api_key k JOIN tenant t ON t.id = k.tenant WHERE k.id = $1";
const COUNT: &str = "SELECT COUNT(*) AS keys FROM api_key WHERE tenant = $1 AND revoked_at IS NULL AND expires_at > $2";
const LIST_FIRST: &str = "SELECT k.id, k.tenant, t.tier, k.name, k.scopes, k.mac, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
FROM api_key k JOIN tenant t ON t.id = k.tenant WHERE k.tenant = $1
ORDER BY k.created_at DESC, k.id DESC LIMIT $2";
const LIST_AFTER: &str = "SELECT k.id, k.tenant, t.tier, k.name, k.scopes, k.mac, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
FROM api_key k JOIN tenant t ON t.id = k.tenant
WHERE k.tenant = $1 AND (k.created_at, k.id) < (SELECT l.created_at, l.id FROM api_key l WHERE l.id = $3 AND l.tenant = $1)
ORDER BY k.created_at DESC, k.id DESC LIMIT $2";
const REVOKE: &str = "UPDATE api_key SET revoked_at = COALESCE(revoked_at, $3) WHERE id = $1 AND tenant = $2";
const TOUCH: &str = concat!(
    "UPDATE api_key SET last_used_at = used.at FROM (SELECT value ->> 'id' AS id, CAST(value ->> 'at' AS BIGINT) AS at FROM ",
    rows!("$1"),
    ") AS used WHERE api_key.id = used.id AND (api_key.last_used_at IS NULL OR api_key.last_used_at < used.at)"
);

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[CREATE, FIND, COUNT, LIST_FIRST, LIST_AFTER, REVOKE, TOUCH];
