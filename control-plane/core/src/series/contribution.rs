//! What one report, or one look of an agent at itself, adds to the series, and to which: its own, the one of all agents towards the target,
//! and the one of the whole tenant.

use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;

use super::reading::Reading;
use super::rollup::Good;

/// Readings taken at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Whose they are.
    pub tenant: TenantId,
    /// Who took them.
    pub agent: AgentId,
    /// By which probe; [`Contribution::AGENT`] for what an agent sees of its own host.
    pub probe: String,
    /// What was measured; empty for the agent's own host.
    pub target: String,
    /// When.
    pub at: UnixMicros,
    /// Whether the answer was as it should be.
    pub good: Good,
    /// The numbers.
    pub readings: Vec<Reading>,
}

/// Which series: everything that tells one from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Whose it is.
    pub tenant: TenantId,
    /// Whose eyes; none for all agents together.
    pub agent: Option<AgentId>,
    /// What is measured; empty for the agent's own host, and for all targets together.
    pub target: String,
    /// The probe.
    pub probe: String,
    /// The number's name within the probe.
    pub name: String,
}

/// How much of a series is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Latest value, every sample, and hours: what one agent saw.
    Samples,
    /// Hours only: what several agents saw together.
    Hours,
}

impl Contribution {
    /// The probe's name of what an agent sees of its own host.
    pub const AGENT: &'static str = "agent";

    /// Every series this adds to, with the value and how much is kept there.
    pub fn parts(&self) -> impl Iterator<Item = (Identity, f64, Detail)> {
        let wide = self.probe != Self::AGENT;
        self.readings.iter().flat_map(move |reading| {
            let of = move |agent, target: &str, detail| {
                let identity = Identity {
                    tenant: self.tenant,
                    agent,
                    target: target.to_owned(),
                    probe: self.probe.clone(),
                    name: reading.name.clone().into_owned(),
                };
                (identity, reading.value, detail)
            };
            let own = of(Some(self.agent), &self.target, Detail::Samples);
            let together = wide.then(|| [of(None, &self.target, Detail::Hours), of(None, "", Detail::Hours)]);
            std::iter::once(own).chain(together.into_iter().flatten())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contribution(probe: &str, target: &str) -> Contribution {
        let at = UnixMicros::from_micros(1_000_000);
        Contribution {
            tenant: TenantId::new(at, [1; 10]),
            agent: AgentId::new(at, [2; 10]),
            probe: probe.to_owned(),
            target: target.to_owned(),
            at,
            good: Good::Yes,
            readings: vec![Reading {
                name: "loss".into(),
                value: 0.5,
            }],
        }
    }

    #[test]
    fn a_probes_numbers_count_for_agent_target_and_tenant_an_agents_own_for_itself() {
        let parts: Vec<_> = contribution("ping", "example.com").parts().collect();
        let seen: Vec<_> = parts
            .iter()
            .map(|(identity, _, detail)| (identity.agent.is_some(), identity.target.as_str(), *detail))
            .collect();
        assert_eq!(
            seen,
            [
                (true, "example.com", Detail::Samples),
                (false, "example.com", Detail::Hours),
                (false, "", Detail::Hours)
            ]
        );
        assert_eq!(contribution(Contribution::AGENT, "").parts().count(), 1);
    }
}
