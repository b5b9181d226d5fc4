//! The cases on PostgreSQL.
#![expect(clippy::duplicate_mod, reason = "each case is run on both databases")]

use super::*;

pub(super) type World = super::World<OnPostgres>;

#[path = "agent_changes.rs"]
mod agent_changes;
#[path = "fleet.rs"]
mod fleet;
#[path = "identity.rs"]
mod identity;
#[path = "job_life.rs"]
mod job_life;
#[path = "packages.rs"]
mod packages;
#[path = "report_life.rs"]
mod report_life;
#[path = "retention_life.rs"]
mod retention_life;
#[path = "series_life.rs"]
mod series_life;
#[path = "sets.rs"]
mod sets;
#[path = "standing_life.rs"]
mod standing_life;
#[path = "subscriptions.rs"]
mod subscriptions;
