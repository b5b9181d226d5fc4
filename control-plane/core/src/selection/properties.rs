//! The index against what it stands for: looking at every agent.

use proptest::prelude::*;
use shared_protocol::time::UnixMicros;

use super::*;
use crate::duty::Duty;
use crate::sharing::Sharing;

#[derive(Debug, Clone)]
enum Change {
    Put(AgentCard),
    Revoke(AgentId),
    Here(AgentId, Here),
}

fn id(seed: u8) -> AgentId {
    AgentId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
}

fn tenant(seed: u8) -> TenantId {
    TenantId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "AS1", "1"]).prop_map(str::to_owned)
}

fn card() -> impl Strategy<Value = AgentCard> {
    let place = || prop::option::of(word());
    let standing = prop::sample::select(vec![Standing::Pending, Standing::Active, Standing::Active, Standing::Suspended]);
    let duty = prop::sample::select(vec![Duty::Working, Duty::Working, Duty::Draining, Duty::Stopped]);
    let sharing = prop::sample::select(vec![Sharing::Own, Sharing::Own, Sharing::Shared]);
    let labels = prop::collection::btree_map(word(), word(), 0..4);
    (
        0_u8..12,
        (1_u8..3, sharing),
        labels,
        (place(), place(), place()),
        standing,
        duty,
        any::<bool>(),
        0_u64..4,
    )
        .prop_map(
            |(seed, (owner, sharing), labels, (region, zone, network), standing, duty, pings, revision)| AgentCard {
                id: id(seed),
                // An agent keeps its tenant for ever.
                tenant: tenant(1 + seed % 2),
                sharing,
                name: format!("{owner}-{seed}"),
                labels,
                region,
                zone,
                network,
                standing,
                duty,
                probes: if pings { vec![ProbeKind::Ping] } else { Vec::new() },
                revision,
            },
        )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => card().prop_map(Change::Put),
        1 => (0_u8..12).prop_map(|seed| Change::Revoke(id(seed))),
        4 => (0_u8..12, prop::sample::select(vec![Here::Yes, Here::Yes, Here::No])).prop_map(|(seed, here)| Change::Here(id(seed), here)),
    ]
}

/// What the index stands for: each agent's last card, and whether it is here.
#[derive(Default)]
struct Naive {
    agents: BTreeMap<AgentId, (AgentCard, bool)>,
    gone: BTreeSet<AgentId>,
}

fn serves(card: &AgentCard, tenant: TenantId) -> bool {
    card.tenant == tenant || card.sharing == Sharing::Shared
}

impl Naive {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(card) => {
                if self.gone.contains(&card.id) || self.agents.get(&card.id).is_some_and(|(known, _)| known.revision > card.revision) {
                    return;
                }
                let here = self.agents.get(&card.id).is_some_and(|(_, here)| *here);
                self.agents.insert(card.id, (card.clone(), here));
            }
            Change::Revoke(agent) => {
                self.gone.insert(*agent);
                self.agents.remove(agent);
            }
            Change::Here(agent, here) => {
                if let Some((_, known)) = self.agents.get_mut(agent) {
                    *known = *here == Here::Yes;
                }
            }
        }
    }

    fn candidates(&self, tenant: TenantId, conditions: &Conditions<'_>) -> BTreeSet<AgentId> {
        let begins_now = |(card, here): &&(AgentCard, bool)| {
            *here && serves(card, tenant) && card.standing == Standing::Active && card.duty.is_working() && !card.probes.is_empty()
        };
        let fitting = self.agents.values().filter(begins_now).filter(|(card, _)| card.fits(conditions));
        fitting.map(|(card, _)| card.id).collect()
    }

    fn listed(&self, tenant: TenantId, conditions: &Conditions<'_>) -> Vec<AgentId> {
        let fitting = self.agents.values().filter(|(card, _)| serves(card, tenant) && card.fits(conditions));
        fitting.map(|(card, _)| card.id).rev().collect()
    }
}

proptest! {
    #[test]
    fn the_index_finds_exactly_what_looking_at_every_agent_finds(
        changes in prop::collection::vec(change(), 0..60),
        labels in prop::collection::btree_map(word(), word(), 0..3),
        sets in prop::collection::btree_map(word(), prop::collection::vec(word(), 0..3), 0..2),
        present in prop::collection::vec(word(), 0..2),
        place in (prop::option::of(word()), prop::option::of(word()), prop::option::of(word())),
    ) {
        let (mut index, mut naive) = (AgentIndex::default(), Naive::default());
        for change in changes {
            naive.apply(&change);
            match change {
                Change::Put(card) => index.put(card),
                Change::Revoke(agent) => index.revoke(agent),
                Change::Here(agent, here) => index.set_here(agent, here),
            }
        }
        prop_assert_eq!(index.len(), naive.agents.len());
        let all = [
            Conditions::default(),
            Conditions { labels: Some(&labels), ..Conditions::default() },
            Conditions { region: place.0.as_deref(), zone: place.1.as_deref(), network: place.2.as_deref(), ..Conditions::default() },
            Conditions { labels: Some(&labels), labels_in: Some(&sets), labels_present: &present, region: place.0.as_deref(), zone: None, network: None },
        ];
        for owner in [tenant(1), tenant(2), tenant(9)] {
            for conditions in &all {
                let found = index.candidates(owner, conditions, ProbeKind::Ping, usize::MAX, 0);
                let found: BTreeSet<AgentId> = found.into_iter().map(|candidate| candidate.agent).collect();
                prop_assert_eq!(found, naive.candidates(owner, conditions));
                let listed = index.list(owner, &Filter { conditions: *conditions, ..Filter::default() });
                prop_assert_eq!(listed, naive.listed(owner, conditions));
            }
            for (card, _) in naive.agents.values() {
                let serves = serves(card, owner);
                prop_assert_eq!(index.get(owner, card.id).is_some(), serves);
                prop_assert_eq!(index.owns(owner, card.id), card.tenant == owner);
                prop_assert_eq!(index.find(owner, &card.name).map(|found| found.id), serves.then_some(card.id));
            }
        }
    }
}
