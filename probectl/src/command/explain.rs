//! `probectl explain`: derives a report again from what it keeps, with the very code by which the agent judged.

use agent_paths::explain::{self, Derived};
use clap::Args;
use control_api::measurement::Measurement;
use control_api::report::ReportRecord;
use serde_json::json;
use shared_protocol::report::Report;
use shared_protocol::spec::ProbeSpec;

use crate::cli::Format;
use crate::client::Client;
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::output::{Cell, Line, Screen, ranges, table};

/// Which report to derive again.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The job's id; its measurement was asked for with `--raw`.
    pub job: String,
}

pub(super) async fn run(arguments: &ExplainArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let record: ReportRecord = client.get(&["reports", &arguments.job], &[]).await?;
    let measurement: Measurement = client.get(&["measurements", &record.report.measurement], &[]).await?;
    let spec = ProbeSpec::from_value(measurement.spec).map_err(|_| ClientError::Unreadable("the measurement's probe is not known to this version"))?;
    let report = &record.report.report;
    let derived = explain::derive(&spec, report)?;
    let same = derived.is_same(report);
    show(format, screen, report, &derived)?;
    Ok(if same { Exit::Ok } else { Exit::Conflict })
}

fn show(format: Format, screen: &mut Screen<'_>, report: &Report, derived: &Derived) -> Result<(), Error> {
    let same = derived.is_same(report);
    let rows: Vec<Vec<Cell>> = derived
        .grounds
        .iter()
        .map(|ground| vec![ground.statement.as_str().into(), ranges(ground.packets.iter().copied(), " ").into()])
        .collect();
    match format {
        Format::Table => {
            let (sent, came) = report.raw.as_ref().map(explain::packets).unwrap_or_default();
            screen.line(&format!("{sent} packets left and {came} came, as the report keeps them"))?;
            let verdict = &derived.verdict;
            screen.line(&format!("derived again: {} (fault: {})", verdict.status.as_str(), verdict.fault.as_str()))?;
            table(&COLUMNS, &rows).iter().try_for_each(|line| screen.line(line))?;
            let told = if same {
                Line::plain("the report is the same, byte for byte")
            } else {
                Line::warning("the report is not the same: it was changed, or made by another version")
            };
            screen.print(&told)?;
        }
        Format::Csv => screen.csv(&COLUMNS, &rows)?,
        Format::Markdown => screen.raw(crate::output::markdown(&COLUMNS, &rows).as_bytes())?,
        Format::Json | Format::Ndjson | Format::Prometheus => {
            let grounds: Vec<_> = derived
                .grounds
                .iter()
                .map(|ground| json!({"statement": ground.statement, "packets": ground.packets}))
                .collect();
            let verdict = json!({"status": derived.verdict.status, "fault": derived.verdict.fault, "error": derived.verdict.error});
            let members = vec![
                ("same", json!(same)),
                ("verdict", verdict),
                ("grounds", json!(grounds)),
                ("findings", json!(derived.findings)),
            ];
            if format == Format::Ndjson {
                screen.record(members)
            } else {
                screen.document(members)
            }?;
        }
    }
    Ok(())
}

const COLUMNS: [&str; 2] = ["statement", "packets"];
