//! Which agents a measurement is for: its selection resolved to concrete agents at admission.

use std::collections::BTreeMap;

use shared_protocol::id::AgentId;

/// What is known of an agent of the tenant when a measurement is admitted.
#[derive(Debug, Clone, Copy)]
pub struct AgentFacts<'a> {
    /// Its id.
    pub id: AgentId,
    /// Its name, unique within the tenant.
    pub name: &'a str,
    /// Labels by which it is selected.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether it has a session.
    pub online: bool,
    /// Whether it is neither suspended nor revoked.
    pub active: bool,
    /// Whether it said that it can run this probe.
    pub capable: bool,
    /// Cost queued ahead of a new job on it.
    pub backlog: u64,
}

/// What a measurement asks for; every condition given must hold.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// These agents, by id or name, even while offline.
    pub agents: &'a [String],
    /// Agents with all of these labels.
    pub labels: &'a BTreeMap<String, String>,
    /// At most this many; 1 without it, where no agents are named.
    pub count: Option<u32>,
    /// Most agents the tenant's tier lets one measurement choose.
    pub limit: u32,
}

/// Chooses the agents.
///
/// Named agents come in the order in which they are named, each once. Others are online, active and capable, those with the least backlog first,
/// then by id.
///
/// # Errors
/// [`SelectionRefusal`] says which part of the selection cannot be met.
pub fn select(agents: &[AgentFacts<'_>], wanted: &Wanted<'_>) -> Result<Vec<AgentId>, SelectionRefusal> {
    if wanted.count == Some(0) {
        return Err(SelectionRefusal::CountZero);
    }
    let (mut chosen, count) = if wanted.agents.is_empty() {
        (by_labels(agents, wanted.labels), wanted.count.unwrap_or(1))
    } else {
        (by_name(agents, wanted)?, wanted.count.unwrap_or(u32::MAX))
    };
    let above_tier = wanted.count.is_some_and(|count| count > wanted.limit);
    chosen.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    if above_tier || u32::try_from(chosen.len()).unwrap_or(u32::MAX) > wanted.limit {
        return Err(SelectionRefusal::AboveTier { limit: wanted.limit });
    }
    if chosen.is_empty() {
        return Err(SelectionRefusal::NoMatch);
    }
    Ok(chosen)
}

/// Why a selection cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionRefusal {
    /// A count of zero asks for nothing.
    #[error("count must be at least 1")]
    CountZero,
    /// More agents than the tier allows for one measurement.
    #[error("your tier allows at most {limit} agents in one measurement")]
    AboveTier {
        /// What it allows.
        limit: u32,
    },
    /// The tenant has no agent of this name or id.
    #[error("there is no agent `{0}`")]
    UnknownAgent(String),
    /// The named agent is suspended or revoked.
    #[error("the agent `{0}` is suspended or revoked")]
    InactiveAgent(String),
    /// No agent is online, can run the probe and has the labels.
    #[error("no agent that is online and can run this probe matches the selection")]
    NoMatch,
}

impl SelectionRefusal {
    /// The field of the request that it is about.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::CountZero => "selection.count",
            Self::UnknownAgent(_) | Self::InactiveAgent(_) => "selection.agents",
            Self::AboveTier { .. } | Self::NoMatch => "selection",
        }
    }
}

