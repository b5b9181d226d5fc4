//! `probectl ping`.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use control_api::measurement::{CreateMeasurement, JobReport, Measurement, Selection};
use control_api::stream::Finding;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared_protocol::target::Target;

use super::agents;
use super::measurements::REPORTS_PAGE;
use super::outcome::exit_of;
use crate::cli::{Format, Origin};
use crate::client::Client;
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::follow::{Follow, Patience, patiently};
use crate::output::Screen;
use crate::output::ping::PingView;
use crate::sse::Message;

/// What to ping, from where and how.
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Address or name to ping.
    pub target: Target,
    /// Where from: an agent's name or id, label:KEY=VALUE, or all; may be given more than once [default: any agent].
    #[arg(long, value_name = "ORIGIN")]
    pub from: Vec<Origin>,
    /// Most agents to use.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
    /// Echo requests to send [default: 4].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: Option<u32>,
    /// Milliseconds between two requests [default: 200].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub interval_ms: Option<u32>,
    /// Time to live, or hop limit, of the requests [default: 64].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub ttl: Option<u32>,
    /// Data bytes of each request [default: 56].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=8_972))]
    pub size: Option<u32>,
    /// Forbid fragmentation on the way.
    #[arg(long)]
    pub df: bool,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
    /// Give up, and cancel, after this many seconds [default: the measurement's deadline of 600 s].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: Option<u32>,
    /// Print the measurement's id and do not wait for it.
    #[arg(long)]
    pub no_wait: bool,
}

pub(super) async fn run(
    arguments: &PingArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let request = CreateMeasurement {
        spec: spec(arguments),
        selection: selection(arguments, client, screen).await?,
        deadline_s: arguments.timeout,
    };
    let mut interrupt = pin!(interrupt);
    let (measurement, interrupted) = create(client, &request, interrupt.as_mut()).await?;
    let id = measurement.id.clone();
    if interrupted {
        return give_up(Ended::Interrupted, client, &id, 0, format, screen).await;
    }
    if arguments.no_wait {
        match format {
            Format::Table => screen.line(&id)?,
            Format::Json => screen.document(vec![("measurement", json!(measurement))])?,
            Format::Ndjson => screen.record(vec![("measurement", json!(measurement))])?,
        }
        return Ok(Exit::Ok);
    }
    let mut watch = Watch::new(format, &measurement);
    let ended = tokio::select! {
        watched = watch.run(client, &id, screen) => match watched {
            Ok(()) => Ended::Done,
            Err(Error::Write(cause)) => {
                cancel(client, &id).await?;
                return Err(Error::Write(cause));
            }
            Err(error) => {
                screen.say(&format!("the measurement goes on: probectl measurements show {id}"));
                return Err(error);
            }
        },
        () = interrupt => Ended::Interrupted,
        () = time_is_up(arguments.timeout) => Ended::TimeIsUp,
    };
    match ended {
        Ended::Done => watch.finish(client, &id, screen).await,
        Ended::Interrupted | Ended::TimeIsUp => give_up(ended, client, &id, watch.view.replies, format, screen).await,
    }
}

/// Why the live events are not followed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Every job has ended.
    Done,
    /// The person at the keyboard has had enough.
    Interrupted,
    /// `--timeout` has passed.
    TimeIsUp,
}

/// Shows a measurement's events as they come.
#[derive(Debug)]
struct Watch {
    format: Format,
    view: PingView,
    reported: BTreeSet<String>,
}

impl Watch {
    fn new(format: Format, measurement: &Measurement) -> Self {
        let mut view = PingView::default();
        view.measurement(measurement);
        Self {
            format,
            view,
            reported: BTreeSet::new(),
        }
    }

    async fn run(&mut self, client: &Client, id: &str, screen: &mut Screen<'_>) -> Result<(), Error> {
        let mut follow = Follow::new(client, id, Patience::USUAL);
        while let Some(message) = follow.next().await? {
            self.message(screen, &message)?;
        }
        Ok(())
    }

