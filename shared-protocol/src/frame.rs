//! The frames of a session: what the agent says and what the control plane says.

use serde::{Deserialize, Serialize};

use crate::end::RefuseReason;
use crate::event::ProbeEvent;
use crate::host::HostLoad;
use crate::id::{Attempt, IncarnationId, InstanceId, JobId, JobRef, Sequence};
use crate::spec::ProbeKind;
use crate::standing::{Configure, Configured, StandingHeld};
use crate::tier::ProbeLimits;
use crate::time::{MonotonicMicros, UnixMicros};

pub use crate::host::HostFacts;

/// What an agent says.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentFrame {
    /// Who it is; the first frame of a session.
    Hello(Box<Hello>),
    /// How much work it takes.
    Credit(Credit),
    /// It will run the job.
    Accept(JobRef),
    /// It will not run the job.
    Refuse(Refuse),
    /// Partial findings of a running job.
    Event(Event),
    /// A piece of a final answer.
    Report(ReportChunk),
    /// It is alive.
    Keepalive(AgentKeepalive),
    /// What standing work it has, and how that fares.
    Configured(Configured),
}

/// What the control plane says.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerFrame {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// Run this job.
    Run(Run),
    /// Take these jobs back.
    Cancel(Cancel),
    /// Reports up to here are on disk.
    Ack(Ack),
    /// It is alive.
    Keepalive(ServerKeepalive),
    /// Leave, and come back.
    Goaway(Goaway),
    /// What changed of its standing work.
    Configure(Configure),
}

/// Who the agent is and what it has in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions spoken, best first.
    pub versions: Vec<u16>,
    /// Version of the agent's program.
    pub agent_version: String,
    /// This run of the process.
    pub instance: InstanceId,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// What it runs on.
    pub host: HostFacts,
    /// Reports not yet acknowledged.
    pub outbox: OutboxState,
    /// Jobs accepted whose report is not yet acknowledged: running, or the report waits in the outbox.
    pub in_hand: Vec<JobRef>,
    /// The standing work it has, at most [`crate::limits::STANDING_ITEMS`]; absent where it does not know what that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Vec<StandingHeld>>,
}

/// Whether the agent can run a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// The probe.
    pub probe: ProbeKind,
    /// How well.
    pub level: CapabilityLevel,
    /// What is missing, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Of `observe`, how well each observation can be made; at most [`crate::limits::OBSERVATIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<ObservationCapability>,
}

/// How well an agent can make an observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationCapability {
    /// The observation's name; agents of later versions have more of them.
    pub observation: String,
    /// How well.
    pub level: CapabilityLevel,
    /// What is missing, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How well an agent can run a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityLevel {
    /// As designed.
    Full,
    /// With something missing, which reports say.
    Degraded,
    /// Not at all.
    Unavailable,
}

/// Reports not yet acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxState {
    /// This life of the outbox.
    pub incarnation: IncarnationId,
    /// The oldest report held; equal to `next_seq` when none is.
    pub first_seq: Sequence,
    /// The number the next report gets.
    pub next_seq: Sequence,
    /// Records that could not be read and were set aside.
    #[serde(default)]
    pub set_aside: u64,
}

/// Cumulative agent-seconds of work granted in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The sum of all grants since `hello`: capacity less what was running then, and the cost of each job that ended since.
    pub granted: u64,
}

/// The agent will not run a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// The job.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
    /// Why not.
    pub reason: RefuseReason,
    /// One sentence for people; names the policy's rule where it was that.
    pub message: String,
}

/// Partial findings of a running job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The job.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
    /// Number of the first finding in this frame, counted from 0 within the attempt.
    pub n: u64,
    /// The findings, in order.
    pub findings: Vec<ProbeEvent>,
}

/// A piece of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportChunk {
    /// Number of the whole report in the outbox.
    pub seq: Sequence,
    /// The job it answers.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
    /// Number of the piece, from 0.
    pub n: u32,
    /// Whether it is the last piece.
    pub last: bool,
    /// The piece: text of the report's JSON.
    pub data: String,
}

/// The agent is alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentKeepalive {
    /// Counts keepalives of this session, from 1.
    pub seq: u64,
    /// The agent's monotonic clock.
    pub monotonic_us: MonotonicMicros,
    /// Reports not yet acknowledged.
    pub outbox_depth: u64,
    /// Jobs running.
    pub running: u32,
    /// Work it takes at once, agent-seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// How busy its host is; absent where nothing was read since the keepalive before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Box<HostLoad>>,
}

/// The answer to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Protocol version chosen.
    pub version: u16,
    /// The control plane's wall clock.
    pub server_time_us: UnixMicros,
    /// Reports of this outbox up to here are on disk.
    pub ack: Ack,
    /// Jobs of `in_hand` that stay the agent's.
    pub readopted: Vec<JobRef>,
    /// Jobs of `in_hand` that nobody waits for any more: cancelled or ended.
    pub drop: Vec<JobId>,
    /// Time between two keepalives, milliseconds, before jitter.
    pub keepalive_ms: u32,
}

/// Run a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The job.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
    /// What to do. Kept as it came: one that this agent cannot read is refused, and does not end the session.
    pub spec: serde_json::Value,
    /// What it counts against credit, agent-seconds.
    pub cost: u32,
    /// Time left to its deadline; relative, so that no clocks have to agree.
    pub remaining_ms: u64,
    /// What the tenant's tier allows the probe; the agent refuses what exceeds it. Absent where nothing is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProbeLimits>,
}

/// Take jobs back; those not in hand are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The jobs.
    pub jobs: Vec<JobId>,
}

/// Reports up to here are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The life of the outbox that is meant.
    pub incarnation: IncarnationId,
    /// The longest prefix committed.
    pub up_to: Sequence,
}

/// The control plane is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeepalive {
    /// The agent's keepalive that this answers; absent where it answers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
}

/// Leave, and come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goaway {
    /// Leave within this time, milliseconds.
    pub within_ms: u32,
    /// Come back after this time, milliseconds.
    pub retry_after_ms: u32,
}