fn by_name(agents: &[AgentFacts<'_>], wanted: &Wanted<'_>) -> Result<Vec<AgentId>, SelectionRefusal> {
    // An id wins over a name that is spelled like one, so no agent can be named into another's place.
    let mut known: BTreeMap<String, &AgentFacts<'_>> = agents.iter().map(|agent| (agent.name.to_owned(), agent)).collect();
    known.extend(agents.iter().map(|agent| (agent.id.to_string(), agent)));
    let mut chosen = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for name in wanted.agents {
        let agent = known.get(name).ok_or_else(|| SelectionRefusal::UnknownAgent(name.clone()))?;
        if !agent.active {
            return Err(SelectionRefusal::InactiveAgent(name.clone()));
        }
        if has_labels(agent, wanted.labels) && seen.insert(agent.id) {
            chosen.push(agent.id);
        }
    }
    Ok(chosen)
}

fn by_labels(agents: &[AgentFacts<'_>], labels: &BTreeMap<String, String>) -> Vec<AgentId> {
    let usable = |agent: &&AgentFacts<'_>| agent.online && agent.active && agent.capable && has_labels(agent, labels);
    let mut order: Vec<(u64, AgentId)> = agents.iter().filter(usable).map(|agent| (agent.backlog, agent.id)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, id)| id).collect()
}

fn has_labels(agent: &AgentFacts<'_>, labels: &BTreeMap<String, String>) -> bool {
    labels.iter().all(|(key, value)| agent.labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::time::UnixMicros;

    fn id(seed: u8) -> AgentId {
        AgentId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn agent<'a>(seed: u8, name: &'a str, labels: &'a BTreeMap<String, String>, backlog: u64) -> AgentFacts<'a> {
        AgentFacts {
            id: id(seed),
            name,
            labels,
            online: true,
            active: true,
            capable: true,
            backlog,
        }
    }

    fn wanted<'a>(agents: &'a [String], labels: &'a BTreeMap<String, String>, count: Option<u32>) -> Wanted<'a> {
        Wanted {
            agents,
            labels,
            count,
            limit: 10,
        }
    }

    #[test]
    fn without_names_the_least_burdened_usable_agent_is_chosen_and_ties_go_by_id() {
        let none = labels(&[]);
        let mut offline = agent(1, "a", &none, 0);
        offline.online = false;
        let mut revoked = agent(2, "b", &none, 0);
        revoked.active = false;
        let mut incapable = agent(3, "c", &none, 0);
        incapable.capable = false;
        let agents = [
            offline,
            revoked,
            incapable,
            agent(6, "f", &none, 5),
            agent(5, "e", &none, 5),
            agent(4, "d", &none, 9),
        ];

        assert_eq!(select(&agents, &wanted(&[], &none, None)), Ok(vec![id(5)]));
        assert_eq!(select(&agents, &wanted(&[], &none, Some(2))), Ok(vec![id(5), id(6)]));
        assert_eq!(select(&agents, &wanted(&[], &none, Some(9))), Ok(vec![id(5), id(6), id(4)]));
        assert_eq!(select(&agents[..3], &wanted(&[], &none, None)), Err(SelectionRefusal::NoMatch));
    }

    #[test]
    fn every_label_asked_for_must_be_there_with_its_value() {
        let (both, one, other) = (
            labels(&[("region", "eu"), ("net", "x")]),
            labels(&[("region", "eu")]),
            labels(&[("region", "us"), ("net", "x")]),
        );
        let agents = [agent(1, "a", &both, 9), agent(2, "b", &one, 0), agent(3, "c", &other, 0)];
        assert_eq!(select(&agents, &wanted(&[], &both, Some(3))), Ok(vec![id(1)]));
        assert_eq!(select(&agents, &wanted(&[], &one, Some(3))), Ok(vec![id(2), id(1)]));
        assert_eq!(
            select(&agents, &wanted(&[], &labels(&[("REGION", "eu")]), None)),
            Err(SelectionRefusal::NoMatch)
        );
    }

    #[test]
    fn named_agents_are_used_in_their_order_once_each_and_while_offline() {
        let none = labels(&[]);
        let mut offline = agent(1, "a", &none, 0);
        offline.online = false;
        let agents = [offline, agent(2, "b", &none, 0)];
        let names = ["b".to_owned(), "a".to_owned(), id(2).to_string()];

        assert_eq!(select(&agents, &wanted(&names, &none, None)), Ok(vec![id(2), id(1)]));
        assert_eq!(select(&agents, &wanted(&names, &none, Some(1))), Ok(vec![id(2)]));
        assert_eq!(select(&agents, &wanted(&names, &labels(&[("x", "y")]), None)), Err(SelectionRefusal::NoMatch));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        let none = labels(&[]);
        let mut revoked = agent(1, "gone", &none, 0);
        revoked.active = false;
        let agents = [revoked, agent(2, "b", &none, 0)];
        let gone = ["gone".to_owned()];
        let unknown = ["';--".to_owned()];
        for (wanted, refusal, field) in [
            (wanted(&[], &none, Some(0)), SelectionRefusal::CountZero, "selection.count"),
            (wanted(&[], &none, Some(11)), SelectionRefusal::AboveTier { limit: 10 }, "selection"),
            (
                wanted(&gone, &none, None),
                SelectionRefusal::InactiveAgent("gone".to_owned()),
                "selection.agents",
            ),
            (
                wanted(&unknown, &none, None),
                SelectionRefusal::UnknownAgent("';--".to_owned()),
                "selection.agents",
            ),
        ] {
            assert_eq!(refusal.field(), field);
            assert_eq!(select(&agents, &wanted), Err(refusal));
        }
    }

    #[test]
    fn naming_more_agents_than_the_tier_allows_is_refused() {
        let none = labels(&[]);
        let names: Vec<String> = (1..=11).map(|seed| id(seed).to_string()).collect();
        let agents: Vec<AgentFacts<'_>> = (1..=11).map(|seed| agent(seed, "same", &none, 0)).collect();
        assert_eq!(select(&agents, &wanted(&names, &none, None)), Err(SelectionRefusal::AboveTier { limit: 10 }));
        assert_eq!(select(&agents, &wanted(&names, &none, Some(10))).map(|chosen| chosen.len()), Ok(10));
    }

    #[test]
    fn an_agent_named_like_anothers_id_does_not_take_its_place() {
        let none = labels(&[]);
        let disguise = id(1).to_string();
        let agents = [agent(1, "honest", &none, 0), agent(2, &disguise, &none, 0)];
        assert_eq!(select(&agents, &wanted(std::slice::from_ref(&disguise), &none, None)), Ok(vec![id(1)]));
    }
}
