//! The agent's end of one session.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::close::CloseReason;
use crate::codec::{self, Decoded, InvalidFrame};
use crate::end::RefuseReason;
use crate::event::ProbeEvent;
use crate::frame::{Ack, AgentFrame, AgentKeepalive, Credit, Goaway, Hello, OutboxState, Refuse, Run, ServerFrame, Welcome};
use crate::host::HostLoad;
use crate::id::{JobId, JobRef, Sequence};
use crate::limits::{HELLO_TIMEOUT, JOBS_IN_HAND, KEEPALIVE_INTERVAL};
use crate::session::Jitter;
use crate::session::liveness::Liveness;
use crate::standing::{Configure, Configured, StandingHeld};
use crate::time::MonotonicMicros;

mod events;
mod hand;
mod uplink;

use events::Events;
use hand::{Hand, Offer};
use uplink::{Acknowledged, Uplink};

/// The agent's end of one connection; see [`crate::session`] for how it is driven.
#[derive(Debug)]
pub struct AgentSession {
    phase: Phase,
    /// Until it is sent.
    hello: Option<Box<Hello>>,
    versions: Vec<u16>,
    outbox: OutboxState,
    welcome_by: MonotonicMicros,
    liveness: Liveness,
    keepalive_is_due: bool,
    keepalives: u64,
    running: u32,
    outbox_depth: u64,
    capacity: u32,
    /// Read since the last keepalive.
    load: Option<Box<HostLoad>>,
    outbox_is_behind: bool,
    hand: Hand,
    answers: VecDeque<AgentFrame>,
    /// What is to be said of the standing work: the latest says it all.
    standing: Option<Vec<StandingHeld>>,
    events: Events,
    uplink: Uplink,
    effects: VecDeque<AgentEffect>,
    ignored: u64,
}

/// What the session wants its agent to do.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEffect {
    /// The session stands. Jobs to give up follow as [`AgentEffect::Cancel`], reports already on disk as [`AgentEffect::Acked`].
    Welcomed(Welcome),
    /// Run this job, or not: answer with [`AgentSession::accept`] or [`AgentSession::refuse`].
    Run(Run),
    /// Stop these jobs; those not in hand mean nothing.
    Cancel(Vec<JobId>),
    /// Reports up to here are on disk; the outbox may forget them.
    Acked {
        /// The last of them.
        up_to: Sequence,
    },
    /// What changed of the standing work; answer with [`AgentSession::standing`] once it is kept.
    Configure(Configure),
    /// Leave, and come back.
    Goaway(Goaway),
    /// End the connection with this reason; the last effect.
    Close(CloseReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before `welcome`.
    Dialled,
    Welcomed,
    Closed,
}

impl AgentSession {
    /// Starts a session on a fresh connection; `hello` is what [`AgentSession::poll_transmit`] gives first.
    ///
    /// `capacity` is the work taken at once, agent-seconds. `hello.in_hand` names the jobs accepted whose report is not acknowledged: those
    /// running, then those in the outbox, read in this order, so that one which finishes in between is not missed and counted as lost.
    /// A job named twice counts once; of more than one `hello` may name, the last are left out.
    pub fn new(mut hello: Hello, capacity: u32, jitter: Jitter, now: MonotonicMicros) -> Self {
        let mut named = BTreeSet::new();
        hello.in_hand.retain(|job| named.insert(*job));
        hello.in_hand.truncate(JOBS_IN_HAND);
        Self {
            phase: Phase::Dialled,
            versions: hello.versions.clone(),
            outbox: hello.outbox.clone(),
            welcome_by: now.plus(HELLO_TIMEOUT),
            liveness: Liveness::new(KEEPALIVE_INTERVAL, jitter, now),
            keepalive_is_due: false,
            keepalives: 0,
            running: 0,
            outbox_depth: 0,
            capacity,
            load: None,
            outbox_is_behind: false,
            hand: Hand::new(capacity),
            answers: VecDeque::new(),
            standing: None,
            events: Events::default(),
            uplink: Uplink::new(&hello.outbox),
            effects: VecDeque::new(),
            ignored: 0,
            hello: Some(Box::new(hello)),
        }
    }

