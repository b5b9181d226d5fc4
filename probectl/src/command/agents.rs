//! `probectl agents`.

use clap::Subcommand;
use control_api::agent::Agent;
use serde_json::json;
use shared_protocol::id::AgentId;

use super::{cell, labels, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::{Client, PAGE};
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::output::view::word;
use crate::output::{Cell, Listing, Screen};

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// List agents.
    List(ListArgs),
    /// Show one agent.
    Show {
        /// Name or id.
        agent: String,
    },
    /// Revoke an agent's identity: its session ends at once, and it never comes back.
    Revoke {
        /// Name or id.
        agent: String,
        /// Really do it.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(command: AgentsCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        AgentsCommand::List(list) => {
            let listed = client.list::<Agent>(&["agents"], &[], PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        AgentsCommand::Show { agent } => show(format, screen, &find(client, &agent).await?)?,
        AgentsCommand::Revoke { yes: false, .. } => return Err(Error::Usage("revoking an agent cannot be undone: add --yes")),
        AgentsCommand::Revoke { agent, yes: true } => {
            let id = find(client, &agent).await?.id;
            let revoked: Agent = client.post(&["agents", &id, "revoke"], &json!({})).await?;
            show(format, screen, &revoked)?;
        }
    }
    Ok(Exit::Ok)
}

/// All agents of the tenant.
pub(super) async fn all(client: &Client) -> Result<Vec<Agent>, ClientError> {
    Ok(client.list(&["agents"], &[], PAGE, u32::MAX).await?.items)
}

async fn find(client: &Client, agent: &str) -> Result<Agent, Error> {
    if agent.parse::<AgentId>().is_ok() {
        return Ok(client.get(&["agents", agent], &[]).await?);
    }
    let named = all(client).await?.into_iter().find(|candidate| candidate.name == agent);
    named.ok_or_else(|| Error::UnknownAgent(agent.to_owned()))
}

fn listing(agents: &[Agent]) -> Listing<'_, Agent> {
    Listing {
        noun: "agents",
        single: "agent",
        items: agents,
        columns: &["name", "id", "state", "presence", "last_seen", "version", "labels"],
        row: |agent| {
            vec![
                agent.name.as_str().into(),
                agent.id.as_str().into(),
                agent.state.as_str().into(),
                agent.presence.as_str().into(),
                cell(agent.last_seen_at.as_ref()),
                cell(agent.version.as_ref()),
                labels(&agent.labels).into(),
            ]
        },
    }
}

fn show(format: Format, screen: &mut Screen<'_>, agent: &Agent) -> Result<(), Error> {
    let mut fields: Vec<(&str, Cell)> = vec![
        ("name", agent.name.as_str().into()),
        ("id", agent.id.as_str().into()),
        ("state", agent.state.as_str().into()),
        ("presence", agent.presence.as_str().into()),
        ("last seen", cell(agent.last_seen_at.as_ref())),
        ("enrolled", agent.created_at.into()),
        ("certificate until", cell(agent.certificate_expires_at.as_ref())),
        ("version", cell(agent.version.as_ref())),
        ("labels", labels(&agent.labels).into()),
    ];
    if let Some(host) = &agent.host {
        let shown = format!("{}, {}, {} ({})", host.hostname, host.os, host.kernel, host.architecture);
        fields.push(("host", shown.into()));
    }
    for capability in &agent.capabilities {
        let missing = capability.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        fields.push(("can", format!("{} {}{missing}", capability.probe, word(&capability.level)).into()));
    }
    Ok(screen.item(format, &listing(std::slice::from_ref(agent)), &fields)?)
}
