//! The control plane's end of one session.

use std::collections::VecDeque;

use crate::close::CloseReason;
use crate::codec::{self, Decoded, InvalidFrame};
use crate::event::ProbeEvent;
use crate::frame::{Ack, AgentFrame, AgentKeepalive, Credit, Event, Goaway, Hello, Refuse, ReportChunk, Run, Welcome};
use crate::id::{JobId, JobRef, Sequence};
use crate::limits::{HELLO_TIMEOUT, KEEPALIVE_INTERVAL, SUPPORTED_VERSIONS};
use crate::session::Jitter;
use crate::session::liveness::Liveness;
use crate::session::rate::Taken;
use crate::standing::{Configure, Configured};
use crate::time::MonotonicMicros;

mod intake;
mod outgoing;
mod reassembly;

use intake::Intake;
use outgoing::{Full, Outgoing};
use reassembly::Reassembly;

/// The control plane's end of one connection; see [`crate::session`] for how it is driven. Small while idle: buffers exist only in use.
#[derive(Debug)]
pub struct ServerSession {
    phase: Phase,
    hello_by: MonotonicMicros,
    liveness: Liveness,
    intake: Intake,
    granted: u64,
    before_outbox: Sequence,
    reassembly: Reassembly,
    outgoing: Outgoing,
    effects: VecDeque<ServerEffect>,
    ignored: u64,
}

/// What the session wants the control plane to do.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEffect {
    /// An agent presents itself; answer with [`ServerSession::welcome`] or [`ServerSession::close`].
    Hello(Box<Hello>),
    /// The agent takes jobs as long as the costs of all `run`s of this session add up to at most this; never less than before.
    Credit {
        /// The sum, agent-seconds.
        granted: u64,
    },
    /// The agent will run the job. Not checked against what was handed out: the lease decides.
    Accepted(JobRef),
    /// The agent will not run the job; its cost comes back as credit. Not checked against what was handed out: the lease decides.
    Refused(Refuse),
    /// Partial findings of a job in the agent's hand.
    Finding {
        /// The job.
        job: JobRef,
        /// Number of the first finding, counted from 0 within the attempt; a gap means that some were dropped.
        n: u64,
        /// The findings, in order.
        findings: Vec<ProbeEvent>,
    },
    /// A whole report, once a session for each `seq`, in order. Store it, then answer with [`ServerSession::ack`].
    Report {
        /// Its number in the agent's outbox.
        seq: Sequence,
        /// The job it answers. Not checked against what was handed out: the store decides.
        job: JobRef,
        /// The report's JSON, not yet read.
        body: String,
    },
    /// The agent is alive; the answer is on its way.
    Keepalive(AgentKeepalive),
    /// All standing work that the agent has, and how it fares.
    Configured(Configured),
    /// End the connection with this reason; the last effect.
    Close(CloseReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before `hello`.
    Accepted,
    /// After `hello`, before the answer of the control plane.
    Presented,
    Welcomed,
    Closed,
}

impl ServerSession {
    /// Starts a session on an accepted connection.
    pub fn new(jitter: Jitter, now: MonotonicMicros) -> Self {
        Self {
            phase: Phase::Accepted,
            hello_by: now.plus(HELLO_TIMEOUT),
            liveness: Liveness::new(KEEPALIVE_INTERVAL, jitter, now),
            intake: Intake::default(),
            granted: 0,
            before_outbox: Sequence::ZERO,
            reassembly: Reassembly::default(),
            outgoing: Outgoing::default(),
            effects: VecDeque::new(),
            ignored: 0,
        }
    }