    /// Takes from the session before, of the same process, what outlives a connection: the jobs that still run with their costs, their
    /// findings not yet sent, and which jobs were done already. Called right after [`AgentSession::new`]. While no session stands, the last
    /// one goes on taking [`AgentSession::event`] and [`AgentSession::finished`].
    pub fn carry_over(&mut self, previous: Self) {
        self.hand.carry_over(previous.hand);
        let hand = &self.hand;
        self.events.carry_over(previous.events, |job| hand.is_awaited(job));
    }

    /// Takes a text frame.
    pub fn handle_text(&mut self, text: &str, now: MonotonicMicros) {
        if self.phase == Phase::Closed {
            return;
        }
        self.liveness.received(now);
        match codec::decode_server(text) {
            Ok(Decoded::Frame(frame)) => self.handle_frame(frame, now),
            Ok(Decoded::Ignored) => self.ignored += 1,
            Err(InvalidFrame::Version) if self.phase == Phase::Dialled => self.close(CloseReason::NoCommonVersion),
            Err(_) => self.close(CloseReason::BadEnvelope),
        }
    }

    /// Notes that some bytes came, of whatever kind: the peer is alive.
    pub fn handle_received(&mut self, now: MonotonicMicros) {
        self.liveness.received(now);
    }

    /// Does what is due; called once the moment of [`AgentSession::poll_timeout`] has come, harmless at any other.
    pub fn handle_timeout(&mut self, now: MonotonicMicros) {
        match self.phase {
            Phase::Closed => return,
            Phase::Dialled if now >= self.welcome_by => return self.close(CloseReason::Silent),
            Phase::Dialled | Phase::Welcomed => {}
        }
        if self.liveness.is_silent(now) {
            return self.close(CloseReason::Silent);
        }
        if self.liveness.keepalive_is_due(now) {
            self.liveness.postpone(now);
            self.keepalive_is_due = true;
        }
        self.events.handle_timeout(now);
    }

