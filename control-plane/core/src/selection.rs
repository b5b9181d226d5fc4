//! Which agents a measurement is for: its selection resolved to concrete agents at admission.
//!
//! Two ways to choose, and one rule. **Named**: by id or name, or the agents of an earlier measurement; used in that order, even while
//! offline. **Among all**: agents that are online, active, on duty and can run the probe; those with the least expected wait first, spread
//! over regions, then by id. The rule: every condition given (labels, region, zone, network) must hold, in both ways.

mod filter;
mod index;
mod postings;
#[cfg(test)]
mod properties;
mod spread;

use std::collections::{BTreeMap, BTreeSet};

use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::spec::ProbeKind;

pub use filter::Filter;
pub use index::{AgentCard, AgentIndex, Here, Standing};
pub use spread::{Waiting, spread};

/// What an agent must be like; every condition given must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// It has all of these labels, with these values.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// For each of these labels it has one of the values.
    pub labels_in: Option<&'a BTreeMap<String, Vec<String>>>,
    /// It has these labels, whatever their value.
    pub labels_present: &'a [String],
    /// It is in this region.
    pub region: Option<&'a str>,
    /// It is in this zone.
    pub zone: Option<&'a str>,
    /// It is in this network: an AS number, with or without `AS`, or a name.
    pub network: Option<&'a str>,
}

/// What a measurement asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// These agents, by id or name.
    pub agents: &'a [String],
    /// The agents of an earlier measurement; those that were revoked since, or are suspended, are left out.
    pub same_as: Option<&'a [AgentId]>,
    /// What they must be like.
    pub conditions: Conditions<'a>,
    /// The probe they are to run.
    pub probe: ProbeKind,
    /// At most this many; 1 without it, where no agents are named.
    pub count: Option<u32>,
    /// Most agents the tenant's tier lets one measurement choose.
    pub limit: u32,
}

/// What a selection comes to before it is known how busy the agents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// These agents, in this order.
    Named(Vec<AgentId>),
    /// Some of these.
    Among {
        /// Agents that fit, each with its region. Where very many fit, an even sample of them.
        candidates: Vec<Candidate>,
        /// How many of them, at most.
        count: usize,
    },
}

/// An agent that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The agent.
    pub agent: AgentId,
    /// Where it is, where that is known.
    pub region: Option<String>,
}

impl AgentIndex {
    /// Finds the agents a selection means. `seed` is a fresh random number: where many more fit than can be compared, it says where the
    /// sample begins.
    ///
    /// # Errors
    /// [`SelectionRefusal`] says which part of the selection cannot be met.
    pub fn choose(&self, tenant: TenantId, wanted: &Wanted<'_>, seed: u64) -> Result<Choice, SelectionRefusal> {
        if wanted.count == Some(0) {
            return Err(SelectionRefusal::CountZero);
        }
        if wanted.count.is_some_and(|count| count > wanted.limit) {
            return Err(SelectionRefusal::AboveTier { limit: wanted.limit });
        }
        let choice = match wanted.same_as {
            Some(_) if !wanted.agents.is_empty() => return Err(SelectionRefusal::NamedTwice),
            Some(agents) => cut(self.usable_of(tenant, agents, wanted), wanted)?,
            None if !wanted.agents.is_empty() => cut(self.named(tenant, wanted)?, wanted)?,
            None => {
                let count = usize::try_from(wanted.count.unwrap_or(1)).unwrap_or(usize::MAX);
                let most = count.saturating_mul(SAMPLE_FACTOR).max(SAMPLE_MIN);
                Choice::Among {
                    candidates: self.candidates(tenant, &wanted.conditions, wanted.probe, most, seed),
                    count,
                }
            }
        };
        let is_empty = match &choice {
            Choice::Named(agents) => agents.is_empty(),
            Choice::Among { candidates, .. } => candidates.is_empty(),
        };
        if is_empty { Err(SelectionRefusal::NoMatch) } else { Ok(choice) }
    }

    fn named(&self, tenant: TenantId, wanted: &Wanted<'_>) -> Result<Vec<AgentId>, SelectionRefusal> {
        let mut chosen = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted.agents {
            let card = self.find(tenant, name).ok_or_else(|| SelectionRefusal::UnknownAgent(name.clone()))?;
            if card.standing == Standing::Suspended {
                return Err(SelectionRefusal::SuspendedAgent(name.clone()));
            }
            if !card.duty.is_open() {
                return Err(SelectionRefusal::OffDuty(name.clone()));
            }
            if card.fits(&wanted.conditions) && seen.insert(card.id) {
                chosen.push(card.id);
            }
        }
        Ok(chosen)
    }

    fn usable_of(&self, tenant: TenantId, agents: &[AgentId], wanted: &Wanted<'_>) -> Vec<AgentId> {
        let mut seen = BTreeSet::new();
        let cards = agents.iter().filter_map(|agent| self.get(tenant, *agent));
        cards
            .filter(|card| card.standing != Standing::Suspended && card.duty.is_open() && card.fits(&wanted.conditions))
            .map(|card| card.id)
            .filter(|agent| seen.insert(*agent))
            .collect()
    }
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
    /// Agents are named by `agents` and by `same_as`.
    #[error("name agents, or a measurement whose agents are meant, not both")]
    NamedTwice,
    /// The tenant has no agent of this name or id that is not revoked.
    #[error("there is no agent `{0}`, or it was revoked")]
    UnknownAgent(String),
    /// The named agent is suspended.
    #[error("the agent `{0}` is suspended")]
    SuspendedAgent(String),
    /// The named agent is stopped.
    #[error("the agent `{0}` is stopped; start it first")]
    OffDuty(String),
    /// No agent fits.
    #[error("no agent that is online and can run this probe matches the selection")]
    NoMatch,
}

impl SelectionRefusal {
    /// The field of the request that it is about.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::CountZero => "selection.count",
            Self::UnknownAgent(_) | Self::SuspendedAgent(_) | Self::OffDuty(_) => "selection.agents",
            Self::NamedTwice => "selection.same_as",
            Self::AboveTier { .. } | Self::NoMatch => "selection",
        }
    }
}

fn cut(mut agents: Vec<AgentId>, wanted: &Wanted<'_>) -> Result<Choice, SelectionRefusal> {
    let count = wanted.count.unwrap_or(u32::MAX);
    agents.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    if u32::try_from(agents.len()).unwrap_or(u32::MAX) > wanted.limit {
        return Err(SelectionRefusal::AboveTier { limit: wanted.limit });
    }
    Ok(Choice::Named(agents))
}

/// Candidates compared, where more fit: at least this many, …
const SAMPLE_MIN: usize = 1_024;
/// … and at least this many for each agent wanted.
const SAMPLE_FACTOR: usize = 4;

#[cfg(test)]
mod tests;
