//! Shows a measurement's events as they come, and its reports when all have ended, in the format asked for.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use control_api::measurement::{JobReport, Measurement};
use control_api::stream::Finding;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared_protocol::spec::ProbeKind;
use tokio::time::MissedTickBehavior;

use super::Keep;
use crate::cli::Format;
use crate::client::Client;
use crate::command::measurements::REPORTS_PAGE;
use crate::command::outcome::exit_of;
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::follow::{Follow, Patience, patiently};
use crate::output::Screen;
use crate::output::probe::details;
use crate::output::tell::{Told, print};
use crate::output::view::{View, report_row, target_of};
use crate::sse::Message;

/// A measurement under way.
#[derive(Debug)]
pub(super) struct Watch {
    format: Format,
    probe: ProbeKind,
    view: View,
    reported: BTreeSet<String>,
}

impl Watch {
    pub(super) fn new(format: Format, probe: ProbeKind, measurement: &Measurement) -> Self {
        Self {
            format,
            probe,
            view: View::new(probe, measurement),
            reported: BTreeSet::new(),
        }
    }

    /// Follows the events to their end.
    pub(super) async fn run(&mut self, client: &Client, id: &str, screen: &mut Screen<'_>) -> Result<(), Error> {
        let mut follow = Follow::new(client, id, Patience::USUAL);
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = {
                let mut next = pin!(follow.next());
                loop {
                    tokio::select! {
                        message = &mut next => break message?,
                        _ = redraw.tick() => self.draw(screen)?,
                    }
                }
            };
            match message {
                Some(message) => self.message(screen, &message)?,
                None => return Ok(()),
            }
        }
    }

    /// Nobody waits any more: what is drawn stays as it is.
    pub(super) fn stop(&mut self, screen: &mut Screen<'_>) -> Result<(), Error> {
        if self.format == Format::Table {
            self.view.finish(screen)?;
        }
        Ok(())
    }

    /// Findings shown so far.
    pub(super) const fn findings(&self) -> u32 {
        self.view.findings
    }

    /// Every job has ended: shows what the events left out, and says how it went.
    pub(super) async fn finish(&mut self, client: &Client, id: &str, keep: Keep<'_>, screen: &mut Screen<'_>) -> Result<Exit, Error> {
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
                self.view.finish(screen)?;
            }
            Format::Json => screen.document(vec![("measurement", json!(measurement)), ("reports", json!(reports))])?,
            Format::Ndjson => {
                let missed = reports.iter().filter(|report| !self.reported.contains(&report.job));
                missed
                    .clone()
                    .try_for_each(|report| screen.record(vec![("event", json!("report")), ("data", json!(report))]))?;
            }
            Format::Csv | Format::Markdown | Format::Prometheus => {
                let tell = |job: &control_api::job::Job| {
                    let report = reports.iter().find(|report| report.job == job.id);
                    Told {
                        agent: job.agent_name.clone(),
                        row: report_row(Some(self.probe), &job.agent_name, &job.id, report, &job.state, job.reason.as_ref()),
                        details: report.and_then(JobReport::findings).and_then(details),
                    }
                };
                let told: Vec<Told> = measurement.jobs.iter().map(tell).collect();
                print(self.format, Some(self.probe), &target_of(&measurement), &told, screen)?;
            }
        }
        keep(&measurement.jobs, &reports)?;
        Ok(exit_of(&measurement.jobs, &reports))
    }

    fn draw(&mut self, screen: &mut Screen<'_>) -> Result<(), Error> {
        match self.format {
            Format::Table => Ok(self.view.draw(screen)?),
            Format::Json | Format::Ndjson | Format::Csv | Format::Markdown | Format::Prometheus => Ok(()),
        }
    }

    fn message(&mut self, screen: &mut Screen<'_>, message: &Message) -> Result<(), Error> {
        match self.format {
            Format::Ndjson => {
                let data: Value = serde_json::from_str(&message.data).map_err(|_| ClientError::Unreadable("an event is not JSON"))?;
                if message.event == "report" {
                    self.reported.extend(data.get("job").and_then(Value::as_str).map(str::to_owned));
                }
                Ok(screen.record(vec![("event", json!(message.event)), ("data", data)])?)
            }
            // What a newer control plane tells in a way unknown here is left out: the report has it again.
            Format::Table => {
                match message.event.as_str() {
                    "snapshot" => read(message).iter().for_each(|measurement| self.view.measurement(measurement)),
                    "finding" => read::<Finding>(message).iter().try_for_each(|finding| self.view.finding(screen, finding))?,
                    "report" => read::<JobReport>(message).iter().try_for_each(|report| self.view.report(screen, report))?,
                    _ => {}
                }
                Ok(())
            }
            Format::Json | Format::Csv | Format::Markdown | Format::Prometheus => Ok(()),
        }
    }
}

fn read<T: DeserializeOwned>(message: &Message) -> Option<T> {
    serde_json::from_str(&message.data).ok()
}

/// Shortest time between two drawings of the table of agents.
const REDRAW: Duration = Duration::from_millis(100);
