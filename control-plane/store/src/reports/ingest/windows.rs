//! Reports of windows of standing observations: each is stored once, under the revision that it was made of.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use control_core::quota::Spans;
use control_core::series::{Good, Trust};
use control_core::standing::{Standing, TakenIn, Verdict};
use serde::Serialize;
use shared_protocol::id::{AgentId, JobId, StandingId, TenantId};
use shared_protocol::tier::Tier;

use super::discarded::{self, Discarded};
use super::{Arrived, DiscardReason, Facts, IncomingWindow, IngestOutcome};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// A report of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) arrived: Arrived<'a>,
    pub(super) facts: &'a Facts,
    pub(super) of: &'a IncomingWindow,
}

/// Stores windows of what is, or was, wanted of their agents; a revision that there never was is nobody's, and no more come than there can have been.
pub(super) async fn store(tx: &mut Tx, windows: Vec<Window<'_>>, outcomes: &mut HashMap<JobId, IngestOutcome>) -> Result<(), StoreError> {
    if windows.is_empty() {
        return Ok(());
    }
    let mut owners = owners(tx, &windows).await?;
    let (mut taken, mut discarded) = (Vec::with_capacity(windows.len()), Vec::new());
    for window in windows {
        let report = window.arrived.report;
        let Some(owner) = owners.get_mut(&(window.of.window.id, window.arrived.from.agent)) else {
            discarded.push((window, DiscardReason::UnknownStanding));
            continue;
        };
        match owner.taken_in.judge(owner.standing, window.of.window.revision, report.body.len(), report.at) {
            Verdict::Taken => taken.push((window, *owner)),
            Verdict::Unknown => discarded.push((window, DiscardReason::UnknownStanding)),
            Verdict::TooMany => discarded.push((window, DiscardReason::TooManyWindows)),
        }
    }
    let fresh = insert(tx, &taken).await?;
    let (fresh, known): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(window, _)| fresh.contains(&window.of.id));
    discarded.extend(known.into_iter().map(|(window, _)| (window, DiscardReason::AlreadyReported)));
    due(tx, &fresh)?;
    note(tx, &fresh, &owners)?;
    for (window, owner) in &fresh {
        let arrived = window.arrived;
        tx.tally.used(Spans::of(arrived.report.at).day, owner.tenant, arrived.spent());
        outcomes.insert(arrived.report.job, IngestOutcome::Window);
    }
    let notes: Vec<Discarded> = discarded.iter().map(|(window, reason)| Discarded::report(window.arrived, *reason)).collect();
    discarded::record(tx, &notes)?;
    outcomes.extend(
        discarded
            .into_iter()
            .map(|(window, reason)| (window.arrived.report.job, IngestOutcome::Discarded(reason))),
    );
    Ok(())
}

/// Whose a standing observation is, and how far it was changed.
#[derive(Debug, Clone, Copy)]
struct Owner {
    tenant: TenantId,
    tier: Tier,
    standing: Standing,
    taken_in: TakenIn,
}

/// What counts of a spec here.
#[derive(serde::Deserialize)]
struct WindowSpec {
    duration_s: u64,
}