    fn message(&mut self, screen: &mut Screen<'_>, message: &Message) -> Result<(), Error> {
        if self.format == Format::Ndjson {
            let data: Value = serde_json::from_str(&message.data).map_err(|_| ClientError::Unreadable("an event is not JSON"))?;
            if message.event == "report" {
                self.reported.extend(data.get("job").and_then(Value::as_str).map(str::to_owned));
            }
            screen.record(vec![("event", json!(message.event)), ("data", data)])?;
            return Ok(());
        }
        if self.format == Format::Table {
            // What a newer control plane tells in a way unknown here is left out: the report has it again.
            match message.event.as_str() {
                "snapshot" => read(message).iter().for_each(|measurement| self.view.measurement(measurement)),
                "finding" => read::<Finding>(message).iter().try_for_each(|finding| self.view.finding(screen, finding))?,
                "report" => read::<JobReport>(message).iter().try_for_each(|report| self.view.report(screen, report))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Every job has ended: shows what the events left out, and says how it went.
    async fn finish(&mut self, client: &Client, id: &str, screen: &mut Screen<'_>) -> Result<Exit, Error> {
        let (one, all) = (["measurements", id], ["measurements", id, "reports"]);
        let measurement: Measurement = patiently(Patience::USUAL, async || client.get(&one, &[]).await).await?;
        let reports = patiently(Patience::USUAL, async || client.list::<JobReport>(&all, &[], REPORTS_PAGE, u32::MAX).await)
            .await?
            .items;
        match self.format {
            Format::Table => {
                self.view.measurement(&measurement);
                reports.iter().try_for_each(|report| self.view.report(screen, report))?;
                measurement.jobs.iter().try_for_each(|job| self.view.end(screen, job))?;
            }
            Format::Json => screen.document(vec![("measurement", json!(measurement)), ("reports", json!(reports))])?,
            Format::Ndjson => {
                let missed = reports.iter().filter(|report| !self.reported.contains(&report.job));
                missed
                    .clone()
                    .try_for_each(|report| screen.record(vec![("event", json!("report")), ("data", json!(report))]))?;
            }
        }
        Ok(exit_of(&measurement.jobs, &reports))
    }
}

fn spec(arguments: &PingArgs) -> Value {
    let mut spec = json!({ "probe": "ping", "target": arguments.target });
    let options = [
        ("count", arguments.count.map(Value::from)),
        ("interval_ms", arguments.interval_ms.map(Value::from)),
        ("ttl", arguments.ttl.map(Value::from)),
        ("payload_bytes", arguments.size.map(Value::from)),
        ("df", arguments.df.then_some(Value::Bool(true))),
        ("af", arguments.af.clone().map(Value::from)),
    ];
    if let Value::Object(members) = &mut spec {
        members.extend(options.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))));
    }
    spec
}

async fn selection(arguments: &PingArgs, client: &Client, screen: &mut Screen<'_>) -> Result<Selection, Error> {
    let mut selection = Selection {
        count: arguments.limit,
        ..Selection::default()
    };
    if arguments.from.contains(&Origin::All) {
        if arguments.from.iter().any(|origin| *origin != Origin::All) {
            return Err(Error::Usage("--from all goes with no other --from"));
        }
        let (online, away): (Vec<_>, Vec<_>) = agents::all(client)
            .await?
            .into_iter()
            .filter(|agent| agent.state == "active")
            .partition(is_there);
        if !away.is_empty() {
            screen.say(&format!("left out because they are offline: {}", away.len()));
        }
        if online.is_empty() {
            return Err(Error::NoAgentOnline);
        }
        selection.agents = online.into_iter().map(|agent| agent.id).collect();
        return Ok(selection);
    }
    for origin in &arguments.from {
        match origin {
            Origin::All => {}
            Origin::Label(key, value) => {
                if selection.labels.insert(key.clone(), value.clone()).is_some_and(|before| before != *value) {
                    return Err(Error::Usage("no agent has two values of one label"));
                }
            }
            Origin::Agent(agent) => selection.agents.push(agent.clone()),
        }
    }
    Ok(selection)
}

fn is_there(agent: &control_api::agent::Agent) -> bool {
    matches!(agent.presence.as_str(), "online" | "late")
}

/// Asks for the measurement. An interrupt meanwhile does not lose its id, which is needed to cancel it.
async fn create(client: &Client, request: &CreateMeasurement, interrupt: impl Future<Output = ()>) -> Result<(Measurement, bool), Error> {
    let mut creating = pin!(client.create(&["measurements"], request));
    tokio::select! {
        biased;
        created = &mut creating => Ok((created?, false)),
        () = interrupt => {
            let created = tokio::time::timeout(CANCEL_TIMEOUT, creating).await.map_err(|_| ClientError::Timeout)?;
            Ok((created?, true))
        }
    }
}

async fn time_is_up(timeout: Option<u32>) {
    match timeout {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds.into())).await,
        None => std::future::pending().await,
    }
}

async fn give_up(ended: Ended, client: &Client, id: &str, replies: u32, format: Format, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let (why, exit) = match ended {
        Ended::TimeIsUp => ("no end in time", Exit::Timeout),
        Ended::Done | Ended::Interrupted => ("interrupted", Exit::Interrupted),
    };
    match cancel(client, id).await {
        Ok(measurement) => {
            screen.say(&format!("{why} after {replies} replies; measurement {id} is cancelled"));
            if format == Format::Json {
                screen.document(vec![("measurement", json!(measurement)), ("reports", json!([]))])?;
            }
        }
        Err(error) => screen.say(&format!("{why}, but measurement {id} could not be cancelled: {error}")),
    }
    Ok(exit)
}

async fn cancel(client: &Client, id: &str) -> Result<Measurement, ClientError> {
    let (path, body) = (["measurements", id, "cancel"], json!({}));
    let cancelling = client.post(&path, &body);
    tokio::time::timeout(CANCEL_TIMEOUT, cancelling).await.map_err(|_| ClientError::Timeout)?
}

fn read<T: DeserializeOwned>(message: &Message) -> Option<T> {
    serde_json::from_str(&message.data).ok()
}

/// How long an interrupted command waits for the control plane: somebody waits for the prompt.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
