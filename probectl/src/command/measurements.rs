//! `probectl measurements`.

use clap::Subcommand;
use control_api::measurement::{JobReport, Measurement};
use serde_json::json;
use shared_protocol::report::Findings;

use super::{cell, jobs, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::ping::{milliseconds, word};
use crate::output::{Listing, Screen};

/// What to do with measurements.
#[derive(Debug, Subcommand)]
pub enum MeasurementsCommand {
    /// List measurements, newest first.
    List(ListArgs),
    /// Show one measurement with its jobs.
    Show {
        /// Its id.
        measurement: String,
    },
    /// Take all jobs of a measurement back.
    Cancel {
        /// Its id.
        measurement: String,
    },
    /// Show the reports of a measurement.
    Reports {
        /// Its id.
        measurement: String,
        /// Options of every list.
        #[command(flatten)]
        list: ListArgs,
    },
}

pub(super) async fn run(command: MeasurementsCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        MeasurementsCommand::List(list) => {
            let listed = client.list::<Measurement>(&["measurements"], &[], PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        MeasurementsCommand::Show { measurement } => show(format, screen, &client.get(&["measurements", &measurement], &[]).await?)?,
        MeasurementsCommand::Cancel { measurement } => {
            show(format, screen, &client.post(&["measurements", &measurement, "cancel"], &json!({})).await?)?;
        }
        MeasurementsCommand::Reports { measurement, list } => {
            let path = ["measurements", &measurement, "reports"];
            let listed = client.list::<JobReport>(&path, &[], REPORTS_PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &reports(&listed.items))?;
        }
    }
    Ok(Exit::Ok)
}

/// Reports asked for in one page: they can be long.
pub(super) const REPORTS_PAGE: u32 = 50;

fn listing(measurements: &[Measurement]) -> Listing<'_, Measurement> {
    Listing {
        noun: "measurements",
        single: "measurement",
        items: measurements,
        columns: &["id", "state", "probe", "target", "jobs", "accepted"],
        row: |measurement| {
            vec![
                measurement.id.clone(),
                measurement.state.clone(),
                option(measurement, "probe"),
                option(measurement, "target"),
                measurement.jobs.len().to_string(),
                measurement.created_at.to_string(),
            ]
        },
    }
}

fn reports(reports: &[JobReport]) -> Listing<'_, JobReport> {
    Listing {
        noun: "reports",
        single: "report",
        items: reports,
        columns: &["job", "agent", "status", "fault", "started", "loss", "rtt avg"],
        row: |report| {
            let statistics = report.findings().map(|Findings::Ping(findings)| &findings.statistics);
            let rtt = statistics.and_then(|statistics| statistics.rtt.as_ref().or(statistics.user_rtt.as_ref()));
            vec![
                report.job.clone(),
                report.agent.clone(),
                word(&report.report.status),
                word(&report.report.fault),
                report.started_at.to_string(),
                cell(statistics.map(|statistics| format!("{:.1} %", statistics.loss * 100.0)).as_ref()),
                cell(rtt.map(|rtt| format!("{} ms", milliseconds(rtt.avg_us))).as_ref()),
            ]
        },
    }
}

fn show(format: Format, screen: &mut Screen<'_>, measurement: &Measurement) -> Result<(), Error> {
    let fields = [
        ("id", measurement.id.clone()),
        ("state", measurement.state.clone()),
        ("probe", option(measurement, "probe")),
        ("target", option(measurement, "target")),
        ("accepted", measurement.created_at.to_string()),
        ("deadline", measurement.deadline_at.to_string()),
        ("estimated start", cell(measurement.estimated_start.as_ref())),
    ];
    screen.item(format, "measurement", measurement, &fields)?;
    if format == Format::Table {
        screen.line("")?;
        screen.items(format, &jobs::listing(&measurement.jobs))?;
    }
    Ok(())
}

fn option(measurement: &Measurement, name: &str) -> String {
    let value = measurement.spec.get(name).and_then(serde_json::Value::as_str);
    value.unwrap_or("-").to_owned()
}
