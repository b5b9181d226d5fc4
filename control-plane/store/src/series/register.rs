//! Which series there are: each identity has a number, each tenant a bounded number of them.

use std::collections::HashMap;

use control_core::authorize::SystemScope;
use control_core::series::{Identity, series_max};
use serde::Serialize;
use shared_protocol::id::TenantId;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{SeriesKey, agent_column, agent_of};
use crate::dialect::{element, rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// What came of registering.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// The numbers of the series; one that is missing here found no room.
    pub keys: HashMap<Identity, SeriesKey>,
    /// How many found no room: their tenant has as many as its tier allows.
    pub refused: u64,
}

/// Finds the numbers of series, and makes those that are missing, as far as the tiers of their tenants allow.
pub async fn register(tx: &mut Tx, _: SystemScope, wanted: &[Identity], at: UnixMicros) -> Result<Registered, StoreError> {
    let identities: Vec<&Identity> = wanted.iter().collect();
    let mut keys: HashMap<Identity, SeriesKey> = found(tx, FIND, &identities, None).await?;
    let mut missing: HashMap<TenantId, Vec<&Identity>> = HashMap::new();
    for identity in identities.into_iter().filter(|identity| !keys.contains_key(identity)) {
        missing.entry(identity.tenant).or_default().push(identity);
    }
    let mut refused = 0;
    for (tenant, mut identities) in missing {
        let room = tx::optional(tx, Statement::own(ROOM).bind(tenant.uuid()), room).await?.unwrap_or(0);
        refused += u64::try_from(identities.len().saturating_sub(room)).unwrap_or(0);
        identities.truncate(room);
        if !identities.is_empty() {
            keys.extend(found(tx, INSERT, &identities, Some(at)).await?);
        }
    }
    Ok(Registered { keys, refused })
}

/// Removes at most `limit` series older than an instant that have neither hours nor samples any more; their numbers never come back.
pub async fn forget_dead(tx: &mut Tx, _: SystemScope, before: UnixMicros, limit: u32) -> Result<Vec<SeriesKey>, StoreError> {
    let statement = Statement::own(DEAD).bind(before.micros()).bind(limit);
    let dead = tx::all(tx, statement, |row| row.number::<i64>("id")).await?;
    if !dead.is_empty() {
        let batch = row::json(&dead)?;
        tx::later(tx, Statement::own(DELETE_LATEST).bind(batch.clone()));
        tx::later(tx, Statement::own(DELETE).bind(batch));
    }
    Ok(dead.into_iter().map(SeriesKey).collect())
}

async fn found(tx: &mut Tx, statement: &'static str, identities: &[&Identity], at: Option<UnixMicros>) -> Result<HashMap<Identity, SeriesKey>, StoreError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        tenant: TenantId,
        agent: uuid::Uuid,
        probe: &'a str,
        name: &'a str,
        target: &'a str,
    }
    let batch: Vec<_> = identities
        .iter()
        .map(|identity| Wanted {
            tenant: identity.tenant,
            agent: agent_column(identity.agent),
            probe: &identity.probe,
            name: &identity.name,
            target: &identity.target,
        })
        .collect();
    let mut statement = Statement::own(statement).bind(row::json(&batch)?);
    if let Some(at) = at {
        statement = statement.bind(at.micros());
    }
    Ok(tx::all(tx, statement, series).await?.into_iter().collect())
}

/// How many more series a tenant may have.
fn room(row: &Row) -> Result<usize, RowError> {
    let max = series_max(row.known::<Tier>("tier")?);
    Ok(usize::try_from(max.saturating_sub(row.number("n")?)).unwrap_or(0))
}

fn series(row: &Row) -> Result<(Identity, SeriesKey), RowError> {
    let identity = Identity {
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        agent: agent_of(row.uuid("agent")?),
        target: row.text("target")?,
        probe: row.text("probe")?,
        name: row.text("name")?,
    };
    Ok((identity, SeriesKey(row.number("id")?)))
}

macro_rules! wanted {
    () => {
        concat!(
            "SELECT ",
            uuid!("value ->> 'tenant'"),
            " AS tenant, ",
            uuid!("value ->> 'agent'"),
            " AS agent, value ->> 'probe' AS probe, value ->> 'name' AS name, value ->> 'target' AS target FROM ",
            rows!("$1")
        )
    };
}

const FIND: &str = concat!(
    "SELECT s.id, s.tenant, s.agent, s.probe, s.name, s.target FROM (",
    wanted!(),
    ") AS wanted JOIN series s ON s.tenant = wanted.tenant AND s.agent = wanted.agent AND s.probe = wanted.probe AND s.name = wanted.name
AND s.target = wanted.target"
);
const ROOM: &str = "SELECT t.tier, (SELECT COUNT(*) FROM series s WHERE s.tenant = t.id) AS n FROM tenant t WHERE t.id = $1";
const INSERT: &str = concat!(
    "INSERT INTO series (tenant, agent, probe, name, target, created_at) SELECT wanted.tenant, wanted.agent, wanted.probe, wanted.name,
wanted.target, $2 FROM (",
    wanted!(),
    ") AS wanted WHERE true ON CONFLICT (tenant, agent, probe, name, target) DO NOTHING RETURNING id, tenant, agent, probe, name, target"
);
const DEAD: &str = "SELECT s.id FROM series s WHERE s.created_at < $1 AND NOT EXISTS (SELECT 1 FROM rollup_1h r WHERE r.series = s.id)
AND NOT EXISTS (SELECT 1 FROM chunk_day c WHERE c.series = s.id) LIMIT $2";
const DELETE_LATEST: &str = concat!(
    "DELETE FROM series_latest WHERE series IN (SELECT CAST(",
    element!(),
    " AS BIGINT) FROM ",
    rows!("$1"),
    ")"
);
const DELETE: &str = concat!(
    "DELETE FROM series WHERE id IN (SELECT CAST(",
    element!(),
    " AS BIGINT) FROM ",
    rows!("$1"),
    ")"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, ROOM, INSERT, DEAD, DELETE_LATEST, DELETE];
