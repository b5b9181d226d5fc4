//! Every agent that is not revoked, in memory, found by what it is like instead of by looking at each.

use std::collections::{BTreeMap, HashMap, HashSet};

use roaring::RoaringBitmap;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::spec::ProbeKind;

use super::postings::{Postings, network};
use super::{Candidate, Conditions};
use crate::duty::Duty;
use crate::sharing::Sharing;

/// What is known of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCard {
    /// Its id.
    pub id: AgentId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Whom it serves.
    pub sharing: Sharing,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Labels by which it is selected.
    pub labels: BTreeMap<String, String>,
    /// The region it is in.
    pub region: Option<String>,
    /// The zone it is in.
    pub zone: Option<String>,
    /// The network it is in.
    pub network: Option<String>,
    /// Whether it may work.
    pub standing: Standing,
    /// Whether it takes work.
    pub duty: Duty,
    /// What it said that it can run, fully or with something missing.
    pub probes: Vec<ProbeKind>,
    /// Grows with every change on disk.
    pub revision: u64,
}

/// Whether an agent that is not revoked may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its token was not used yet.
    Pending,
    /// It may.
    Active,
    /// Not now.
    Suspended,
}

/// Whether an agent has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// It has.
    Yes,
    /// It has not.
    No,
}

/// The agents of all tenants. Small sets of numbers, one for each thing that agents can have in common, which are intersected.
#[derive(Debug, Default)]
pub struct AgentIndex {
    slots: Vec<Option<AgentCard>>,
    free: Vec<u32>,
    by_id: HashMap<AgentId, u32>,
    /// Revoked since the start: a change that was on disk before the revocation and comes after it puts nobody back.
    gone: HashSet<AgentId>,
    tenants: HashMap<TenantId, Postings>,
    /// Those that serve every tenant, whosever they are.
    shared: Postings,
    online: RoaringBitmap,
    usable: RoaringBitmap,
    capable: HashMap<ProbeKind, RoaringBitmap>,
}

