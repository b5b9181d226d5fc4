//! `probectl measurements`.

use clap::Subcommand;
use control_api::measurement::{JobReport, Measurement};
use serde_json::json;

use super::{cell, jobs, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::probe::details;
use crate::output::tell::{Told, print};
use crate::output::view::{kind_of, report_row, target_of};
use crate::output::{Cell, Listing, Screen};

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
            reports(&measurement, &list, format, client, screen).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Reports asked for in one page: they can be long.
pub(super) const REPORTS_PAGE: u32 = 50;

async fn reports(id: &str, list: &ListArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let path = ["measurements", id, "reports"];
    let listed = client.list::<JobReport>(&path, &[], REPORTS_PAGE.min(list.limit), list.limit).await?;
    say_if_more(screen, &listed);
    let measurement: Option<Measurement> = match format {
        Format::Table | Format::Csv | Format::Markdown | Format::Prometheus => Some(client.get(&["measurements", id], &[]).await?),
        Format::Json | Format::Ndjson => None,
    };
    match format {
        Format::Json => screen.document(vec![("reports", json!(listed.items))])?,
        Format::Ndjson => listed.items.iter().try_for_each(|report| screen.record(vec![("report", json!(report))]))?,
        Format::Table | Format::Csv | Format::Markdown | Format::Prometheus => {
            let kind = measurement.as_ref().and_then(kind_of);
            let target = measurement.as_ref().map(target_of).unwrap_or_default();
            let jobs = measurement.map(|measurement| measurement.jobs).unwrap_or_default();
            let name = |agent: &str| {
                jobs.iter()
                    .find(|job| job.agent == agent)
                    .map_or_else(|| agent.to_owned(), |job| job.agent_name.clone())
            };
            let told: Vec<Told> = listed
                .items
                .iter()
                .map(|report| Told {
                    agent: name(&report.agent),
                    row: report_row(kind, &name(&report.agent), &report.job, Some(report), "", None),
                    details: report.findings().and_then(details),
                })
                .collect();
            print(format, kind, &target, &told, screen)?;
        }
    }
    Ok(())
}

fn listing(measurements: &[Measurement]) -> Listing<'_, Measurement> {
    Listing {
        noun: "measurements",
        single: "measurement",
        items: measurements,
        columns: &["id", "state", "probe", "target", "jobs", "accepted"],
        row: |measurement| {
            vec![
                measurement.id.as_str().into(),
                measurement.state.as_str().into(),
                probe(measurement),
                target_of(measurement).into(),
                measurement.jobs.len().into(),
                measurement.created_at.into(),
            ]
        },
    }
}

pub(super) fn show(format: Format, screen: &mut Screen<'_>, measurement: &Measurement) -> Result<(), Error> {
    let fields: [(&str, Cell); 7] = [
        ("id", measurement.id.as_str().into()),
        ("state", measurement.state.as_str().into()),
        ("probe", probe(measurement)),
        ("target", target_of(measurement).into()),
        ("accepted", measurement.created_at.into()),
        ("deadline", measurement.deadline_at.into()),
        ("estimated start", cell(measurement.estimated_start.as_ref())),
    ];
    screen.item(format, &listing(std::slice::from_ref(measurement)), &fields)?;
    if format == Format::Table {
        screen.line("")?;
        screen.items(format, &jobs::listing(&measurement.jobs))?;
    }
    Ok(())
}

fn probe(measurement: &Measurement) -> Cell {
    cell(measurement.spec.get("probe").and_then(serde_json::Value::as_str).map(str::to_owned).as_ref())
}
