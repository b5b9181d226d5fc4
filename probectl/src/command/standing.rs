//! `probectl standing`.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use control_api::measurement::Selection;
use control_api::standing::{CreateStandingObservation, StandingAgent, StandingObservation, StandingWindow, UpdateStandingObservation};
use serde_json::{Value, json};
use shared_protocol::report::Findings;
use shared_protocol::spec::{Observation, ProbeKind};

use super::measure::{self, Wanted, selection};
use super::measurements::REPORTS_PAGE;
use super::observe::{observation_parser, seconds};
use super::say_if_more;
use crate::cli::{Format, ListArgs, Origin, parse_label};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;
use crate::output::observe::ObserveView;
use crate::output::probe::{Names, Paper};

mod shown;

use shown::{fares, listing, seen, tell};

/// What to do with standing observations.
#[derive(Debug, Subcommand)]
pub enum StandingCommand {
    /// Let agents observe something, window after window, until it is stopped.
    Create(CreateStandingArgs),
    /// List standing observations, newest first.
    List(ListArgs),
    /// Show a standing observation and how it fares on each agent.
    Show {
        /// Its id.
        standing: String,
    },
    /// Change what is observed, in which windows, or where: a new revision.
    Update(UpdateStandingArgs),
    /// Stop it, and keep what it saw.
    Stop {
        /// Its id.
        standing: String,
    },
    /// Let it go on.
    Start {
        /// Its id.
        standing: String,
    },
    /// Take it away, with what it saw.
    Delete {
        /// Its id.
        standing: String,
        /// Really do it.
        #[arg(long)]
        yes: bool,
    },
    /// Show what it saw, window by window, newest first.
    Windows(WindowsArgs),
}

