//! Idempotency keys: the same request twice makes one measurement.

use std::collections::HashMap;

use serde::Serialize;
use shared_protocol::id::{MeasurementId, TenantId};
use shared_protocol::time::UnixMicros;

use crate::dialect::{bytes, rows, uuid};
use crate::error::StoreError;
use crate::jobs::Enqueued;
use crate::row::{self, Row, RowError};
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

/// Keys seen before, and those of the batch at hand.
#[derive(Default)]
pub(crate) struct Keys(HashMap<(TenantId, String), Kept>);

struct Kept {
    body_sha256: [u8; 32],
    measurement: MeasurementId,
    expires_at: UnixMicros,
}

impl Keys {
    /// What a key stands for, if it is not forgotten yet.
    pub(crate) fn earlier(&self, tenant: TenantId, key: &NewIdempotency, at: UnixMicros) -> Option<Enqueued> {
        let kept = self.0.get(&(tenant, key.key.clone())).filter(|kept| kept.expires_at > at)?;
        Some(if kept.body_sha256 == key.body_sha256 {
            Enqueued::Replayed(kept.measurement)
        } else {
            Enqueued::Mismatch
        })
    }

    /// The key made a measurement.
    pub(crate) fn made(&mut self, tenant: TenantId, key: &NewIdempotency, measurement: MeasurementId) {
        let kept = Kept {
            body_sha256: key.body_sha256,
            measurement,
            expires_at: key.expires_at,
        };
        self.0.insert((tenant, key.key.clone()), kept);
    }
}

/// What is kept of keys.
pub(crate) async fn find(on: &mut impl Read, keys: impl Iterator<Item = (TenantId, &str)>) -> Result<Keys, StoreError> {
    #[derive(Serialize)]
    struct Asked<'a> {
        tenant: TenantId,
        key: &'a str,
    }
    let batch: Vec<Asked<'_>> = keys.map(|(tenant, key)| Asked { tenant, key }).collect();
    if batch.is_empty() {
        return Ok(Keys::default());
    }
    let statement = Statement::own(FIND).bind(row::json(&batch)?);
    Ok(Keys(tx::all(on, statement, kept).await?.into_iter().collect()))
}

/// Keeps keys; one that was forgotten meanwhile is kept anew.
pub(crate) fn keep<'a>(tx: &mut Tx, made: impl Iterator<Item = (TenantId, &'a NewIdempotency, MeasurementId)>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Made<'a> {
        tenant: TenantId,
        key: &'a str,
        body_sha256: String,
        measurement: MeasurementId,
        expires_at: i64,
    }
    let made = made.map(|(tenant, new, measurement)| Made {
        tenant,
        key: &new.key,
        body_sha256: row::hexadecimal(&new.body_sha256),
        measurement,
        expires_at: new.expires_at.micros(),
    });
    let batch: Vec<Made<'_>> = made.collect();
    if !batch.is_empty() {
        tx::later(tx, Statement::own(KEEP).bind(row::json(&batch)?));
    }
    Ok(())
}

/// Removes at most `limit` keys that are past their time; says how many.
pub(crate) async fn forget(tx: &mut Tx, at: UnixMicros, limit: u32) -> Result<u64, StoreError> {
    tx::execute(tx, Statement::own(FORGET).bind(at.micros()).bind(limit)).await
}

fn kept(row: &Row) -> Result<((TenantId, String), Kept), RowError> {
    let kept = Kept {
        body_sha256: row.digest("body_sha256")?,
        measurement: MeasurementId::from_uuid(row.uuid("measurement")?),
        expires_at: row.instant("expires_at")?,
    };
    Ok(((TenantId::from_uuid(row.uuid("tenant")?), row.text("key")?), kept))
}

const FIND: &str = concat!(
    "SELECT i.tenant, i.key, i.body_sha256, i.measurement, i.expires_at FROM idempotency i WHERE (i.tenant, i.key) IN (SELECT ",
    uuid!("value ->> 'tenant'"),
    ", value ->> 'key' FROM ",
    rows!("$1"),
    ")"
);
const KEEP: &str = concat!(
    "INSERT INTO idempotency (tenant, key, body_sha256, measurement, expires_at) SELECT ",
    uuid!("value ->> 'tenant'"),
    ", value ->> 'key', ",
    bytes!("value ->> 'body_sha256'"),
    ", ",
    uuid!("value ->> 'measurement'"),
    ", CAST(value ->> 'expires_at' AS BIGINT) FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (tenant, key) DO UPDATE
SET body_sha256 = excluded.body_sha256, measurement = excluded.measurement, expires_at = excluded.expires_at"
);
const FORGET: &str = "DELETE FROM idempotency WHERE (tenant, key) IN (
    SELECT i.tenant, i.key FROM idempotency i WHERE i.expires_at <= $1 ORDER BY i.expires_at LIMIT $2)";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[FIND, KEEP, FORGET];
