//! A control plane within this process: its writer, dispatcher and ingest as they are, without HTTP and without TLS.

use std::path::Path;

use anyhow::{Context, Result};
use control_core::authorize::{Action, Grant, Resource, authorize};
use control_services::fleet::AgentPrincipal;
use control_services::{Database, Services};

use super::identity;

/// The services, one tenant, and its agents, who can come and go.
pub struct House {
    /// The control plane.
    pub services: Services,
    key: String,
    agents: Vec<AgentPrincipal>,
}

impl House {
    /// Starts the services in a directory and enrols so many agents, named `simulated-<number>` from 0.
    ///
    /// # Errors
    /// When they do not start, or refuse.
    pub async fn start(data_dir: &Path, database: Database, agents: u32) -> Result<Self> {
        let services = Services::start(identity::options(data_dir, database))
            .await
            .map_err(|error| anyhow::anyhow!("start: {error}"))?;
        let founded = identity::settle(&services, agents).await?;
        let agents = founded
            .agents
            .iter()
            .map(|identity| Ok(services.fleet.authenticate_peer(identity.leaf()?)?))
            .collect::<Result<_>>()?;
        Ok(Self {
            services,
            key: founded.key,
            agents,
        })
    }

    /// Who the agent of this number is, as the agent port would have found.
    ///
    /// # Errors
    /// When there is none.
    pub fn agent(&self, number: u32) -> Result<AgentPrincipal> {
        let number = usize::try_from(number)?;
        self.agents.get(number).cloned().context("no such agent")
    }

    /// How many agents there are.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// The tenant's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What the tenant's key is granted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn grant(&self, action: Action) -> Result<Grant> {
        let principal = self.services.identity.authenticate(&self.key).await?;
        Ok(authorize(&principal, action, Resource::OwnTenant)?)
    }
}
