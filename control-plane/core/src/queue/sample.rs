//! Jobs, agents and tenants for the tests.

use shared_protocol::id::{AgentId, JobId, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::QueuedJob;

pub(crate) fn agent(number: u8) -> AgentId {
    AgentId::new(at(0), [number; 10])
}

pub(crate) fn tenant(number: u8) -> TenantId {
    TenantId::new(at(0), [number; 10])
}

pub(crate) fn at(seconds: i64) -> UnixMicros {
    UnixMicros::from_micros(seconds * 1_000_000)
}

/// The `number`th job to be accepted: of agent 1 and tenant 1, at cost 1, with the deadline far away.
pub(crate) fn job(number: u32, tier: Tier) -> QueuedJob {
    QueuedJob {
        job: JobId::new(UnixMicros::from_micros(i64::from(number) * 1_000), [0; 10]),
        agent: agent(1),
        tenant: tenant(1),
        tier,
        cost: 1,
        deadline: at(1_000_000),
        not_before: None,
    }
}
