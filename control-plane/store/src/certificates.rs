//! Certificates issued to agents. A public key belongs to one agent for ever, also after it was revoked.

use control_core::authorize::SystemScope;
use shared_protocol::id::AgentId;
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A certificate just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The agent it names.
    pub agent: AgentId,
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// SHA-256 of its public key.
    pub spki_sha256: [u8; 32],
    /// The certificate itself.
    pub der: Vec<u8>,
    /// When it was signed.
    pub issued_at: UnixMicros,
    /// When it starts working.
    pub not_before: UnixMicros,
    /// When it stops working.
    pub not_after: UnixMicros,
}

/// A certificate on record.
pub type CertificateRow = NewCertificate;

/// Records a certificate.
///
/// # Errors
/// [`StoreError::Conflict`] `key_reuse` where the public key has a certificate already.
pub async fn insert(tx: &mut Tx, _: SystemScope, new: &NewCertificate) -> Result<(), StoreError> {
    let statement = Statement::own(INSERT)
        .bind(new.serial.clone())
        .bind(new.agent.uuid())
        .bind(new.spki_sha256.to_vec())
        .bind(new.der.clone())
        .bind(new.issued_at.micros())
        .bind(new.not_before.micros())
        .bind(new.not_after.micros());
    if tx::execute(tx, statement).await? == 0 {
        return Err(StoreError::Conflict("key_reuse"));
    }
    Ok(())
}

/// Burns an agent's certificates: from here on none of them opens a session, and their keys stay taken.
pub async fn burn(tx: &mut Tx, _: SystemScope, agent: AgentId, at: UnixMicros) -> Result<(), StoreError> {
    tx::execute(tx, Statement::own(BURN).bind(agent.uuid()).bind(at.micros())).await?;
    Ok(())
}

/// Finds the certificate of a public key.
pub async fn find_by_key(on: &mut impl Read, _: SystemScope, spki_sha256: &[u8; 32]) -> Result<Option<CertificateRow>, StoreError> {
    tx::optional(on, Statement::own(FIND_BY_KEY).bind(spki_sha256.to_vec()), certificate).await
}

/// Lists an agent's certificates, the one that works longest first.
pub async fn of_agent(on: &mut impl Read, _: SystemScope, agent: AgentId, limit: u32) -> Result<Vec<CertificateRow>, StoreError> {
    tx::all(on, Statement::own(OF_AGENT).bind(agent.uuid()).bind(limit), certificate).await
}

fn certificate(row: &Row) -> Result<CertificateRow, RowError> {
    Ok(NewCertificate {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        serial: row.bytes("serial")?,
        spki_sha256: row.digest("spki_sha256")?,
        der: row.bytes("der")?,
        issued_at: row.instant("issued_at")?,
        not_before: row.instant("not_before")?,
        not_after: row.instant("not_after")?,
    })
}

const INSERT: &str = "INSERT INTO certificate (serial, agent, spki_sha256, der, issued_at, not_before, not_after)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const BURN: &str = "UPDATE certificate SET burnt_at = $2 WHERE agent = $1 AND burnt_at IS NULL";
const FIND_BY_KEY: &str = "SELECT serial, agent, spki_sha256, der, issued_at, not_before, not_after FROM certificate WHERE spki_sha256 = $1";
const OF_AGENT: &str = "SELECT serial, agent, spki_sha256, der, issued_at, not_before, not_after FROM certificate
WHERE agent = $1 ORDER BY not_after DESC LIMIT $2";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[INSERT, BURN, FIND_BY_KEY, OF_AGENT];