    /// Takes a text frame.
    pub fn handle_text(&mut self, text: &str, now: MonotonicMicros) {
        if self.phase == Phase::Closed {
            return;
        }
        self.liveness.received(now);
        match codec::decode_agent(text) {
            Ok(Decoded::Frame(frame)) if self.intake.admit(&frame, now) == Taken::Token => self.handle_frame(frame),
            Ok(Decoded::Ignored) if self.intake.admit_message(now) == Taken::Token => self.ignored += 1,
            Ok(_) => self.close(CloseReason::TooFast),
            Err(InvalidFrame::Version) if self.phase == Phase::Accepted => self.close(CloseReason::NoCommonVersion),
            Err(_) => self.close(CloseReason::BadEnvelope),
        }
    }

    /// Notes that some bytes came, of whatever kind: the peer is alive.
    pub fn handle_received(&mut self, now: MonotonicMicros) {
        self.liveness.received(now);
    }

    /// Does what is due; called once the moment of [`ServerSession::poll_timeout`] has come, harmless at any other.
    pub fn handle_timeout(&mut self, now: MonotonicMicros) {
        if self.phase == Phase::Closed {
            return;
        }
        if self.liveness.is_silent(now) || (self.phase == Phase::Accepted && now >= self.hello_by) {
            return self.close(CloseReason::Silent);
        }
        if self.liveness.keepalive_is_due(now) {
            self.liveness.postpone(now);
            self.outgoing.keepalive(None);
        }
    }