    /// When [`AgentSession::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<MonotonicMicros> {
        let alive = self.liveness.deadline();
        match self.phase {
            Phase::Dialled => Some(alive.min(self.welcome_by)),
            Phase::Welcomed => Some(self.events.deadline().map_or(alive, |events| events.min(alive))),
            Phase::Closed => None,
        }
    }

    /// The next text to send; to be asked for when the one before has left.
    pub fn poll_transmit(&mut self, now: MonotonicMicros) -> Option<String> {
        if self.phase == Phase::Closed {
            return None;
        }
        if let Some(hello) = self.hello.take() {
            return Some(codec::encode_agent(&AgentFrame::Hello(hello)));
        }
        if self.phase == Phase::Dialled {
            return None;
        }
        let frame = self.next_control(now).or_else(|| self.next_bulk(now))?;
        Some(codec::encode_agent(&frame))
    }

    /// The next thing the agent must do.
    pub fn poll_effect(&mut self) -> Option<AgentEffect> {
        self.effects.pop_front()
    }

    /// Says that the runner took a job.
    pub fn accept(&mut self, job: JobRef) {
        if let Some(job) = self.hand.accept(job) {
            self.answer(AgentFrame::Accept(job));
        }
    }

    /// Says that the agent will not run a job; its cost is granted again.
    pub fn refuse(&mut self, refuse: Refuse) {
        let job = JobRef {
            job: refuse.job,
            attempt: refuse.attempt,
        };
        if self.hand.leave(job).is_some() {
            self.answer(AgentFrame::Refuse(refuse));
        }
    }

    /// Notes that a job left the runner: its cost is granted again, the findings that wait leave at once.
    pub fn finished(&mut self, job: JobRef) {
        self.hand.leave(job);
        self.events.finish(job);
    }

    /// Takes a partial finding of a job in hand: the first leaves at once, later ones together each 100 ms; the oldest go when too many wait.
    pub fn event(&mut self, job: JobRef, finding: ProbeEvent, now: MonotonicMicros) {
        if self.hand.is_awaited(job) {
            self.events.push(job, finding, now);
        }
    }

    /// The last report taken, where the session has room for the one that follows it in the outbox.
    pub fn wants_reports_after(&self) -> Option<Sequence> {
        if self.phase == Phase::Welcomed { self.uplink.wants_after() } else { None }
    }

    /// Takes the report that follows the one of [`AgentSession::wants_reports_after`]; any other is not taken.
    pub fn report(&mut self, seq: Sequence, job: JobRef, body: Arc<str>) {
        if self.phase == Phase::Welcomed {
            self.uplink.feed(seq, job, body);
        }
    }

    /// The oldest report sent, whole or in part, and not acknowledged. One at which the control plane ends the session with 4400 again and
    /// again cannot be sent: the outbox sets it aside.
    pub fn report_in_flight(&self) -> Option<Sequence> {
        self.uplink.in_flight()
    }

    /// Sets what keepalives tell about the agent's load; jobs are refused as `agent_busy` where running jobs and reports not yet
    /// acknowledged are more than one `hello` could name.
    pub fn set_load(&mut self, running: u32, outbox_depth: u64) {
        self.running = running;
        self.outbox_depth = outbox_depth;
    }

    /// Takes all standing work there is and how it fares: it is told with the next chance, and what waited to be told is forgotten.
    pub fn standing(&mut self, held: Vec<StandingHeld>) {
        self.standing = Some(held);
    }

    /// Takes how busy the host is: the next keepalive tells it, once.
    pub fn set_host_load(&mut self, load: HostLoad) {
        self.load = Some(Box::new(load));
    }

    /// Whether the control plane has more of this outbox on disk than the outbox ever held: the host was put back to an earlier state.
    /// No session can stand then until the outbox begins a new life.
    pub const fn outbox_is_behind(&self) -> bool {
        self.outbox_is_behind
    }

    /// Whether `welcome` came and the session has not ended.
    pub fn is_welcomed(&self) -> bool {
        self.phase == Phase::Welcomed
    }

    /// How many frames of unknown types were ignored.
    pub fn ignored_frames(&self) -> u64 {
        self.ignored
    }

    fn handle_frame(&mut self, frame: ServerFrame, now: MonotonicMicros) {
        match (self.phase, frame) {
            (Phase::Dialled, ServerFrame::Welcome(welcome)) => self.handle_welcome(welcome, now),
            (Phase::Welcomed, ServerFrame::Run(run)) => self.handle_run(run),
            (Phase::Welcomed, ServerFrame::Cancel(cancel)) => self.drop_jobs(cancel.jobs),
            (Phase::Welcomed, ServerFrame::Ack(ack)) => self.handle_ack(ack),
            (Phase::Welcomed, ServerFrame::Configure(configure)) => self.effect(AgentEffect::Configure(configure)),
            (_, ServerFrame::Keepalive(_)) => {}
            (_, ServerFrame::Goaway(goaway)) => self.effect(AgentEffect::Goaway(goaway)),
            (_, ServerFrame::Welcome(_) | ServerFrame::Run(_) | ServerFrame::Cancel(_) | ServerFrame::Ack(_) | ServerFrame::Configure(_)) => {
                self.close(CloseReason::ProtocolOrder);
            }
        }
    }

    fn handle_welcome(&mut self, welcome: Welcome, now: MonotonicMicros) {
        if !self.versions.contains(&welcome.version) {
            return self.close(CloseReason::NoCommonVersion);
        }
        let acknowledged = if welcome.ack.incarnation == self.outbox.incarnation {
            self.uplink.welcome(welcome.ack.up_to)
        } else {
            self.uplink.welcome(Sequence::ZERO)
        };
        if acknowledged == Acknowledged::NeverSent {
            self.outbox_is_behind = true;
            return self.close(CloseReason::ProtocolOrder);
        }
        self.phase = Phase::Welcomed;
        self.liveness.set_interval(welcome.keepalive_ms, now);
        let mut dropped = self.hand.settle(&welcome.readopted);
        dropped.extend(&welcome.drop);
        dropped.sort_unstable();
        dropped.dedup();
        self.effect(AgentEffect::Welcomed(welcome));
        if !dropped.is_empty() {
            self.drop_jobs(dropped);
        }
        if let Acknowledged::UpTo(up_to) = acknowledged {
            self.effect(AgentEffect::Acked { up_to });
        }
    }

    fn handle_run(&mut self, run: Run) {
        let job = JobRef {
            job: run.job,
            attempt: run.attempt,
        };
        match self.hand.offer(job, run.cost, self.outbox_depth) {
            Offer::Take => self.effect(AgentEffect::Run(run)),
            Offer::AcceptAgain => self.answer(AgentFrame::Accept(job)),
            Offer::Known => {}
            Offer::NoCredit => self.answer(refusal(job, RefuseReason::NoCredit, "the job came without credit")),
            Offer::Busy => self.answer(refusal(job, RefuseReason::AgentBusy, "the agent holds as many jobs as it may")),
        }
    }

    fn drop_jobs(&mut self, jobs: Vec<JobId>) {
        self.hand.drop_jobs(&jobs);
        let hand = &self.hand;
        self.events.retain(|job| hand.is_awaited(job));
        self.effect(AgentEffect::Cancel(jobs));
    }

    fn handle_ack(&mut self, ack: Ack) {
        if ack.incarnation != self.outbox.incarnation {
            return self.close(CloseReason::ProtocolOrder);
        }
        match self.uplink.acknowledge(ack.up_to) {
            Acknowledged::UpTo(up_to) => self.effect(AgentEffect::Acked { up_to }),
            Acknowledged::Nothing => {}
            Acknowledged::NeverSent => self.close(CloseReason::ProtocolOrder),
        }
    }

    fn next_control(&mut self, now: MonotonicMicros) -> Option<AgentFrame> {
        if self.keepalive_is_due {
            self.keepalive_is_due = false;
            self.keepalives += 1;
            return Some(AgentFrame::Keepalive(AgentKeepalive {
                seq: self.keepalives,
                monotonic_us: now,
                outbox_depth: self.outbox_depth,
                running: self.running,
                capacity: Some(self.capacity),
                load: self.load.take(),
            }));
        }
        if let Some(granted) = self.hand.announce() {
            return Some(AgentFrame::Credit(Credit { granted }));
        }
        let answer = self.answers.pop_front();
        answer.or_else(|| self.standing.take().map(|items| AgentFrame::Configured(Configured { items })))
    }

    fn next_bulk(&mut self, now: MonotonicMicros) -> Option<AgentFrame> {
        let event = self.events.pop(now).map(AgentFrame::Event);
        event.or_else(|| self.uplink.pop().map(AgentFrame::Report))
    }

    /// Keeps an answer to send. A control plane that asks for more than can be answered is left.
    fn answer(&mut self, frame: AgentFrame) {
        if self.answers.len() < ANSWERS {
            self.answers.push_back(frame);
        } else {
            self.close(CloseReason::TooFast);
        }
    }

    /// Keeps an effect. A driver that does not drain them loses its session.
    fn effect(&mut self, effect: AgentEffect) {
        if self.effects.len() < EFFECTS {
            self.effects.push_back(effect);
        } else {
            self.close(CloseReason::TooFast);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.effects.push_back(AgentEffect::Close(reason));
        }
    }
}

fn refusal(job: JobRef, reason: RefuseReason, message: &str) -> AgentFrame {
    AgentFrame::Refuse(Refuse {
        job: job.job,
        attempt: job.attempt,
        reason,
        message: message.to_owned(),
    })
}

/// Most answers that wait to be sent.
const ANSWERS: usize = 2 * JOBS_IN_HAND;
/// Most effects that wait to be taken.
const EFFECTS: usize = 2 * JOBS_IN_HAND;
