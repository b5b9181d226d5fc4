//! `probectl usage`.

use clap::Args;
use control_api::usage::{Allowance, Usage, UsageOfDay};
use serde_json::json;

use super::cell;
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Cell, Listing, Screen};

/// Which days.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// First day (UTC), as 2026-11-01 [default: 29 days before the last].
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// Last day (UTC), at most 366 after the first [default: today].
    #[arg(long, value_name = "DAY")]
    pub to: Option<String>,
}

pub(super) async fn run(arguments: &UsageArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let days: Vec<(&str, &str)> = [("from", &arguments.from), ("to", &arguments.to)]
        .into_iter()
        .filter_map(|(name, day)| Some((name, day.as_deref()?)))
        .collect();
    let usage: Usage = client.get(&["usage"], &days).await?;
    match format {
        Format::Table => {
            screen.line(&format!("tier {}, {} to {} (UTC)", usage.tier, usage.from, usage.to))?;
            screen.line("")?;
            screen.items(format, &allowances(&usage.allowances))?;
            screen.line("")?;
            screen.items(format, &by_day(&usage.days))?;
        }
        Format::Json => screen.document(vec![("usage", json!(usage))])?,
        Format::Ndjson | Format::Csv | Format::Markdown | Format::Prometheus => screen.items(format, &by_day(&usage.days))?,
    }
    Ok(Exit::Ok)
}

/// What a tier allows, and what is left of it.
pub(super) fn allowances(allowances: &[Allowance]) -> Listing<'_, Allowance> {
    Listing {
        noun: "allowances",
        single: "allowance",
        items: allowances,
        columns: &["limit", "allowed", "used", "left", "resets"],
        row: |allowance| {
            vec![
                allowance.name.as_str().into(),
                Cell::within(allowance.limit, allowance.limit),
                Cell::Number(allowance.used),
                Cell::within(allowance.limit, allowance.left),
                cell(allowance.resets_at.as_ref()),
            ]
        },
    }
}

fn by_day(days: &[UsageOfDay]) -> Listing<'_, UsageOfDay> {
    Listing {
        noun: "days",
        single: "day",
        items: days,
        columns: &[
            "day",
            "measurements",
            "jobs",
            "cached_jobs",
            "cost",
            "completed",
            "failed",
            "expired",
            "cancelled",
            "refused",
            "agent_us",
            "report_bytes",
        ],
        row: |day| {
            let used = &day.used;
            std::iter::once(day.day.as_str().into())
                .chain(
                    [
                        used.measurements,
                        used.jobs,
                        used.cached_jobs,
                        used.cost,
                        used.completed,
                        used.failed,
                        used.expired,
                        used.cancelled,
                        used.refused,
                    ]
                    .map(Cell::Number),
                )
                .chain([Cell::Micros(used.agent_us), Cell::Number(used.report_bytes)])
                .collect()
        },
    }
}
