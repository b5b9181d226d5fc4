//! How busy an agent is for a job that is yet to be accepted.

use shared_protocol::id::AgentId;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::Board;

/// How busy one agent is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AgentLoad {
    /// Whether it has a session.
    pub online: bool,
    /// Cost ahead of a new job, agent-seconds: what is queued before it and what is left of what is in flight; nothing where it would start at once.
    pub backlog: u64,
    /// Cost it finishes in a second of work: as measured, before that what it said it does at the same time; absent while neither is known.
    pub drain_rate: Option<f64>,
}

impl Board {
    /// How busy an agent is for a new job of a tier.
    pub fn agent_load(&self, agent: AgentId, tier: Tier, now: UnixMicros) -> AgentLoad {
        let queued = self.queue.backlog(agent, tier);
        let Some(desk) = self.agents.get(&agent) else {
            return AgentLoad {
                backlog: queued,
                ..AgentLoad::default()
            };
        };
        let spare = desk.live.as_ref().map_or(0, |live| u64::from(live.credit()));
        let backlog = if queued < spare {
            0
        } else {
            queued.saturating_add(desk.remainder(now)).saturating_sub(spare)
        };
        let capacity = desk.live.as_ref().and_then(|live| live.capacity).filter(|capacity| *capacity > 0);
        AgentLoad {
            online: desk.live.is_some(),
            backlog,
            drain_rate: desk.drain.rate().or(capacity.map(f64::from)),
        }
    }
}
