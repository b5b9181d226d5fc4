//! `probectl reports`.

use clap::{Args, Subcommand};
use control_api::report::ReportRecord;

use super::{cell, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::Client;
use crate::command::measurements::REPORTS_PAGE;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Cell, Listing, Screen};

/// What to do with reports.
#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// List reports, newest first.
    List {
        /// Options of every list.
        #[command(flatten)]
        list: ListArgs,
        /// Which reports.
        #[command(flatten)]
        filter: ReportFilterArgs,
    },
    /// Show the report of a job.
    Show {
        /// The job's id.
        job: String,
    },
    /// Take out every report that matches, as CSV, JSON or (without `-o`) one JSON document a line.
    Export {
        /// Which reports.
        #[command(flatten)]
        filter: ReportFilterArgs,
    },
}

/// Which reports are meant.
#[derive(Debug, Args)]
pub struct ReportFilterArgs {
    /// Only of this measurement.
    #[arg(long, value_name = "ID")]
    pub measurement: Option<String>,
    /// Only of this agent.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Only of this probe.
    #[arg(long, value_name = "NAME")]
    pub probe: Option<String>,
    /// Only about this target, with its port where it has one.
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Only with this verdict: ok, degraded, failed or timeout.
    #[arg(long, value_name = "VERDICT")]
    pub status: Option<String>,
    /// Only with this fault: none, target, path, resolver, agent, policy or control.
    #[arg(long, value_name = "FAULT")]
    pub fault: Option<String>,
    /// Only of work accepted at or after this instant.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only of work accepted before this instant.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only reports that came after their job had ended without them.
    #[arg(long)]
    pub late: bool,
}

impl ReportFilterArgs {
    fn query(&self) -> Vec<(&str, &str)> {
        let given = [
            ("measurement", &self.measurement),
            ("agent", &self.agent),
            ("probe", &self.probe),
            ("target", &self.target),
            ("status", &self.status),
            ("fault", &self.fault),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let mut query: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
        query.extend(self.late.then_some(("late", "true")));
        query
    }
}

pub(super) async fn run(command: ReportsCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        ReportsCommand::List { list, filter } => {
            let listed = client
                .list::<ReportRecord>(&["reports"], &filter.query(), REPORTS_PAGE.min(list.limit), list.limit)
                .await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        ReportsCommand::Show { job } => show(format, screen, &client.get(&["reports", &job], &[]).await?)?,
        ReportsCommand::Export { filter } => {
            let mut query = filter.query();
            query.push((
                "format",
                match format {
                    Format::Csv => "csv",
                    Format::Json => "json",
                    Format::Ndjson | Format::Table | Format::Markdown | Format::Prometheus => "ndjson",
                },
            ));
            let mut lines = client.lines(&["reports", "export"], &query).await?;
            while let Some(line) = lines.next(client).await? {
                screen.line(&line)?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn listing(reports: &[ReportRecord]) -> Listing<'_, ReportRecord> {
    Listing {
        noun: "reports",
        single: "report",
        items: reports,
        columns: &["job", "agent", "probe", "target", "status", "fault", "measured", "late"],
        row: |record| {
            vec![
                record.report.job.as_str().into(),
                record.report.agent.as_str().into(),
                record.probe.as_str().into(),
                record.target.as_str().into(),
                record.report.report.status.as_str().into(),
                record.report.report.fault.as_str().into(),
                record.measured_at.into(),
                yes(record.report.late),
            ]
        },
    }
}

fn show(format: Format, screen: &mut Screen<'_>, record: &ReportRecord) -> Result<(), Error> {
    let report = &record.report.report;
    let fields = [
        ("job", record.report.job.as_str().into()),
        ("measurement", record.report.measurement.as_str().into()),
        ("agent", record.report.agent.as_str().into()),
        ("probe", record.probe.as_str().into()),
        ("target", record.target.as_str().into()),
        ("status", report.status.as_str().into()),
        ("fault", report.fault.as_str().into()),
        ("error", cell(report.error.as_ref().map(|error| &error.message))),
        ("measured", record.measured_at.into()),
        ("received", record.report.received_at.into()),
        ("late", yes(record.report.late)),
        ("skewed", yes(record.skewed)),
        ("duration", Cell::Micros(report.duration_us)),
    ];
    Ok(screen.item(format, &listing(std::slice::from_ref(record)), &fields)?)
}

fn yes(value: bool) -> Cell {
    if value { "yes" } else { "no" }.into()
}
