//! `--dry-run`: what would be done, what it would cost, when it would start.

use control_api::measurement::{CreateMeasurement, Plan, PlannedJob};
use serde_json::json;

use crate::cli::Format;
use crate::client::Client;
use crate::command::{cell, usage};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Cell, Listing, Screen};

/// Asks for the plan alone, and shows it.
pub(super) async fn run(request: &CreateMeasurement, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let plan: Plan = client.post(&["measurements"], request).await?;
    match format {
        Format::Table => {
            screen.items(format, &listing(&plan.jobs))?;
            screen.line("")?;
            screen.line(&format!("cost {} agent-seconds; nothing was measured, nothing counts", plan.cost))?;
            screen.line("")?;
            screen.items(format, &usage::allowances(&plan.allowances))?;
        }
        Format::Json => screen.document(vec![("plan", json!(plan))])?,
        Format::Ndjson | Format::Csv | Format::Markdown | Format::Prometheus => screen.items(format, &listing(&plan.jobs))?,
    }
    Ok(Exit::Ok)
}

fn listing(jobs: &[PlannedJob]) -> Listing<'_, PlannedJob> {
    Listing {
        noun: "jobs",
        single: "job",
        items: jobs,
        columns: &["agent", "id", "cost", "cached", "estimated_start"],
        row: |job| {
            vec![
                job.agent_name.as_str().into(),
                job.agent.as_str().into(),
                Cell::from(job.cost),
                Cell::from(if job.cached { "yes" } else { "no" }),
                cell(job.estimated_start.as_ref()),
            ]
        },
    }
}
