//! The audit log: rows are added, never changed.

use control_core::authorize::{SystemScope, TenantScope};
use serde_json::Value;
use shared_protocol::id::TenantId;
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::page::Page;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// When.
    pub at: UnixMicros,
    /// Whose data it was about; none for the platform's own.
    pub tenant: Option<TenantId>,
    /// Who did it: `key:<id>`, `agent:<id>`, `operator`.
    pub actor: String,
    /// What, as `join_token.redeemed`.
    pub action: &'static str,
    /// To what: an id.
    pub subject: String,
    /// The rest; never a secret.
    pub detail: Value,
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; grows with time.
    pub n: i64,
    /// When.
    pub at: UnixMicros,
    /// Who did it.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest.
    pub detail: Value,
}

/// Adds a row; belongs in the transaction that does what it tells of.
pub async fn append(tx: &mut Tx, _: SystemScope, new: &NewAudit) -> Result<(), StoreError> {
    let statement = Statement::own(APPEND)
        .bind(new.at.micros())
        .bind(new.tenant.map(TenantId::uuid))
        .bind(new.actor.clone())
        .bind(new.action)
        .bind(new.subject.clone())
        .bind(row::json(&new.detail)?);
    tx::execute(tx, statement).await?;
    Ok(())
}

/// Lists what was done to the tenant's data, newest first.
pub async fn list(on: &mut impl Read, scope: TenantScope, page: &Page<i64>) -> Result<Vec<AuditRow>, StoreError> {
    let statement = Statement::of(scope, LIST)
        .bind(scope.tenant().uuid())
        .bind(page.after.unwrap_or(i64::MAX))
        .bind(page.limit);
    tx::all(on, statement, audit).await
}

fn audit(row: &Row) -> Result<AuditRow, RowError> {
    Ok(AuditRow {
        n: row.number("n")?,
        at: row.instant("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.document("detail")?,
    })
}

const APPEND: &str = "INSERT INTO audit (at, tenant, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)";
const LIST: &str = "SELECT n, at, actor, action, subject, detail FROM audit WHERE tenant = $1 AND n < $2 ORDER BY n DESC LIMIT $3";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[APPEND, LIST];