    /// When [`ServerSession::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<MonotonicMicros> {
        let alive = self.liveness.deadline();
        match self.phase {
            Phase::Accepted => Some(alive.min(self.hello_by)),
            Phase::Presented | Phase::Welcomed => Some(alive),
            Phase::Closed => None,
        }
    }

    /// The next text to send; to be asked for when the one before has left.
    pub fn poll_transmit(&mut self, now: MonotonicMicros) -> Option<String> {
        if self.phase != Phase::Welcomed {
            return None;
        }
        let frame = self.outgoing.pop()?;
        self.liveness.postpone(now);
        Some(codec::encode_server(&frame))
    }

    /// The next thing the control plane must do.
    pub fn poll_effect(&mut self) -> Option<ServerEffect> {
        let effect = self.effects.pop_front();
        if effect.is_none() {
            self.effects = VecDeque::new();
        }
        effect
    }

    /// Answers `hello`.
    pub fn welcome(&mut self, welcome: Welcome, now: MonotonicMicros) {
        if self.phase != Phase::Presented {
            return;
        }
        self.phase = Phase::Welcomed;
        self.liveness.set_interval(welcome.keepalive_ms, now);
        self.reassembly.start_after(self.before_outbox.max(welcome.ack.up_to));
        for job in &welcome.readopted {
            self.intake.hand_out(*job);
        }
        self.outgoing.welcome(welcome);
    }

    /// Hands a job to the agent; the caller keeps within the credit granted.
    pub fn run(&mut self, run: Run) {
        if self.phase == Phase::Closed {
            return;
        }
        self.intake.hand_out(JobRef {
            job: run.job,
            attempt: run.attempt,
        });
        let pushed = self.outgoing.run(run);
        self.close_if_full(&pushed);
    }

    /// Takes jobs back; never overtakes a `run` that still waits.
    pub fn cancel(&mut self, jobs: Vec<JobId>) {
        if self.phase == Phase::Closed {
            return;
        }
        self.intake.take_back_all(&jobs);
        let pushed = self.outgoing.cancel(jobs);
        self.close_if_full(&pushed);
    }

    /// Says that reports are on disk; called after the commit only.
    pub fn ack(&mut self, ack: Ack) {
        self.reassembly.acknowledge(ack.up_to);
        self.outgoing.ack(ack);
    }

    /// Says what changed of the agent's standing work, in the order of the calls.
    pub fn configure(&mut self, configure: Configure) {
        if self.phase == Phase::Closed {
            return;
        }
        let pushed = self.outgoing.configure(configure);
        self.close_if_full(&pushed);
    }

    /// Asks the agent to leave and come back.
    pub fn goaway(&mut self, goaway: Goaway) {
        self.outgoing.goaway(goaway);
    }

    /// Ends the session.
    pub fn close(&mut self, reason: CloseReason) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.effects.push_back(ServerEffect::Close(reason));
            self.outgoing = Outgoing::default();
            self.reassembly = Reassembly::default();
            self.intake = Intake::default();
        }
    }

    /// How many frames of unknown types were ignored.
    pub fn ignored_frames(&self) -> u64 {
        self.ignored
    }

    fn handle_frame(&mut self, frame: AgentFrame) {
        match (self.phase, frame) {
            (Phase::Accepted, AgentFrame::Hello(hello)) => self.handle_hello(hello),
            (Phase::Presented | Phase::Welcomed, AgentFrame::Keepalive(keepalive)) => {
                self.outgoing.keepalive(Some(keepalive.seq));
                self.effect(ServerEffect::Keepalive(keepalive));
            }
            (Phase::Welcomed, AgentFrame::Credit(credit)) => self.handle_credit(credit),
            (Phase::Welcomed, AgentFrame::Accept(job)) => self.effect(ServerEffect::Accepted(job)),
            (Phase::Welcomed, AgentFrame::Refuse(refuse)) => self.handle_refuse(refuse),
            (Phase::Welcomed, AgentFrame::Event(event)) => self.handle_event(event),
            (Phase::Welcomed, AgentFrame::Report(chunk)) => self.handle_report(&chunk),
            (Phase::Welcomed, AgentFrame::Configured(configured)) => self.effect(ServerEffect::Configured(configured)),
            _ => self.close(CloseReason::ProtocolOrder),
        }
    }

    fn handle_hello(&mut self, hello: Box<Hello>) {
        if !hello.versions.iter().any(|version| SUPPORTED_VERSIONS.contains(version)) {
            return self.close(CloseReason::NoCommonVersion);
        }
        self.phase = Phase::Presented;
        self.before_outbox = Sequence::new(hello.outbox.first_seq.value().saturating_sub(1)).unwrap_or(Sequence::ZERO);
        self.effect(ServerEffect::Hello(hello));
    }

    fn handle_credit(&mut self, credit: Credit) {
        if credit.granted < self.granted {
            return self.close(CloseReason::ProtocolOrder);
        }
        if credit.granted > self.granted {
            self.granted = credit.granted;
            self.effect(ServerEffect::Credit { granted: credit.granted });
        }
    }

    fn handle_refuse(&mut self, refuse: Refuse) {
        self.intake.take_back(JobRef {
            job: refuse.job,
            attempt: refuse.attempt,
        });
        self.effect(ServerEffect::Refused(refuse));
    }

    fn handle_event(&mut self, event: Event) {
        let job = JobRef {
            job: event.job,
            attempt: event.attempt,
        };
        if self.intake.holds(job) {
            self.effect(ServerEffect::Finding {
                job,
                n: event.n,
                findings: event.findings,
            });
        }
    }

    fn handle_report(&mut self, chunk: &ReportChunk) {
        match self.reassembly.push(chunk) {
            Ok(Some(whole)) => {
                self.intake.take_back(whole.job);
                self.effect(ServerEffect::Report {
                    seq: whole.seq,
                    job: whole.job,
                    body: whole.body,
                });
            }
            Ok(None) => {}
            Err(reason) => self.close(reason),
        }
    }

    /// Keeps an effect. Those that wait are bounded by what one read can hold; a driver that does not drain them loses its session.
    fn effect(&mut self, effect: ServerEffect) {
        if self.effects.len() < EFFECTS {
            self.effects.push_back(effect);
        } else {
            self.close(CloseReason::TooFast);
        }
    }

    fn close_if_full(&mut self, pushed: &Result<(), Full>) {
        if pushed.is_err() {
            self.close(CloseReason::Busy { retry_after_ms: None });
        }
    }
}

/// Most effects that wait to be taken.
const EFFECTS: usize = 1_024;
