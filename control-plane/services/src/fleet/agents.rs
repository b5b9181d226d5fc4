//! Agents as their tenant sees them, and how a peer is known to be one.

use std::sync::Arc;

use control_api::agent::{Agent, AgentLoad, AgentQuery};
use control_api::page::Page;
use control_core::authorize::{Grant, TenantScope};
use control_core::duty::{Duty, UnknownDuty};
use control_core::selection::{Conditions, Filter, Standing};
use control_core::sharing::{Sharing, UnknownSharing};
use control_store::agents::{AgentRow, AgentState};
use rustls::ServerConfig;
use shared_protocol::close::CloseReason;
use shared_protocol::id::AgentId;
use shared_protocol::spec::ProbeKind;

use super::principal::Leaf;
use super::{AgentPrincipal, Fleet, PeerRefused, Presence, directory};
use crate::clock;
use crate::error::ServiceError;
use crate::identity::{LabelTerms, checked_word};
use crate::jobs::read::{cut, page, parse_id};

impl Fleet {
    /// How the agent port speaks TLS.
    pub fn tls(&self) -> Arc<ServerConfig> {
        self.authority().tls()
    }

    /// Knows an agent by the leaf certificate whose key it proved in the TLS handshake: the one way to an [`AgentPrincipal`].
    ///
    /// # Errors
    /// [`PeerRefused`] says why it is not let in.
    pub fn authenticate_peer(&self, leaf_der: &[u8]) -> Result<AgentPrincipal, PeerRefused> {
        let leaf = Leaf::from_der(leaf_der, self.trust_domain())?;
        self.identities().check(&leaf, clock::monotonic())?;
        Ok(AgentPrincipal::new(leaf))
    }

    /// Whether an agent that was let in may still stay. Asked once more when its session is open, since it may have been revoked between.
    ///
    /// # Errors
    /// The reason with which its session must end.
    pub fn may_stay(&self, peer: &AgentPrincipal) -> Result<(), CloseReason> {
        match self.identities().check(peer.leaf(), clock::monotonic()) {
            // A store that does not answer is no reason to cut who is here.
            Ok(()) | Err(PeerRefused::Stale) => Ok(()),
            Err(refused) => Err(refused.close_reason().unwrap_or(CloseReason::Unknown)),
        }
    }

    /// The agents that serve the tenant and that the query asks for, newest first; revoked ones only where it asks for them.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page or filter.
    pub async fn agents(&self, grant: &Grant, query: &AgentQuery) -> Result<Page<Agent>, ServiceError> {
        let scope = grant.scope()?;
        let page = page::<AgentId>(query.limit, query.cursor.as_deref())?;
        let mut reader = self.store().reader().await?;
        let rows = if query.state.as_deref() == Some(AgentState::Revoked.as_str()) {
            if query.names_more_than_state() {
                return Err(ServiceError::invalid("state", "revoked agents are listed whole; leave the other filters out"));
            }
            control_store::agents::revoked(&mut reader, scope, &page).await?
        } else {
            let labels = LabelTerms::parse(query.label.as_deref())?;
            let filter = filter(query, &labels)?;
            let presence = query.presence.as_deref().map(known_presence).transpose()?;
            let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
            let listed = self.directory().list(scope, &filter).into_iter();
            let now = clock::monotonic();
            let wanted: Vec<AgentId> = listed
                .filter(|agent| page.after.is_none_or(|after| *agent < after))
                .filter(|agent| presence.is_none_or(|presence| self.registry().presence(*agent, now) == presence))
                .take(limit)
                .collect();
            control_store::agents::find_many(&mut reader, scope, &wanted).await?
        };
        Ok(cut(rows.into_iter().map(|row| (row.id, self.shown_to(scope, row))).collect(), &page))
    }

    /// An agent.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where no such agent serves the tenant.
    pub async fn agent(&self, grant: &Grant, id: &str) -> Result<Agent, ServiceError> {
        let scope = grant.scope()?;
        let mut reader = self.store().reader().await?;
        let row = control_store::agents::find_serving(&mut reader, scope, parse_id(id)?).await?;
        row.map(|row| self.shown_to(scope, row)).ok_or(ServiceError::NotFound)
    }

