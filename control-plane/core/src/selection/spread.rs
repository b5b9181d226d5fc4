//! Choosing some of many agents that fit: who would begin soonest, spread over regions.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_protocol::id::AgentId;

/// An agent that fits, and how long a new job would wait there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The agent.
    pub agent: AgentId,
    /// Where it is, where that is known; agents of which it is not known count as one region.
    pub region: Option<String>,
    /// How long a new job would wait there. Whole seconds are compared: less than that is no reason to prefer one.
    pub wait: Duration,
}

/// Chooses at most `count` agents: those with the least wait first; among equals each next one from the region of which the fewest were
/// chosen; among those by id. The same agents with the same waits give the same answer, in whatever order they come.
pub fn spread(agents: Vec<Waiting>, count: usize) -> Vec<AgentId> {
    let mut by_wait: BTreeMap<u64, BTreeMap<Option<String>, Vec<AgentId>>> = BTreeMap::new();
    for Waiting { agent, region, wait } in agents {
        by_wait.entry(wait.as_secs()).or_default().entry(region).or_default().push(agent);
    }
    let mut chosen = Vec::new();
    let mut from: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for mut regions in by_wait.into_values() {
        for agents in regions.values_mut() {
            // The lowest id last, where it is taken from.
            agents.sort_unstable_by(|one, other| other.cmp(one));
        }
        // The region whose turn it is: fewest chosen, then lowest next id.
        let mut turns: std::collections::BTreeSet<(usize, AgentId, Option<String>)> = regions
            .iter()
            .filter_map(|(region, agents)| Some((from.get(region).copied().unwrap_or(0), *agents.last()?, region.clone())))
            .collect();
        while chosen.len() < count
            && let Some((so_far, agent, region)) = turns.pop_first()
        {
            chosen.push(agent);
            if let Some(agents) = regions.get_mut(&region) {
                agents.pop();
                if let Some(next) = agents.last() {
                    turns.insert((so_far + 1, *next, region.clone()));
                }
            }
            from.insert(region, so_far + 1);
        }
        if chosen.len() >= count {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_protocol::time::UnixMicros;

    use super::*;

    fn id(seed: u8) -> AgentId {
        AgentId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    fn waiting(seed: u8, region: Option<&str>, wait_s: u64) -> Waiting {
        Waiting {
            agent: id(seed),
            region: region.map(str::to_owned),
            wait: Duration::from_secs(wait_s),
        }
    }

    #[test]
    fn the_least_wait_comes_first_then_the_region_least_chosen_then_the_id() {
        let agents = vec![
            waiting(1, Some("eu"), 0),
            waiting(2, Some("eu"), 0),
            waiting(3, Some("us"), 0),
            waiting(4, None, 0),
            waiting(5, Some("ap"), 9),
            waiting(6, Some("eu"), 9),
        ];
        let seeds = |count| spread(agents.clone(), count);
        assert_eq!(seeds(3), [id(1), id(3), id(4)], "one of each region, though eu has two");
        assert_eq!(
            seeds(6),
            [id(1), id(3), id(4), id(2), id(5), id(6)],
            "and the busy ones last, ap before eu's third"
        );
        assert!(seeds(0).is_empty());
    }

    #[test]
    fn waits_that_differ_by_less_than_a_second_do_not_break_the_spread() {
        let mut busier = waiting(2, Some("us"), 0);
        busier.wait = Duration::from_millis(900);
        let agents = vec![waiting(1, Some("eu"), 0), waiting(3, Some("eu"), 0), busier];
        assert_eq!(spread(agents, 2), [id(1), id(2)]);
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_nobody_left_out_would_begin_sooner_and_regions_are_even(
            places in prop::collection::vec((0_u8..4, 0_u64..3), 0..40),
            count in 0_usize..45,
            turn in any::<usize>(),
        ) {
            let agents: Vec<Waiting> = places.iter().enumerate().map(|(seed, (region, wait))| Waiting {
                agent: id(u8::try_from(seed).unwrap()),
                region: Some(format!("r{region}")),
                wait: Duration::from_secs(*wait),
            }).collect();
            let chosen = spread(agents.clone(), count);
            prop_assert_eq!(chosen.len(), count.min(agents.len()));
            let mut turned = agents.clone();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            prop_assert_eq!(&spread(turned, count), &chosen, "the order in which they come says nothing");
            let is_chosen = |waiting: &&Waiting| chosen.contains(&waiting.agent);
            let latest = agents.iter().filter(is_chosen).map(|waiting| waiting.wait).max();
            let soonest_left = agents.iter().filter(|waiting| !is_chosen(waiting)).map(|waiting| waiting.wait).min();
            if let (Some(latest), Some(left)) = (latest, soonest_left) {
                prop_assert!(latest <= left);
            }
            let levels: std::collections::BTreeSet<Duration> = agents.iter().map(|waiting| waiting.wait).collect();
            if levels.len() == 1 {
                let count_in = |region: &Option<String>, only_left: bool| agents.iter()
                    .filter(|waiting| waiting.region == *region && (!only_left || !is_chosen(waiting))).count();
                let taken = |region: &Option<String>| count_in(region, false) - count_in(region, true);
                for one in &agents {
                    for other in &agents {
                        if count_in(&other.region, true) > 0 {
                            prop_assert!(taken(&one.region) <= taken(&other.region) + 1, "a region was passed over");
                        }
                    }
                }
            }
        }
    }
}