/// What to observe, and where.
#[derive(Debug, Args)]
pub struct CreateStandingArgs {
    /// What is observed.
    #[arg(value_parser = observation_parser())]
    pub observation: Observation,
    /// What to call it [default: what is observed].
    #[arg(long)]
    pub name: Option<String>,
    /// Length of a window, as 30s or 5m; each has a report of its own [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub window: Option<u32>,
    /// What is observed of it.
    #[command(flatten)]
    pub options: OptionArgs,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// What to change.
#[derive(Debug, Args)]
pub struct UpdateStandingArgs {
    /// Its id.
    pub standing: String,
    /// What to call it.
    #[arg(long)]
    pub name: Option<String>,
    /// Observe this instead.
    #[arg(long, value_name = "OBSERVATION", value_parser = observation_parser())]
    pub observation: Option<Observation>,
    /// Length of a window, as 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub window: Option<u32>,
    /// What is observed of it.
    #[command(flatten)]
    pub options: OptionArgs,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Options of an observation.
#[derive(Debug, Args)]
pub struct OptionArgs {
    /// Most entries told, those with most to tell [default: 20].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub top: Option<u32>,
    /// Only what has this port at one of its ends.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Only what has this address at one of its ends.
    #[arg(long)]
    pub address: Option<IpAddr>,
    /// The package that is run; with custom only.
    #[arg(long, value_name = "NAME")]
    pub package: Option<String>,
}

/// Where it is observed. Agents are chosen once: one that joins later is not.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where from")]
pub struct PlaceArgs {
    /// Where from: an agent's name or id, label:KEY=VALUE, or all; may be given more than once [default: any agent].
    #[arg(long, value_name = "ORIGIN")]
    pub from: Vec<Origin>,
    /// Only agents with this label; may be given more than once, and then all must hold.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    pub label: Vec<(String, String)>,
    /// Only agents in this region.
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Most agents to use.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
}

/// Which windows to show.
#[derive(Debug, Args)]
pub struct WindowsArgs {
    /// Its id.
    pub standing: String,
    /// Only of this agent.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Only those that began at or after this instant, RFC 3339.
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<String>,
    /// Only those that began before this instant, RFC 3339.
    #[arg(long, value_name = "INSTANT")]
    pub to: Option<String>,
    /// Everything that was seen in each, not one line.
    #[arg(long)]
    pub details: bool,
    /// How many.
    #[command(flatten)]
    pub list: ListArgs,
}

pub(super) async fn run(command: StandingCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        StandingCommand::Create(arguments) => create(arguments, format, client, screen).await?,
        StandingCommand::List(list) => {
            let listed = client.list::<StandingObservation>(&[NOUN], &[], PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        StandingCommand::Show { standing } => show(&standing, format, client, screen).await?,
        StandingCommand::Update(arguments) => update(arguments, format, client, screen).await?,
        StandingCommand::Stop { standing } => set_state(&standing, "stopped", format, client, screen).await?,
        StandingCommand::Start { standing } => set_state(&standing, "running", format, client, screen).await?,
        StandingCommand::Delete { yes: false, .. } => {
            return Err(Error::Usage("what it saw goes with it, and cannot be brought back: add --yes, or stop it"));
        }
        StandingCommand::Delete { standing, yes: true } => {
            client.delete(&[NOUN, &standing]).await?;
            screen.say(&format!("standing observation {standing} is gone"));
        }
        StandingCommand::Windows(arguments) => windows(&arguments, format, client, screen).await?,
    }
    Ok(Exit::Ok)
}

async fn create(arguments: CreateStandingArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let request = CreateStandingObservation {
        spec: spec(arguments.observation, &arguments.options),
        name: arguments.name,
        window_s: arguments.window,
        selection: arguments.place.selection(client, screen).await?,
    };
    let made: StandingObservation = client.create(&[NOUN], &request).await?;
    tell(&made, format, screen)
}

async fn update(arguments: UpdateStandingArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let present: StandingObservation = client.get(&[NOUN, &arguments.standing], &[]).await?;
    let options = &arguments.options;
    let spec = match arguments.observation {
        Some(observation) => Some(spec(observation, options)),
        None if options.is_empty() => None,
        None => Some(with(present.spec.clone(), options)),
    };
    let request = UpdateStandingObservation {
        name: arguments.name,
        spec,
        window_s: arguments.window,
        selection: if arguments.place.is_empty() {
            None
        } else {
            Some(arguments.place.selection(client, screen).await?)
        },
        state: None,
    };
    let changed = client.patch(&[NOUN, &arguments.standing], &request, present.revision.into()).await?;
    tell(&changed, format, screen)
}

async fn set_state(standing: &str, state: &str, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let present: StandingObservation = client.get(&[NOUN, standing], &[]).await?;
    let request = UpdateStandingObservation {
        state: Some(state.to_owned()),
        ..UpdateStandingObservation::default()
    };
    let changed = client.patch(&[NOUN, standing], &request, present.revision.into()).await?;
    tell(&changed, format, screen)
}

/// Shows one, and under it how it fares.
async fn show(standing: &str, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let found: StandingObservation = client.get(&[NOUN, standing], &[]).await?;
    let agents = client.list::<StandingAgent>(&[NOUN, standing, "agents"], &[], PAGE, u32::MAX).await?.items;
    match format {
        Format::Json => screen.document(vec![("standing_observation", json!(found)), ("agents", json!(agents))])?,
        Format::Ndjson => {
            screen.record(vec![("standing_observation", json!(found))])?;
            agents.iter().try_for_each(|agent| screen.record(vec![("agent", json!(agent))]))?;
        }
        Format::Table => {
            tell(&found, format, screen)?;
            screen.line("")?;
            screen.items(format, &fares(&agents))?;
        }
        Format::Csv | Format::Markdown | Format::Prometheus => screen.items(format, &fares(&agents))?,
    }
    Ok(())
}

async fn windows(arguments: &WindowsArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let query: Vec<(&str, &str)> = [("agent", &arguments.agent), ("from", &arguments.from), ("to", &arguments.to)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
    let limit = arguments.list.limit;
    let path = [NOUN, arguments.standing.as_str(), "windows"];
    let listed = client.list::<StandingWindow>(&path, &query, REPORTS_PAGE.min(limit), limit).await?;
    say_if_more(screen, &listed);
    if arguments.details && format == Format::Table {
        return drawn(&listed.items, screen);
    }
    Ok(screen.items(format, &seen(&listed.items))?)
}

/// Each window with everything that was seen in it.
fn drawn(windows: &[StandingWindow], screen: &mut Screen<'_>) -> Result<(), Error> {
    for window in windows {
        let Some(Findings::Observe(found)) = &window.report.findings else { continue };
        let target = window.started_at.to_string();
        let names = Names {
            target: &target,
            agent: &window.agent_name,
            paper: Paper::Plain,
        };
        for line in ObserveView::default().findings(names, found) {
            screen.print(&line)?;
        }
    }
    Ok(())
}

fn spec(observation: Observation, options: &OptionArgs) -> Value {
    with(measure::spec(ProbeKind::Observe, [("observation", Some(json!(observation)))]), options)
}

/// A spec with these options in the place of its own.
fn with(mut spec: Value, options: &OptionArgs) -> Value {
    let given = [
        ("top", options.top.map(Value::from)),
        ("port", options.port.map(Value::from)),
        ("address", options.address.map(|address| json!(address))),
        ("package", options.package.as_ref().map(|package| json!(package))),
    ];
    if let Value::Object(members) = &mut spec {
        members.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    spec
}

impl OptionArgs {
    const fn is_empty(&self) -> bool {
        self.top.is_none() && self.port.is_none() && self.address.is_none() && self.package.is_none()
    }
}

impl PlaceArgs {
    fn is_empty(&self) -> bool {
        self.from.is_empty() && self.label.is_empty() && self.region.is_none() && self.limit.is_none()
    }

    async fn selection(&self, client: &Client, screen: &mut Screen<'_>) -> Result<Selection, Error> {
        let wanted = Wanted {
            from: &self.from,
            label: &self.label,
            region: self.region.as_deref(),
            same_as: None,
            limit: self.limit,
        };
        selection(wanted, client, screen).await
    }
}

/// The resource in the API.
const NOUN: &str = "standing-observations";
