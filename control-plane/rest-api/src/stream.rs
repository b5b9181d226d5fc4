//! The live streams: of one measurement (Server-Sent Events), and of everything a tenant follows (WebSocket).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared_protocol::event::ProbeEvent;
use shared_protocol::fault::ProblemCode;
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
    /// Name of the snapshot.
    pub const SNAPSHOT: &'static str = "snapshot";
    /// The name of the event after which none follows.
    pub const DONE: &'static str = "done";

    /// The name in the `event:` line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => Self::SNAPSHOT,
            Self::Job(_) => "job",
            Self::Finding(_) => "finding",
            Self::Report(_) => "report",
            Self::Done(_) => Self::DONE,
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

/// Something that happened in a tenant, whatever measurement it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum TenantEvent {
    /// A job has its end.
    JobEnded(JobEnded),
    /// An agent came or went.
    Presence(AgentPresence),
}

impl TenantEvent {
    /// Name of a job's end.
    pub const JOB_ENDED: &'static str = "job_ended";
    /// Name of an agent's coming or going.
    pub const PRESENCE: &'static str = "presence";

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::JobEnded(_) => Self::JOB_ENDED,
            Self::Presence(_) => Self::PRESENCE,
        }
    }
}

/// A job has its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobEnded {
    /// The job.
    pub job: String,
    /// Its measurement.
    pub measurement: String,
    /// The agent it was for.
    pub agent: String,
    /// Its end: `completed`, `failed`, `expired`, `cancelled` or `refused`.
    pub state: String,
    /// Why it ended like this, where the end does not say it.
    pub reason: Option<String>,
}

/// Whether an agent is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentPresence {
    /// The agent.
    pub agent: String,
    /// `online` or `offline`; in a snapshot also `late` and `never`.
    pub presence: String,
}

/// What a client of the WebSocket sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamRequest {
    /// Follow something.
    Subscribe(Wish),
    /// Follow it no more.
    Unsubscribe(Wish),
}

/// What is to be followed: a measurement or a topic, one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// A measurement, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<String>,
    /// Something of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicName>,
    /// The `id` of the last event received, to go on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Wish {
    /// The one thing that is meant; none where it is not exactly one.
    pub fn subject(&self) -> Option<Subject> {
        match (&self.measurement, self.topic) {
            (Some(id), None) => Some(Subject::Measurement(id.clone())),
            (None, Some(topic)) => Some(Subject::Topic(topic)),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// A topic of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopicName {
    /// Ends of jobs.
    Jobs,
    /// Agents that come and go.
    Agents,
}

/// What can be followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A measurement.
    Measurement(String),
    /// Something of the tenant.
    Topic(TopicName),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement(id) => write!(formatter, "measurement:{id}"),
            Self::Topic(TopicName::Jobs) => formatter.write_str("jobs"),
            Self::Topic(TopicName::Agents) => formatter.write_str("agents"),
        }
    }
}

/// One message of the WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamMessage {
    /// Counts the messages of the connection, from 1.
    pub seq: u64,
    /// `measurement:ID`, `jobs` or `agents`; empty in an answer to what could not be read.
    pub topic: String,
    /// `subscribed`, `unsubscribed`, `error`, `snapshot`, or the name of what happened.
    pub event: String,
    /// Give it back as `after` to go on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happened; of an error its `code` and `detail`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub data: Value,
}

/// Why a request of the WebSocket was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamFault {
    /// The stable code.
    #[schema(value_type = String)]
    pub code: ProblemCode,
    /// What to do.
    pub detail: String,
}

impl StreamMessage {
    /// A message about a subject, without data.
    pub fn about(topic: impl fmt::Display, event: &str) -> Self {
        Self {
            seq: 0,
            topic: topic.to_string(),
            event: event.to_owned(),
            id: None,
            data: Value::Null,
        }
    }

    /// The answer to a request that is not carried out.
    pub fn refusal(topic: impl fmt::Display, code: ProblemCode, detail: impl Into<String>) -> Self {
        let fault = StreamFault { code, detail: detail.into() };
        Self {
            data: serde_json::to_value(fault).unwrap_or_default(),
            ..Self::about(topic, "error")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_means_exactly_one_thing() {
        let wish = |text: &str| match serde_json::from_str::<StreamRequest>(text) {
            Ok(StreamRequest::Subscribe(wish)) => wish.subject().map(|subject| subject.to_string()),
            Ok(StreamRequest::Unsubscribe(_)) | Err(_) => None,
        };
        assert_eq!(wish(r#"{"subscribe":{"measurement":"m"}}"#).as_deref(), Some("measurement:m"));
        assert_eq!(wish(r#"{"subscribe":{"topic":"jobs","after":"x"}}"#).as_deref(), Some("jobs"));
        for bad in [
            r#"{"subscribe":{}}"#,
            r#"{"subscribe":{"measurement":"m","topic":"jobs"}}"#,
            r#"{"subscribe":{"topic":"everything"}}"#,
            r#"{"subscribe":{"topic":"jobs","tenant":"t"}}"#,
            r#"{"subscribe":{"topic":"jobs"},"unsubscribe":{"topic":"jobs"}}"#,
            "[]",
        ] {
            assert_eq!(wish(bad), None, "{bad}");
        }
    }
}
