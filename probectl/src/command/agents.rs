//! `probectl agents`.

use clap::{Args, Subcommand};
use control_api::agent::{Agent, AgentAction, AgentActionKind, AgentAfterAction, CreateAgent, CreatedAgent, UpdateAgent};
use control_api::metric::{MetricPoint, Metrics};
use serde_json::{Value, json};
use shared_protocol::id::AgentId;

use super::{cell, labels, say_if_more};
use crate::cli::{Format, InvalidOrigin, ListArgs, parse_label};
use crate::client::{Client, PAGE};
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::output::view::word;
use crate::output::{Cell, Listing, Screen};

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// List agents.
    List(ListAgentsArgs),
    /// Show one agent.
    Show {
        /// Name or id.
        agent: String,
    },
    /// Show a number of an agent's host over time.
    Metrics(AgentMetricsArgs),
    /// Make an agent and print what `probe-agent enrol` reads from standard input on its host; it is never shown again.
    Create(CreateAgentArgs),
    /// Set labels of an agent, or take them away.
    Label {
        /// Name or id.
        agent: String,
        /// KEY=VALUE sets a label, KEY- takes it away.
        #[arg(required = true, value_name = "KEY=VALUE|KEY-", value_parser = label_change)]
        changes: Vec<LabelChange>,
    },
    /// Let an agent take work again.
    Start {
        /// Name or id.
        agent: String,
    },
    /// Let an agent finish what it has and take no more work until started; jobs that name it are refused.
    Stop {
        /// Name or id.
        agent: String,
    },
    /// Let an agent finish what it has and take nothing new until started; jobs that name it wait.
    Drain {
        /// Name or id.
        agent: String,
    },
    /// Print a token that gives an agent a new key: for a host that was rebuilt, or one whose identity was copied.
    Reenrol {
        /// Name or id.
        agent: String,
    },
    /// Revoke an agent: its session ends at once, and it never comes back.
    Delete {
        /// Name or id.
        agent: String,
        /// Really do it.
        #[arg(long)]
        yes: bool,
    },
}

/// Which agents to list.
#[derive(Debug, Args)]
pub struct ListAgentsArgs {
    /// How many.
    #[command(flatten)]
    pub list: ListArgs,
    /// Labels that hold, joined by commas: KEY=VALUE, or KEY for any value.
    #[arg(long, value_name = "LABELS")]
    pub label: Option<String>,
    /// In this region.
    #[arg(long)]
    pub region: Option<String>,
    /// In this network: an AS number, or a name.
    #[arg(long)]
    pub network: Option<String>,
    /// pending, active, suspended or revoked.
    #[arg(long)]
    pub state: Option<String>,
    /// working, draining or stopped.
    #[arg(long)]
    pub duty: Option<String>,
    /// online, late or offline.
    #[arg(long)]
    pub presence: Option<String>,
    /// own or shared [default: both].
    #[arg(long)]
    pub sharing: Option<String>,
    /// A part of the name, or the beginning of the id.
    #[arg(long, short, value_name = "TEXT")]
    pub query: Option<String>,
}

/// Which number, of which time.
#[derive(Debug, Args)]
pub struct AgentMetricsArgs {
    /// Name or id.
    pub agent: String,
    /// The number's name, as `cpu_ratio`, `memory_available_bytes`, `load_1m`, `disk_used_ratio.root`, `received_bytes_per_s.eth0`.
    #[arg(default_value = "cpu_ratio")]
    pub metric: String,
    /// First instant, RFC 3339 [default: one hour before the last].
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<String>,
    /// First instant no more, RFC 3339 [default: now].
    #[arg(long, value_name = "INSTANT")]
    pub to: Option<String>,
    /// Length of each step, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub step: Option<u32>,
}

/// What a new agent is.
#[derive(Debug, Args)]
pub struct CreateAgentArgs {
    /// Its name.
    pub name: String,
    /// A label of the agent; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// The region it is in.
    #[arg(long)]
    pub region: Option<String>,
    /// The zone it is in.
    #[arg(long)]
    pub zone: Option<String>,
    /// The network it is in: an AS number, as AS64500, or a name.
    #[arg(long)]
    pub network: Option<String>,
    /// Seconds until its join token stops working [default: 3600].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(60..=86_400))]
    pub ttl_s: Option<u32>,
}

/// A change of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// Give it this value.
    Set(String, String),
    /// Take it away.
    Remove(String),
}

