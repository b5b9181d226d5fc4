//! Idempotency keys: the same request twice makes one measurement.

use shared_protocol::id::{MeasurementId, TenantId};
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A key that came with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdempotency {
    /// The key, as the caller chose it.
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_sha256: [u8; 32],
    /// When it is forgotten: 24 hours after the request.
    pub expires_at: UnixMicros,
}

/// A key seen before.
pub(crate) struct Kept {
    pub(crate) body_sha256: [u8; 32],
    pub(crate) measurement: MeasurementId,
}

/// What is kept of a key, if it is not forgotten yet.
pub(crate) async fn find(on: &mut impl Read, tenant: TenantId, key: &str, at: UnixMicros) -> Result<Option<Kept>, StoreError> {
    let statement = Statement::own(FIND).bind(tenant.uuid()).bind(key.to_owned()).bind(at.micros());
    tx::optional(on, statement, kept).await
}

/// Keeps a key; one that was forgotten meanwhile is kept anew.
pub(crate) async fn keep(tx: &mut Tx, tenant: TenantId, new: &NewIdempotency, measurement: MeasurementId) -> Result<(), StoreError> {
    let statement = Statement::own(KEEP)
        .bind(tenant.uuid())
        .bind(new.key.clone())
        .bind(new.body_sha256.to_vec())
        .bind(measurement.uuid())
        .bind(new.expires_at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

/// Removes at most `limit` keys that are past their time; says how many.
pub(crate) async fn forget(tx: &mut Tx, at: UnixMicros, limit: u32) -> Result<u64, StoreError> {
    tx::execute(tx, Statement::own(FORGET).bind(at.micros()).bind(limit)).await
}

fn kept(row: &Row) -> Result<Kept, RowError> {
    Ok(Kept {
        body_sha256: row.digest("body_sha256")?,
        measurement: MeasurementId::from_uuid(row.uuid("measurement")?),
    })
}

const FIND: &str = "SELECT body_sha256, measurement FROM idempotency WHERE tenant = $1 AND key = $2 AND expires_at > $3";
const KEEP: &str = "INSERT INTO idempotency (tenant, key, body_sha256, measurement, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, key) DO UPDATE
SET body_sha256 = excluded.body_sha256, measurement = excluded.measurement, expires_at = excluded.expires_at";
const FORGET: &str = "DELETE FROM idempotency WHERE (tenant, key) IN (
    SELECT i.tenant, i.key FROM idempotency i WHERE i.expires_at <= $1 ORDER BY i.expires_at LIMIT $2)";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[FIND, KEEP, FORGET];