    /// An agent as a tenant may see it: of one that is only shared with it, not what concerns its host.
    fn shown_to(&self, scope: TenantScope, row: AgentRow) -> Agent {
        let is_own = row.tenant == scope.tenant();
        let agent = self.to_agent(row);
        if is_own {
            return agent;
        }
        Agent {
            host: None,
            load: None,
            certificate_expires_at: None,
            ..agent
        }
    }

    pub(super) fn to_agent(&self, row: AgentRow) -> Agent {
        let now = clock::monotonic();
        let presence = match self.registry().presence(row.id, now) {
            Presence::Offline if row.last_seen_at.is_none() => "never",
            presence @ (Presence::Online | Presence::Late | Presence::Offline) => presence.as_str(),
        };
        let silence = self.registry().silence(row.id, now);
        let last_seen = silence.map(|silence| clock::now().minus(silence)).or(row.last_seen_at);
        let place = directory::place(&row);
        let state = match directory::standing(&row) {
            Some(Standing::Pending) => "pending",
            Some(Standing::Active | Standing::Suspended) | None => row.state.as_str(),
        };
        let load = self.registry().load(row.id).map(|told| AgentLoad {
            at: clock::now().minus(now.since(told.at)).into(),
            running: told.running,
            outbox_depth: told.outbox_depth,
            capacity: told.capacity,
            host: told.host.clone(),
        });
        Agent {
            id: row.id.to_string(),
            sharing: row.sharing.as_str().to_owned(),
            name: row.name,
            labels: row.labels,
            region: place.region,
            zone: place.zone,
            network: place.network,
            state: state.to_owned(),
            duty: row.duty.as_str().to_owned(),
            presence: presence.to_owned(),
            last_seen_at: last_seen.map(Into::into),
            created_at: row.created_at.into(),
            enrolled_at: row.enrolled_at.map(Into::into),
            version: row.version,
            capabilities: row.capabilities,
            host: row.host,
            load,
            certificate_expires_at: row.certificate_expires_at.map(Into::into),
            revision: row.revision,
        }
    }
}

fn filter<'a>(query: &'a AgentQuery, labels: &'a LabelTerms) -> Result<Filter<'a>, ServiceError> {
    for (field, word) in [("region", &query.region), ("zone", &query.zone), ("network", &query.network)] {
        checked_word(field, word.as_deref())?;
    }
    let standing = query.state.as_deref().map(known_standing).transpose()?;
    let duty = query.duty.as_deref().map(str::parse::<Duty>).transpose();
    let sharing = query.sharing.as_deref().map(str::parse::<Sharing>).transpose();
    let probe = query.probe.as_deref().map(known_probe).transpose()?;
    Ok(Filter {
        conditions: Conditions {
            labels: Some(&labels.values),
            labels_present: &labels.present,
            region: query.region.as_deref(),
            zone: query.zone.as_deref(),
            network: query.network.as_deref(),
            labels_in: None,
        },
        standing,
        duty: duty.map_err(|error: UnknownDuty| ServiceError::invalid("duty", error.to_string()))?,
        sharing: sharing.map_err(|error: UnknownSharing| ServiceError::invalid("sharing", error.to_string()))?,
        probe,
        text: query.q.as_deref(),
    })
}

fn known_standing(text: &str) -> Result<Standing, ServiceError> {
    match text {
        "pending" => Ok(Standing::Pending),
        "active" => Ok(Standing::Active),
        "suspended" => Ok(Standing::Suspended),
        _ => Err(ServiceError::invalid("state", "must be one of pending, active, suspended, revoked")),
    }
}

fn known_presence(text: &str) -> Result<Presence, ServiceError> {
    match text {
        "online" => Ok(Presence::Online),
        "late" => Ok(Presence::Late),
        "offline" => Ok(Presence::Offline),
        _ => Err(ServiceError::invalid("presence", "must be one of online, late, offline")),
    }
}

fn known_probe(text: &str) -> Result<ProbeKind, ServiceError> {
    let known = ProbeKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| ServiceError::invalid("probe", "must be the name of a probe"))
}
