//! Listing the agents of a tenant by what they are like.

use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::spec::ProbeKind;

use super::{AgentIndex, Conditions, Standing};
use crate::duty::Duty;
use crate::sharing::Sharing;

/// Which agents are to be listed; every condition given must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// What they are like.
    pub conditions: Conditions<'a>,
    /// Whether they may work.
    pub standing: Option<Standing>,
    /// Whether they take work.
    pub duty: Option<Duty>,
    /// Whom they serve.
    pub sharing: Option<Sharing>,
    /// What they can run.
    pub probe: Option<ProbeKind>,
    /// A part of their name, in any case of letters, or the beginning of their id.
    pub text: Option<&'a str>,
}

impl AgentIndex {
    /// The agents that serve the tenant and that the filter lets through, newest first.
    pub fn list(&self, tenant: TenantId, filter: &Filter<'_>) -> Vec<AgentId> {
        let mut fitting = self.fitting(tenant, &filter.conditions);
        if let Some(probe) = filter.probe {
            match self.capable(probe) {
                Some(capable) => fitting &= capable,
                None => return Vec::new(),
            }
        }
        let text = filter.text.map(str::to_lowercase);
        let cards = fitting.iter().filter_map(|slot| self.card(slot));
        let mut listed: Vec<AgentId> = cards
            .filter(|card| filter.standing.is_none_or(|standing| card.standing == standing))
            .filter(|card| filter.sharing.is_none_or(|sharing| card.sharing == sharing))
            .filter(|card| filter.duty.is_none_or(|duty| card.duty == duty))
            .filter(|card| {
                let is_named = |text: &String| card.name.to_lowercase().contains(text.as_str()) || card.id.to_string().starts_with(text.as_str());
                text.as_ref().is_none_or(is_named)
            })
            .map(|card| card.id)
            .collect();
        listed.sort_unstable_by(|one, other| other.cmp(one));
        listed
    }

    /// The agents of all tenants that take no work.
    pub fn off_duty(&self) -> Vec<AgentId> {
        self.cards().filter(|card| !card.duty.is_working()).map(|card| card.id).collect()
    }
}
