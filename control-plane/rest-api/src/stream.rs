//! The live stream of a measurement (Server-Sent Events): the names of its events and their data.

use serde::{Deserialize, Serialize};
use shared_protocol::event::ProbeEvent;
use utoipa::ToSchema;

use crate::measurement::{JobReport, Measurement};

/// One event of a measurement's stream; `event:` carries the variant's name, `data:` its content.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "an event is written out at once, never kept")]
pub enum StreamEvent {
    /// The measurement as it stands; sent first, and again where a resume points before what is kept.
    Snapshot(Measurement),
    /// A job changed its state.
    Job(JobChange),
    /// A partial finding.
    Finding(Finding),
    /// The final answer of one job.
    Report(JobReport),
    /// Every job has ended; the stream closes.
    Done(Done),
}

impl StreamEvent {
    /// The name in the `event:` line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Job(_) => "job",
            Self::Finding(_) => "finding",
            Self::Report(_) => "report",
            Self::Done(_) => "done",
        }
    }
}

/// A job changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobChange {
    /// The job.
    pub job: String,
    /// The agent that runs it.
    pub agent: String,
    /// `queued`, `leased`, `running`, or its end.
    pub state: String,
    /// Why it ended like this, where the end does not say it.
    pub reason: Option<String>,
    /// How often it was handed out.
    pub attempt: u32,
}

/// A partial finding of a running job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The job.
    pub job: String,
    /// The agent.
    pub agent: String,
    /// Its number within the attempt, from 0.
    pub n: u64,
    /// What was found.
    #[schema(value_type = Object)]
    pub finding: ProbeEvent,
}

/// Every job of a measurement has ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// The measurement.
    pub measurement: String,
}
