//! Probes that are made up: a job taken runs for a drawn time, finds something, and leaves a report in an outbox in memory, which is sent
//! again until it is acknowledged. No I/O and no clock: driven like the session machine it feeds.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::frame::{Capability, CapabilityLevel, Hello, HostFacts, OutboxState, Run};
use shared_protocol::id::{IncarnationId, InstanceId, JobId, JobRef, Sequence};
use shared_protocol::limits::PROTOCOL_VERSION;
use shared_protocol::session::AgentSession;
use shared_protocol::spec::ProbeKind;
use shared_protocol::time::{MonotonicMicros, UnixMicros};

/// How all made-up probes of a fleet behave.
#[derive(Debug, Clone)]
pub struct Probes {
    /// How long a job runs.
    pub runs: RangeInclusive<Duration>,
    /// Jobs taken at the same time, agent-seconds.
    pub capacity: u32,
    findings: Arc<str>,
}

/// One agent's made-up probes, and its reports that are not yet acknowledged.
#[derive(Debug)]
pub struct MadeUp {
    probes: Probes,
    random: StdRng,
    number: u32,
    running: BTreeSet<(MonotonicMicros, JobRef)>,
    outbox: VecDeque<(Sequence, JobRef, Arc<str>)>,
    next: Sequence,
    finished: u64,
}

impl Probes {
    /// Probes whose reports have at least so many bytes.
    pub fn new(runs: RangeInclusive<Duration>, capacity: u32, report_bytes: usize) -> Self {
        let mut packets = Vec::new();
        loop {
            packets.push(json!({"seq": packets.len(), "rtt_us": 31, "user_rtt_us": 55, "reply_ttl": 64, "bytes": 64}));
            let sent = packets.len();
            let findings = json!({
                "probe": "ping",
                "address": "127.0.0.1",
                "socket": "raw",
                "packets": packets,
                "statistics": {"sent": sent, "received": sent, "loss": 0.0, "duplicates": 0, "late": 0, "reordered": 0, "errors": 0},
                "agent_drops": 0,
            })
            .to_string();
            if findings.len() + HEAD_BYTES >= report_bytes {
                return Self {
                    runs,
                    capacity,
                    findings: findings.into(),
                };
            }
        }
    }
}

impl MadeUp {
    /// The probes of one agent; everything drawn depends on its number.
    pub fn new(probes: Probes, number: u32) -> Self {
        Self {
            probes,
            random: StdRng::seed_from_u64(u64::from(number)),
            number,
            running: BTreeSet::new(),
            outbox: VecDeque::new(),
            next: Sequence::ZERO.next(),
            finished: 0,
        }
    }

    /// What the agent says first in a session.
    pub fn hello(&self) -> Hello {
        let running = self.running.iter().map(|(_, job)| *job);
        Hello {
            versions: vec![PROTOCOL_VERSION],
            agent_version: "0".to_owned(),
            instance: instance(self.number),
            capabilities: vec![Capability {
                probe: ProbeKind::Ping,
                level: CapabilityLevel::Full,
                reason: None,
                remedy: None,
                observations: Vec::new(),
            }],
            host: HostFacts::default(),
            outbox: OutboxState {
                incarnation: IncarnationId::new(UnixMicros::from_micros(1), seed(self.number)),
                first_seq: self.outbox.front().map_or(self.next, |(seq, _, _)| *seq),
                next_seq: self.next,
                set_aside: 0,
            },
            in_hand: running.chain(self.outbox.iter().map(|(_, job, _)| *job)).collect(),
            standing: None,
        }
    }

    /// Jobs taken at the same time, agent-seconds.
    pub const fn capacity(&self) -> u32 {
        self.probes.capacity
    }

    /// Takes a job.
    pub fn run(&mut self, run: &Run, session: &mut AgentSession, now: MonotonicMicros) {
        let job = JobRef {
            job: run.job,
            attempt: run.attempt,
        };
        let (shortest, longest) = (*self.probes.runs.start(), *self.probes.runs.end());
        let lasting = shortest + longest.saturating_sub(shortest).mul_f64(self.random.random());
        self.running.insert((now.plus(lasting), job));
        session.accept(job);
    }

    /// Gives jobs up.
    pub fn cancel(&mut self, jobs: &[JobId]) {
        self.running.retain(|(_, job)| !jobs.contains(&job.job));
    }

    /// Finishes what is due, whether there is a session or not.
    pub fn advance(&mut self, mut session: Option<&mut AgentSession>, now: MonotonicMicros, wall: UnixMicros) {
        while let Some((_, job)) = self.running.first().copied().filter(|(at, _)| *at <= now) {
            self.running.pop_first();
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            if let Some(session) = session.as_deref_mut() {
                session.event(job, ProbeEvent::Ping(PingEvent::Resolved { address }), now);
                session.finished(job);
            }
            self.outbox.push_back((self.next, job, self.report(wall)));
            self.next = self.next.next();
            self.finished += 1;
        }
    }

    /// Gives the session reports while it has room for them.
    pub fn feed(&self, session: &mut AgentSession) {
        while let Some(after) = session.wants_reports_after() {
            let Some((seq, job, body)) = self.outbox.iter().find(|(seq, _, _)| *seq > after) else {
                return;
            };
            session.report(*seq, *job, Arc::clone(body));
            if session.wants_reports_after() == Some(after) {
                return;
            }
        }
    }

    /// Forgets what is on the control plane's disk.
    pub fn acknowledged(&mut self, up_to: Sequence) {
        while self.outbox.front().is_some_and(|(seq, _, _)| *seq <= up_to) {
            self.outbox.pop_front();
        }
    }

    /// Jobs whose reports wait for their acknowledgement.
    pub fn answered(&self) -> impl Iterator<Item = JobRef> {
        self.outbox.iter().map(|(_, job, _)| *job)
    }

    /// When [`MadeUp::advance`] is due.
    pub fn deadline(&self) -> Option<MonotonicMicros> {
        self.running.first().map(|(at, _)| *at)
    }

    /// Jobs that ended here, and reports not yet acknowledged.
    pub fn done(&self) -> (u64, usize) {
        (self.finished, self.outbox.len())
    }

    fn report(&self, wall: UnixMicros) -> Arc<str> {
        format!(
            r#"{{"schema_version":1,"status":"ok","fault":"none","started_at_us":{},"duration_us":900,"clock":{{}},"policy":{{"verdict":"allowed","rule":"lab"}},"findings":{}}}"#,
            wall.micros(),
            self.probes.findings
        )
        .into()
    }
}

/// The instance of a simulated agent: one run of its process.
fn instance(number: u32) -> InstanceId {
    InstanceId::new(UnixMicros::from_micros(1), seed(number))
}

fn seed(number: u32) -> [u8; 10] {
    let mut seed = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if let Some(end) = seed.last_chunk_mut() {
        *end = number.to_be_bytes();
    }
    seed
}

/// A report without its findings.
const HEAD_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::codec::decode_report;

    #[test]
    fn a_made_up_report_is_one_that_the_control_plane_reads() {
        let probes = Probes::new(Duration::ZERO..=Duration::ZERO, 4, 1_024);
        let report = MadeUp::new(probes, 1).report(UnixMicros::from_micros(1));
        assert!((1_000..1_200).contains(&report.len()), "{}", report.len());
        assert!(decode_report(&report).is_ok(), "{report}");
    }
}
