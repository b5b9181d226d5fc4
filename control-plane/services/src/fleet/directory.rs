//! Every agent that is not revoked, in memory, so that choosing and listing look at no rows. The store is the truth: it is read at the start,
//! and each change made here follows its commit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use control_core::authorize::{SystemScope, TenantScope};
use control_core::selection::{AgentCard, AgentIndex, Choice, Filter, Here, SelectionRefusal, Standing, Wanted};
use control_store::agents::{AgentRow, AgentState};
use control_store::{Store, StoreError};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::host::Place;
use shared_protocol::id::AgentId;
use shared_protocol::time::MonotonicMicros;

use super::Presence;
use super::registry::Registry;
use crate::clock;

/// The agents in memory.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    index: Mutex<AgentIndex>,
}

impl Directory {
    /// Reads every agent from the store.
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let directory = Self::default();
        let mut after = None;
        loop {
            let mut reader = store.reader().await?;
            let rows = control_store::agents::all(&mut reader, SystemScope::for_own_work(), after, AGENTS_PER_READ).await?;
            after = rows.last().map(|row| row.id);
            for row in &rows {
                directory.put(row);
            }
            // A row of a newer version may be left out, so only an empty page is the last.
            if after.is_none() {
                return Ok(directory);
            }
        }
    }

    /// Takes note of what an agent is now; after its commit.
    pub(crate) fn put(&self, row: &AgentRow) {
        match row.state {
            AgentState::Revoked => self.lock().revoke(row.id),
            AgentState::Active | AgentState::Suspended => self.lock().put(card(row)),
        }
    }

    /// Takes note of whether an agent has a session; after each change of the registry. What is read here is what stands, however two
    /// changes overtake each other.
    pub(crate) fn sync_presence(&self, agent: AgentId, registry: &Registry, now: MonotonicMicros) {
        let mut index = self.lock();
        let here = match registry.presence(agent, now) {
            Presence::Offline => Here::No,
            Presence::Online | Presence::Late => Here::Yes,
        };
        index.set_here(agent, here);
    }

    /// Finds the agents that a selection means.
    pub(crate) fn choose(&self, scope: TenantScope, wanted: &Wanted<'_>) -> Result<Choice, SelectionRefusal> {
        self.lock().choose(scope.tenant(), wanted, clock::random_seed())
    }

    /// Whether an agent is the tenant's own.
    pub(crate) fn owns(&self, scope: TenantScope, agent: AgentId) -> bool {
        self.lock().owns(scope.tenant(), agent)
    }

    /// What agents that serve the tenant are called.
    pub(crate) fn names(&self, scope: TenantScope, agents: &[AgentId]) -> HashMap<AgentId, String> {
        let index = self.lock();
        let name = |agent: &AgentId| Some((*agent, index.get(scope.tenant(), *agent)?.name.clone()));
        agents.iter().filter_map(name).collect()
    }

    /// The oldest of the tenant's own agents above the number that its tier includes: it and every newer one get no new work.
    pub(crate) fn first_beyond(&self, scope: TenantScope, number: u32) -> Option<AgentId> {
        self.lock().first_beyond(scope.tenant(), number)
    }

    /// The agents that serve the tenant and that a filter lets through, newest first.
    pub(crate) fn list(&self, scope: TenantScope, filter: &Filter<'_>) -> Vec<AgentId> {
        self.lock().list(scope.tenant(), filter)
    }

    /// The agents that are off duty.
    pub(crate) fn off_duty(&self) -> Vec<AgentId> {
        self.lock().off_duty()
    }

    fn lock(&self) -> MutexGuard<'_, AgentIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an agent is: its tenant's words, else those of its labels, else those of its own configuration.
pub(super) fn place(row: &AgentRow) -> Place {
    let told = row.host.as_ref().map(|host| host.place.clone()).unwrap_or_default();
    let word = |own: &Option<String>, label: &str, told: Option<String>| own.clone().or_else(|| row.labels.get(label).cloned()).or(told);
    Place {
        region: word(&row.place.region, "region", told.region),
        zone: word(&row.place.zone, "zone", told.zone),
        network: word(&row.place.network, "network", told.network),
    }
}

pub(super) fn standing(row: &AgentRow) -> Option<Standing> {
    match row.state {
        AgentState::Active if row.enrolled_at.is_none() => Some(Standing::Pending),
        AgentState::Active => Some(Standing::Active),
        AgentState::Suspended => Some(Standing::Suspended),
        AgentState::Revoked => None,
    }
}

fn card(row: &AgentRow) -> AgentCard {
    let place = place(row);
    let can_run = row.capabilities.iter().filter(|capability| capability.level != CapabilityLevel::Unavailable);
    AgentCard {
        id: row.id,
        tenant: row.tenant,
        sharing: row.sharing,
        name: row.name.clone(),
        labels: row.labels.clone(),
        region: place.region,
        zone: place.zone,
        network: place.network,
        standing: standing(row).unwrap_or(Standing::Suspended),
        duty: row.duty,
        probes: can_run.map(|capability| capability.probe).collect(),
        revision: row.revision,
    }
}

/// Agents read at a time at the start.
const AGENTS_PER_READ: u32 = 1_000;
