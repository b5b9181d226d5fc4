//! What every probe's command does: choose agents, ask for the measurement, watch it, say how it went. A probe adds its options only.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use control_api::job::Job;
use control_api::measurement::{CreateMeasurement, JobReport, Measurement};
use serde_json::{Value, json};
use shared_protocol::spec::ProbeKind;

mod plan;
mod selection;
mod watch;

pub(super) use selection::{Wanted, selection};
use watch::Watch;

use super::measurements;
use crate::cli::{Format, Origin, parse_label};
use crate::client::Client;
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::output::Screen;

/// Where a measurement runs, and how long it is waited for.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Where from, and how long")]
pub struct MeasureArgs {
    /// Where from: an agent's name or id, label:KEY=VALUE, or all; may be given more than once [default: any agent].
    #[arg(long, value_name = "ORIGIN")]
    pub from: Vec<Origin>,
    /// Only agents with this label; may be given more than once, and then all must hold.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    pub label: Vec<(String, String)>,
    /// Only agents in this region.
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// The agents of an earlier measurement.
    #[arg(long, value_name = "MEASUREMENT", conflicts_with_all = ["from", "label", "region"])]
    pub same_as: Option<String>,
    /// Most agents to use.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
    /// Give up, and cancel, after this many seconds [default: the measurement's deadline of 600 s, beside the time of an observation].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: Option<u32>,
    /// When the agent does not answer: none, transport (where the way to it was lost), or always:1 to always:5 [default: none].
    #[arg(long, value_name = "POLICY")]
    pub retry: Option<String>,
    /// Take a report of the very same question that is at most this many seconds old instead of a new run.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub max_age: Option<u32>,
    /// Only say which agents would run it, what it would cost, when it would start and what is left of the tier.
    #[arg(long, conflicts_with = "no_wait")]
    pub dry_run: bool,
    /// Print the measurement's id and do not wait for it.
    #[arg(long)]
    pub no_wait: bool,
}

impl MeasureArgs {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            from: &self.from,
            label: &self.label,
            region: self.region.as_deref(),
            same_as: self.same_as.as_deref(),
            limit: self.limit,
        }
    }
}

/// A probe with its options: only those that were given, so that the control plane's defaults count.
pub(super) fn spec(probe: ProbeKind, options: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let given = options.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    Value::Object(std::iter::once(("probe".to_owned(), json!(probe))).chain(given).collect())
}

/// What is done with all reports once they are shown.
pub(super) type Keep<'a> = &'a (dyn Fn(&[Job], &[JobReport]) -> Result<(), Error> + Sync);

/// Measures, and shows what is found.
pub(super) async fn run(
    asked: (ProbeKind, Value),
    arguments: &MeasureArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    run_and_keep(asked, &|_, _| Ok(()), arguments, format, client, screen, interrupt).await
}

/// The same, with something to do with the reports.
pub(super) async fn run_and_keep(
    (probe, spec): (ProbeKind, Value),
    keep: Keep<'_>,
    arguments: &MeasureArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let request = CreateMeasurement {
        spec,
        selection: selection(arguments.wanted(), client, screen).await?,
        deadline_s: arguments.timeout,
        retry: arguments.retry.clone(),
        max_age_s: arguments.max_age,
        dry_run: arguments.dry_run,
    };
    if request.dry_run {
        return plan::run(&request, format, client, screen).await;
    }
    let mut interrupt = pin!(interrupt);
    let (measurement, interrupted) = create(client, &request, interrupt.as_mut()).await?;
    let id = measurement.id.clone();
    if interrupted {
        return give_up(Ended::Interrupted, client, &id, 0, format, screen).await;
    }
    if arguments.no_wait {
        match format {
            Format::Table => screen.line(&id)?,
            Format::Json | Format::Ndjson | Format::Csv | Format::Markdown | Format::Prometheus => measurements::show(format, screen, &measurement)?,
        }
        return Ok(Exit::Ok);
    }
    let mut watch = Watch::new(format, probe, &measurement);
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
        Ended::Done => watch.finish(client, &id, keep, screen).await,
        Ended::Interrupted | Ended::TimeIsUp => {
            watch.stop(screen)?;
            give_up(ended, client, &id, watch.findings(), format, screen).await
        }
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

async fn give_up(ended: Ended, client: &Client, id: &str, findings: u32, format: Format, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let (why, exit) = match ended {
        Ended::TimeIsUp => ("no end in time", Exit::Timeout),
        Ended::Done | Ended::Interrupted => ("interrupted", Exit::Interrupted),
    };
    match cancel(client, id).await {
        Ok(measurement) => {
            screen.say(&format!("{why} after {findings} findings; measurement {id} is cancelled"));
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

/// How long an interrupted command waits for the control plane: somebody waits for the prompt.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
