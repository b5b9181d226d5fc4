//! Tiers: what an operator has changed of what each allows.

use control_core::authorize::SystemScope;
use serde_json::{Map, Value};
use shared_protocol::tier::Tier;

use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// What was changed of a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRow {
    /// The tier.
    pub tier: Tier,
    /// The values that differ from those the program starts with, by name.
    pub changes: Map<String, Value>,
    /// Grows with each change.
    pub version: i64,
}

/// All tiers, in no particular order.
pub async fn list(on: &mut impl Read, _: SystemScope) -> Result<Vec<TierRow>, StoreError> {
    tx::all(on, Statement::own(LIST), tier_row).await
}

/// Puts other changes in the place of those of a version; says whether that version still stood.
pub async fn change(tx: &mut Tx, _: SystemScope, tier: Tier, changes: &Map<String, Value>, version: i64) -> Result<bool, StoreError> {
    let statement = Statement::own(CHANGE).bind(tier.as_str()).bind(row::json(changes)?).bind(version);
    Ok(tx::execute(tx, statement).await? > 0)
}

fn tier_row(row: &Row) -> Result<TierRow, RowError> {
    Ok(TierRow {
        tier: row.known("name")?,
        changes: row.document("changes")?,
        version: row.number("version")?,
    })
}

const LIST: &str = "SELECT name, changes, version FROM tier";
const CHANGE: &str = "UPDATE tier SET changes = $2, version = version + 1 WHERE name = $1 AND version = $3";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[LIST, CHANGE];
