//! `probectl metrics`.

use clap::{Args, Subcommand};
use control_api::metric::{Latest, MetricPoint, Metrics};

use super::{cell, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Cell, Listing, Screen};

/// What to do with metrics.
#[derive(Debug, Subcommand)]
pub enum MetricsCommand {
    /// Show a metric over time.
    Show(ShowArgs),
    /// List the latest value of each metric of each agent about each target.
    Latest {
        /// Options of every list.
        #[command(flatten)]
        list: ListArgs,
        /// Only of this agent.
        #[arg(long, value_name = "ID")]
        agent: Option<String>,
        /// Only about this target.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// Only this metric.
        #[arg(long, value_name = "METRIC")]
        metric: Option<String>,
    },
}

/// Which metric, of which time.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// PROBE.NAME, as in `ping.rtt_avg_us`.
    pub metric: String,
    /// Whose; without it all agents together, by the hour.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Only about this target, with its port where it has one.
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// First instant [default: one hour before the last].
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Last instant [default: now].
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Length of each step, seconds; whole hours from 3600 on.
    #[arg(long, value_name = "SECONDS")]
    pub step: Option<u32>,
}

pub(super) async fn run(command: MetricsCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        MetricsCommand::Show(arguments) => {
            let metrics = ask(&arguments, client).await?;
            if metrics.more {
                screen.say("there are more series than an answer holds: name a target");
            }
            let rows: Vec<Row> = rows(&metrics);
            match format {
                Format::Json => screen.document(vec![("metrics", serde_json::json!(metrics))])?,
                Format::Ndjson | Format::Table | Format::Csv | Format::Markdown | Format::Prometheus => screen.items(format, &points(&rows))?,
            }
        }
        MetricsCommand::Latest { list, agent, target, metric } => {
            let query = given(&[("agent_id", &agent), ("target", &target), ("metric", &metric)]);
            let listed = client.list::<Latest>(&["metrics", "latest"], &query, PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &latest(&listed.items))?;
        }
    }
    Ok(Exit::Ok)
}

async fn ask(arguments: &ShowArgs, client: &Client) -> Result<Metrics, Error> {
    let step = arguments.step.map(|step| step.to_string());
    let mut query = vec![("metric", arguments.metric.as_str())];
    query.extend(given(&[
        ("agent_id", &arguments.agent),
        ("target", &arguments.target),
        ("from", &arguments.from),
        ("to", &arguments.to),
        ("step", &step),
    ]));
    Ok(client.get(&["metrics"], &query).await?)
}

fn given<'a>(parameters: &[(&'a str, &'a Option<String>)]) -> Vec<(&'a str, &'a str)> {
    parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect()
}

/// A point with whose it is.
#[derive(Debug, serde::Serialize)]
struct Row {
    agent: Option<String>,
    target: Option<String>,
    #[serde(flatten)]
    point: MetricPoint,
}

fn rows(metrics: &Metrics) -> Vec<Row> {
    let row = |series: &control_api::metric::MetricSeries| {
        let (agent, target) = (series.agent.clone(), series.target.clone());
        series
            .points
            .iter()
            .map(|point| Row {
                agent: agent.clone(),
                target: target.clone(),
                point: point.clone(),
            })
            .collect::<Vec<_>>()
    };
    metrics.series.iter().flat_map(row).collect()
}

fn points(rows: &[Row]) -> Listing<'_, Row> {
    Listing {
        noun: "points",
        single: "point",
        items: rows,
        columns: &["at", "agent", "target", "n", "min", "avg", "p50", "p95", "p99", "max"],
        row: |row| {
            let point = &row.point;
            let mut cells = vec![point.at.into(), cell(row.agent.as_ref()), cell(row.target.as_ref()), Cell::Number(point.n)];
            cells.extend([point.min, point.avg, point.p50, point.p95, point.p99, point.max].map(number));
            cells
        },
    }
}

fn latest(items: &[Latest]) -> Listing<'_, Latest> {
    Listing {
        noun: "metrics",
        single: "metric",
        items,
        columns: &["metric", "agent", "target", "value", "measured", "ok"],
        row: |latest| {
            vec![
                latest.metric.as_str().into(),
                cell(latest.agent.as_ref()),
                cell(latest.target.as_ref()),
                number(latest.value),
                latest.at.into(),
                if latest.ok { "yes" } else { "no" }.into(),
            ]
        },
    }
}

/// A value as a cell: as many digits as people read.
fn number(value: f64) -> Cell {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    text.into()
}
