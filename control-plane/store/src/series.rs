//! Series: the numbers of reports and of agents' hosts as latest values, hourly roll-ups and packed days.
//!
//! A report's numbers come in exactly once: the row of `series_due` that came with the report is taken out in the transaction that adds them.
//! Whoever finds no row adds nothing.

mod due;
mod read;
mod register;
mod roll;
mod seal;

pub use due::{DueRow, due};
pub use read::{LatestRow, SeriesFilter, SeriesRow, find, latest, rollups, samples};
pub use register::{Registered, forget_dead, register};
pub use roll::{Part, Roll, RolledUp, add, roll};
pub use seal::seal;

use shared_protocol::id::AgentId;
use uuid::Uuid;

/// A series, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(pub i64);

fn agent_column(agent: Option<AgentId>) -> Uuid {
    agent.map_or(Uuid::nil(), AgentId::uuid)
}

fn agent_of(column: Uuid) -> Option<AgentId> {
    (!column.is_nil()).then(|| AgentId::from_uuid(column))
}

/// Every statement below this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[due::STATEMENTS, read::STATEMENTS, register::STATEMENTS, roll::STATEMENTS, seal::STATEMENTS];