impl AgentIndex {
    /// Puts an agent in, or in the place of what was known of it; what is older than that changes nothing.
    pub fn put(&mut self, card: AgentCard) {
        if self.gone.contains(&card.id) {
            return;
        }
        let slot = if let Some(slot) = self.by_id.get(&card.id).copied() {
            if self.card(slot).is_some_and(|known| known.revision > card.revision) {
                return;
            }
            self.clear(slot);
            slot
        } else {
            let Some(slot) = self.next_slot() else { return };
            self.by_id.insert(card.id, slot);
            slot
        };
        if card.standing == Standing::Active && card.duty.is_working() {
            self.usable.insert(slot);
        }
        for probe in &card.probes {
            self.capable.entry(*probe).or_default().insert(slot);
        }
        self.tenants.entry(card.tenant).or_default().insert(slot, &card);
        if card.sharing == Sharing::Shared {
            self.shared.insert(slot, &card);
        }
        if let Some(place) = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot)) {
            *place = Some(card);
        }
    }

    /// Takes an agent out for ever.
    pub fn revoke(&mut self, agent: AgentId) {
        self.gone.insert(agent);
        if let Some(slot) = self.by_id.remove(&agent) {
            self.clear(slot);
            self.online.remove(slot);
            self.free.push(slot);
        }
    }

    /// Takes note of whether an agent has a session.
    pub fn set_here(&mut self, agent: AgentId, here: Here) {
        if let Some(slot) = self.by_id.get(&agent).copied() {
            match here {
                Here::Yes => self.online.insert(slot),
                Here::No => self.online.remove(slot),
            };
        }
    }

    /// An agent that serves the tenant: its own, or a shared one.
    pub fn get(&self, tenant: TenantId, agent: AgentId) -> Option<&AgentCard> {
        let card = self.card(*self.by_id.get(&agent)?)?;
        (card.tenant == tenant || card.sharing == Sharing::Shared).then_some(card)
    }

    /// Whether an agent is the tenant's own.
    pub fn owns(&self, tenant: TenantId, agent: AgentId) -> bool {
        self.get(tenant, agent).is_some_and(|card| card.tenant == tenant)
    }

    /// An agent that serves the tenant by id or name. An id wins over a name that is spelled like one, and the tenant's own agent over a shared one
    /// of the same name, so no agent can be named into another's place.
    pub fn find(&self, tenant: TenantId, id_or_name: &str) -> Option<&AgentCard> {
        let by_id = id_or_name.parse().ok().and_then(|agent| self.get(tenant, agent));
        let own = || self.card(self.tenants.get(&tenant)?.named(id_or_name)?);
        by_id.or_else(own).or_else(|| self.card(self.shared.named(id_or_name)?))
    }

    /// The oldest of the tenant's own agents that is one too many where it may have this many; none where it has no more.
    pub fn first_beyond(&self, tenant: TenantId, number: u32) -> Option<AgentId> {
        let own = self.tenants.get(&tenant)?.all();
        if own.len() <= u64::from(number) {
            return None;
        }
        let mut ids: Vec<AgentId> = own.iter().filter_map(|slot| self.card(slot)).map(|card| card.id).collect();
        ids.sort_unstable();
        ids.get(usize::try_from(number).ok()?).copied()
    }

    /// How many agents there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no agent.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The agents that serve the tenant and fit, and can be given this probe now; of more than `most` an even sample that begins where `seed` says.
    pub(super) fn candidates(&self, tenant: TenantId, conditions: &Conditions<'_>, probe: ProbeKind, most: usize, seed: u64) -> Vec<Candidate> {
        let mut fitting = self.fitting(tenant, conditions);
        let Some(capable) = self.capable.get(&probe) else {
            return Vec::new();
        };
        fitting &= &self.usable;
        fitting &= &self.online;
        fitting &= capable;
        let many = usize::try_from(fitting.len()).unwrap_or(usize::MAX);
        let stride = many.div_ceil(most.max(1)).max(1);
        let first = usize::try_from(seed % u64::try_from(stride).unwrap_or(1)).unwrap_or(0);
        let cards = fitting.iter().skip(first).step_by(stride).filter_map(|slot| self.card(slot));
        cards
            .map(|card| Candidate {
                agent: card.id,
                region: card.region.clone(),
            })
            .collect()
    }

    /// The agents that serve the tenant and fit, by slot.
    pub(super) fn fitting(&self, tenant: TenantId, conditions: &Conditions<'_>) -> RoaringBitmap {
        let own = self.tenants.get(&tenant).and_then(|own| own.fitting(conditions));
        let shared = self.shared.fitting(conditions);
        match (own, shared) {
            (Some(own), Some(shared)) => own | shared,
            (own, shared) => own.or(shared).unwrap_or_default(),
        }
    }

    pub(super) fn card(&self, slot: u32) -> Option<&AgentCard> {
        self.slots.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    pub(super) fn cards(&self) -> impl Iterator<Item = &AgentCard> {
        self.slots.iter().flatten()
    }

    pub(super) fn capable(&self, probe: ProbeKind) -> Option<&RoaringBitmap> {
        self.capable.get(&probe)
    }

    fn next_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(None);
        Some(slot)
    }

    /// Forgets what is known of a slot's agent, but not whether it is here.
    fn clear(&mut self, slot: u32) {
        let Some(card) = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot)).and_then(Option::take) else {
            return;
        };
        self.usable.remove(slot);
        for probe in &card.probes {
            if let Some(capable) = self.capable.get_mut(probe) {
                capable.remove(slot);
            }
        }
        if card.sharing == Sharing::Shared {
            self.shared.remove(slot, &card);
        }
        if let Some(postings) = self.tenants.get_mut(&card.tenant) {
            postings.remove(slot, &card);
            if postings.is_empty() {
                self.tenants.remove(&card.tenant);
            }
        }
    }
}

impl AgentCard {
    /// Whether every condition given holds.
    pub fn fits(&self, conditions: &Conditions<'_>) -> bool {
        let is = |wanted: Option<&str>, own: Option<&str>| wanted.is_none() || wanted == own;
        let (wanted_network, own_network) = (conditions.network.map(network), self.network.as_deref().map(network));
        is(conditions.region, self.region.as_deref())
            && is(conditions.zone, self.zone.as_deref())
            && (wanted_network.is_none() || wanted_network == own_network)
            && conditions
                .labels
                .is_none_or(|labels| labels.iter().all(|(key, value)| self.labels.get(key) == Some(value)))
            && conditions.labels_present.iter().all(|key| self.labels.contains_key(key))
            && conditions.labels_in.is_none_or(|sets| {
                let has_one = |(key, values): (&String, &Vec<String>)| self.labels.get(key).is_some_and(|own| values.contains(own));
                sets.iter().all(has_one)
            })
    }
}
