//! `probectl jobs`.

use clap::{Args, Subcommand};
use control_api::job::Job;
use serde_json::json;

use super::{cell, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Listing, Screen};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, newest first.
    List(JobFilter),
    /// Show one job.
    Show {
        /// Its id.
        job: String,
    },
    /// Take a job back.
    Cancel {
        /// Its id.
        job: String,
    },
}

/// Which jobs to list.
#[derive(Debug, Args)]
pub struct JobFilter {
    /// Options of every list.
    #[command(flatten)]
    pub list: ListArgs,
    /// Only jobs of this measurement.
    #[arg(long, value_name = "ID")]
    pub measurement: Option<String>,
    /// Only jobs of this agent.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
}

pub(super) async fn run(command: JobsCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        JobsCommand::List(filter) => {
            let query: Vec<(&str, &str)> = [("measurement", &filter.measurement), ("agent", &filter.agent)]
                .into_iter()
                .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
                .collect();
            let limit = filter.list.limit;
            let listed = client.list::<Job>(&["jobs"], &query, PAGE.min(limit), limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        JobsCommand::Show { job } => show(format, screen, &client.get(&["jobs", &job], &[]).await?)?,
        JobsCommand::Cancel { job } => show(format, screen, &client.post(&["jobs", &job, "cancel"], &json!({})).await?)?,
    }
    Ok(Exit::Ok)
}

/// How a list of jobs looks.
pub(super) fn listing(jobs: &[Job]) -> Listing<'_, Job> {
    Listing {
        noun: "jobs",
        single: "job",
        items: jobs,
        columns: &["id", "agent", "state", "reason", "attempt", "accepted", "ended"],
        row: |job| {
            vec![
                job.id.as_str().into(),
                job.agent_name.as_str().into(),
                job.state.as_str().into(),
                cell(job.reason.as_ref()),
                job.attempt.into(),
                job.created_at.into(),
                cell(job.ended_at.as_ref()),
            ]
        },
    }
}

fn show(format: Format, screen: &mut Screen<'_>, job: &Job) -> Result<(), Error> {
    let fields = [
        ("id", job.id.as_str().into()),
        ("measurement", job.measurement.as_str().into()),
        ("agent", format!("{} ({})", job.agent_name, job.agent).into()),
        ("state", job.state.as_str().into()),
        ("reason", cell(job.reason.as_ref())),
        ("attempt", job.attempt.into()),
        ("accepted", job.created_at.into()),
        ("deadline", job.deadline_at.into()),
        ("cancel requested", cell(job.cancel_requested_at.as_ref())),
        ("ended", cell(job.ended_at.as_ref())),
    ];
    Ok(screen.item(format, &listing(std::slice::from_ref(job)), &fields)?)
}