async fn owners(tx: &mut Tx, windows: &[Window<'_>]) -> Result<HashMap<(StandingId, AgentId), Owner>, StoreError> {
    #[derive(Serialize)]
    struct Asked {
        standing: StandingId,
        agent: AgentId,
    }
    let asked: HashSet<(StandingId, AgentId)> = windows.iter().map(|window| (window.of.window.id, window.arrived.from.agent)).collect();
    let batch: Vec<Asked> = asked.into_iter().map(|(standing, agent)| Asked { standing, agent }).collect();
    let rows = tx::all(tx, Statement::own(OWNERS).bind(row::json(&batch)?), owner).await?;
    Ok(rows.into_iter().collect())
}

async fn insert(tx: &mut Tx, taken: &[(Window<'_>, Owner)]) -> Result<HashSet<JobId>, StoreError> {
    if taken.is_empty() {
        return Ok(HashSet::new());
    }
    let batch: Vec<Came<'_>> = taken.iter().map(|(window, owner)| came(*window, *owner)).collect();
    let stored = tx::all(tx, Statement::own(INSERT).bind(row::json(&batch)?), |row| Ok(JobId::from_uuid(row.uuid("id")?))).await?;
    Ok(stored.into_iter().collect())
}

#[derive(Serialize)]
struct Came<'a> {
    id: JobId,
    retention_class: &'static str,
    tenant: TenantId,
    standing: StandingId,
    agent: AgentId,
    revision: u32,
    started_at: i64,
    measured_at: i64,
    skewed: u8,
    received_at: i64,
    status: &'static str,
    fault: &'static str,
    body: &'a str,
}

fn came(window: Window<'_>, owner: Owner) -> Came<'_> {
    let Window { arrived, facts, of } = window;
    Came {
        id: of.id,
        retention_class: owner.tier.as_str(),
        tenant: owner.tenant,
        standing: of.window.id,
        agent: arrived.from.agent,
        revision: of.window.revision,
        started_at: arrived.report.started_at.micros(),
        measured_at: facts.measured.at.micros(),
        skewed: match facts.measured.trust {
            Trust::Plausible => 0,
            Trust::Skewed => 1,
        },
        received_at: arrived.report.at.micros(),
        status: facts.status.as_str(),
        fault: facts.fault.as_str(),
        body: &arrived.report.body,
    }
}

/// The numbers of windows go to the series as those of jobs do.
fn due(tx: &mut Tx, fresh: &[(Window<'_>, Owner)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Due {
        id: JobId,
        tenant: TenantId,
        agent: AgentId,
        at: i64,
        good: u8,
        readings: String,
    }
    let with_numbers = fresh.iter().filter(|(window, _)| !window.facts.readings.is_empty());
    let due = with_numbers.map(|(window, owner)| {
        Ok(Due {
            id: window.of.id,
            tenant: owner.tenant,
            agent: window.arrived.from.agent,
            at: window.facts.measured.at.micros(),
            good: match window.facts.good() {
                Good::Yes => 1,
                Good::No => 0,
            },
            readings: row::json(&window.facts.readings)?,
        })
    });
    let batch = due.collect::<Result<Vec<Due>, StoreError>>()?;
    if !batch.is_empty() {
        tx::later(tx, Statement::own(INSERT_DUE).bind(row::json(&batch)?));
    }
    Ok(())
}

/// Notes when the last window was, how many were lost before it, and what was taken in.
fn note(tx: &mut Tx, fresh: &[(Window<'_>, Owner)], owners: &HashMap<(StandingId, AgentId), Owner>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Note {
        standing: StandingId,
        agent: AgentId,
        at: i64,
        lost: i64,
        counted_revision: u32,
        windows: u64,
        late_bytes: u64,
    }
    let mut notes: HashMap<(StandingId, AgentId), (i64, i64)> = HashMap::new();
    for (window, _) in fresh {
        let seen = notes.entry((window.of.window.id, window.arrived.from.agent)).or_insert((i64::MIN, 0));
        seen.0 = seen.0.max(window.facts.measured.at.micros());
        seen.1 = seen.1.max(i64::try_from(window.of.window.lost).unwrap_or(i64::MAX));
    }
    let note = |((standing, agent), (at, lost)): ((StandingId, AgentId), (i64, i64))| {
        let taken_in = owners.get(&(standing, agent))?.taken_in;
        Some(Note {
            standing,
            agent,
            at,
            lost,
            counted_revision: taken_in.revision,
            windows: taken_in.windows,
            late_bytes: taken_in.late_bytes,
        })
    };
    let batch: Vec<Note> = notes.into_iter().filter_map(note).collect();
    if !batch.is_empty() {
        tx::later(tx, Statement::own(NOTE).bind(row::json(&batch)?));
    }
    Ok(())
}

fn owner(row: &Row) -> Result<((StandingId, AgentId), Owner), RowError> {
    let of = (StandingId::from_uuid(row.uuid("standing")?), AgentId::from_uuid(row.uuid("agent")?));
    let spec = row.document::<WindowSpec>("spec")?;
    let owner = Owner {
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        tier: row.known("tier")?,
        standing: Standing {
            revision: row.number("revision")?,
            since: row.instant("updated_at")?,
            window: Duration::from_secs(spec.duration_s),
        },
        taken_in: TakenIn {
            revision: row.number("counted_revision")?,
            windows: row.number("windows")?,
            late_bytes: row.number("late_bytes")?,
        },
    };
    Ok((of, owner))
}

const OWNERS: &str = concat!(
    "SELECT a.standing, a.agent, s.tenant, s.revision, s.updated_at, s.spec,
a.counted_revision, a.windows, a.late_bytes, t.tier FROM (SELECT ",
    uuid!("value ->> 'standing'"),
    " AS standing, ",
    uuid!("value ->> 'agent'"),
    " AS agent FROM ",
    rows!("$1"),
    ") AS asked JOIN standing_agent a ON a.standing = asked.standing AND a.agent = asked.agent
JOIN standing s ON s.id = a.standing AND s.deleted_at IS NULL JOIN tenant t ON t.id = s.tenant"
);
const INSERT: &str = concat!(
    "INSERT INTO standing_window
(retention_class, id, tenant, standing, agent, revision, started_at, measured_at, skewed, received_at, status, fault, body)
SELECT value ->> 'retention_class', ",
    uuid!("value ->> 'id'"),
    ", ",
    uuid!("value ->> 'tenant'"),
    ", ",
    uuid!("value ->> 'standing'"),
    ", ",
    uuid!("value ->> 'agent'"),
    ", CAST(value ->> 'revision' AS BIGINT), CAST(value ->> 'started_at' AS BIGINT), CAST(value ->> 'measured_at' AS BIGINT),
CAST(value ->> 'skewed' AS BIGINT), CAST(value ->> 'received_at' AS BIGINT), value ->> 'status', value ->> 'fault', value ->> 'body' FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (standing, agent, started_at, revision) DO NOTHING RETURNING id"
);
const INSERT_DUE: &str = concat!(
    "INSERT INTO series_due (job, tenant, agent, probe, target, at, good, readings) SELECT ",
    uuid!("value ->> 'id'"),
    ", ",
    uuid!("value ->> 'tenant'"),
    ", ",
    uuid!("value ->> 'agent'"),
    ", 'observe', '', CAST(value ->> 'at' AS BIGINT), CAST(value ->> 'good' AS BIGINT), value ->> 'readings' FROM ",
    rows!("$1")
);
const NOTE: &str = concat!(
    "UPDATE standing_agent SET
last_window_at = CASE WHEN standing_agent.last_window_at > came.at THEN standing_agent.last_window_at ELSE came.at END,
lost = CASE WHEN standing_agent.lost > came.lost THEN standing_agent.lost ELSE came.lost END,
counted_revision = came.counted_revision, windows = came.windows, late_bytes = came.late_bytes FROM (SELECT ",
    uuid!("value ->> 'standing'"),
    " AS standing, ",
    uuid!("value ->> 'agent'"),
    " AS agent, CAST(value ->> 'at' AS BIGINT) AS at, CAST(value ->> 'lost' AS BIGINT) AS lost,
CAST(value ->> 'counted_revision' AS BIGINT) AS counted_revision, CAST(value ->> 'windows' AS BIGINT) AS windows,
CAST(value ->> 'late_bytes' AS BIGINT) AS late_bytes FROM ",
    rows!("$1"),
    ") AS came WHERE standing_agent.standing = came.standing AND standing_agent.agent = came.agent"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OWNERS, INSERT, INSERT_DUE, NOTE];