pub(super) async fn run(command: AgentsCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        AgentsCommand::List(arguments) => {
            let limit = arguments.list.limit;
            let listed = client.list::<Agent>(&["agents"], &filters(&arguments), PAGE.min(limit), limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        AgentsCommand::Show { agent } => show(format, screen, &find(client, &agent).await?)?,
        AgentsCommand::Metrics(arguments) => metrics(&arguments, format, client, screen).await?,
        AgentsCommand::Create(arguments) => create(arguments, format, client, screen).await?,
        AgentsCommand::Label { agent, changes } => {
            let changed = change_labels(client, &agent, changes).await?;
            show(format, screen, &changed)?;
        }
        AgentsCommand::Start { agent } => act(&agent, AgentActionKind::Start, format, client, screen).await?,
        AgentsCommand::Stop { agent } => act(&agent, AgentActionKind::Stop, format, client, screen).await?,
        AgentsCommand::Drain { agent } => act(&agent, AgentActionKind::Drain, format, client, screen).await?,
        AgentsCommand::Reenrol { agent } => act(&agent, AgentActionKind::Reenrol, format, client, screen).await?,
        AgentsCommand::Delete { yes: false, .. } => return Err(Error::Usage("revoking an agent cannot be undone: add --yes")),
        AgentsCommand::Delete { agent, yes: true } => {
            let id = find(client, &agent).await?.id;
            client.delete(&["agents", &id]).await?;
            screen.say(&format!("agent {agent} is revoked"));
        }
    }
    Ok(Exit::Ok)
}

/// All agents of the tenant that are not revoked.
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

fn filters(arguments: &ListAgentsArgs) -> Vec<(&'static str, &str)> {
    [
        ("label", &arguments.label),
        ("region", &arguments.region),
        ("network", &arguments.network),
        ("state", &arguments.state),
        ("duty", &arguments.duty),
        ("presence", &arguments.presence),
        ("sharing", &arguments.sharing),
        ("q", &arguments.query),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    .collect()
}

async fn create(arguments: CreateAgentArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let request = CreateAgent {
        name: arguments.name,
        labels: arguments.label.into_iter().collect(),
        region: arguments.region,
        zone: arguments.zone,
        network: arguments.network,
        ttl_s: arguments.ttl_s,
    };
    let created: CreatedAgent = client.post(&["agents"], &request).await?;
    let said = format!(
        "agent {} waits for its host until {}; what follows is not shown again",
        created.agent.name, created.join_token.token.expires_at
    );
    show_token(format, screen, &said, (&created.agent.id, &created.join_token.bundle), json!(created))
}

async fn metrics(arguments: &AgentMetricsArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let id = find(client, &arguments.agent).await?.id;
    let step = arguments.step.map(|step| step.to_string());
    let query: Vec<(&str, &str)> = [
        ("metric", Some(arguments.metric.as_str())),
        ("from", arguments.from.as_deref()),
        ("to", arguments.to.as_deref()),
        ("step", step.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let metrics: Metrics = client.get(&["agents", &id, "metrics"], &query).await?;
    let points: Vec<MetricPoint> = metrics.series.into_iter().flat_map(|series| series.points).collect();
    let listing = Listing {
        noun: "points",
        single: "point",
        items: &points,
        columns: &["at", "n", "min", "avg", "max", "p95"],
        row: |point: &MetricPoint| {
            let number = |value: f64| Cell::from(format!("{value:.6}"));
            vec![
                point.at.into(),
                point.n.to_string().into(),
                number(point.min),
                number(point.avg),
                number(point.max),
                number(point.p95),
            ]
        },
    };
    Ok(screen.items(format, &listing)?)
}

/// Labels are replaced as a whole, so a change made meanwhile by somebody else is not overwritten but refused.
async fn change_labels(client: &Client, agent: &str, changes: Vec<LabelChange>) -> Result<Agent, Error> {
    let present = find(client, agent).await?;
    let mut labels = present.labels;
    for change in changes {
        match change {
            LabelChange::Set(key, value) => drop(labels.insert(key, value)),
            LabelChange::Remove(key) => drop(labels.remove(&key)),
        }
    }
    let request = UpdateAgent {
        labels: Some(labels),
        ..UpdateAgent::default()
    };
    Ok(client.patch(&["agents", &present.id], &request, present.revision).await?)
}

async fn act(agent: &str, action: AgentActionKind, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let id = find(client, agent).await?.id;
    let after: AgentAfterAction = client.post(&["agents", &id, "actions"], &AgentAction { action }).await?;
    let Some(token) = &after.join_token else {
        return show(format, screen, &after.agent);
    };
    let said = format!("agent {agent} gets a new key with this until {}; it is not shown again", token.token.expires_at);
    show_token(format, screen, &said, (&after.agent.id, &token.bundle), json!(after))
}

/// An agent with the token that enrols it: for people the token alone, so that it can be piped to the host.
fn show_token(format: Format, screen: &mut Screen<'_>, said: &str, (id, bundle): (&str, &str), whole: Value) -> Result<(), Error> {
    match format {
        Format::Table => {
            screen.say(said);
            screen.line(bundle)?;
        }
        Format::Json => screen.document(vec![("agent", whole)])?,
        Format::Ndjson => screen.record(vec![("agent", whole)])?,
        Format::Csv | Format::Markdown | Format::Prometheus => screen.rows(format, &["id", "bundle"], &[vec![id.into(), bundle.into()]])?,
    }
    Ok(())
}

fn label(text: &str) -> Result<(String, String), String> {
    parse_label(text).map_err(|InvalidOrigin| "expected KEY=VALUE".to_owned())
}

fn label_change(text: &str) -> Result<LabelChange, String> {
    if let Some(key) = text.strip_suffix('-').filter(|key| !key.is_empty() && !key.contains('=')) {
        return Ok(LabelChange::Remove(key.to_owned()));
    }
    let (key, value) = parse_label(text).map_err(|InvalidOrigin| "expected KEY=VALUE or KEY-".to_owned())?;
    Ok(LabelChange::Set(key, value))
}

fn listing(agents: &[Agent]) -> Listing<'_, Agent> {
    Listing {
        noun: "agents",
        single: "agent",
        items: agents,
        columns: &["name", "id", "state", "duty", "presence", "last_seen", "version", "region", "labels", "sharing"],
        row: |agent| {
            vec![
                agent.name.as_str().into(),
                agent.id.as_str().into(),
                agent.state.as_str().into(),
                agent.duty.as_str().into(),
                agent.presence.as_str().into(),
                cell(agent.last_seen_at.as_ref()),
                cell(agent.version.as_ref()),
                cell(agent.region.as_ref()),
                labels(&agent.labels).into(),
                agent.sharing.as_str().into(),
            ]
        },
    }
}

fn show(format: Format, screen: &mut Screen<'_>, agent: &Agent) -> Result<(), Error> {
    let mut fields: Vec<(&str, Cell)> = vec![
        ("name", agent.name.as_str().into()),
        ("id", agent.id.as_str().into()),
        ("state", agent.state.as_str().into()),
        ("duty", agent.duty.as_str().into()),
        ("presence", agent.presence.as_str().into()),
        ("last seen", cell(agent.last_seen_at.as_ref())),
        ("enrolled", cell(agent.enrolled_at.as_ref())),
        ("certificate until", cell(agent.certificate_expires_at.as_ref())),
        ("version", cell(agent.version.as_ref())),
        ("region", cell(agent.region.as_ref())),
        ("zone", cell(agent.zone.as_ref())),
        ("network", cell(agent.network.as_ref())),
        ("labels", labels(&agent.labels).into()),
        ("serves", if agent.sharing == "shared" { "every tenant" } else { "its own tenant" }.into()),
    ];
    if let Some(host) = &agent.host {
        let shown = format!("{}, {}, {} ({})", host.hostname, host.os, host.kernel, host.architecture);
        fields.push(("host", shown.into()));
    }
    if let Some(load) = &agent.load {
        let capacity = load.capacity.map(|capacity| format!(", takes {capacity} agent-seconds")).unwrap_or_default();
        let shown = format!("{} jobs running, {} reports to send{capacity}", load.running, load.outbox_depth);
        fields.push(("load", shown.into()));
    }
    for capability in &agent.capabilities {
        let missing = capability.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        fields.push(("can", format!("{} {}{missing}", capability.probe, word(&capability.level)).into()));
    }
    Ok(screen.item(format, &listing(std::slice::from_ref(agent)), &fields)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_set_by_its_value_and_taken_away_by_a_dash() {
        assert_eq!(label_change("site=a-"), Ok(LabelChange::Set("site".to_owned(), "a-".to_owned())));
        assert_eq!(label_change("site-"), Ok(LabelChange::Remove("site".to_owned())));
        for bad in ["", "-", "site", "=a", "site="] {
            assert!(label_change(bad).is_err(), "{bad}");
        }
    }
}
