//! An agent around the real agent machine: the outbox outlives a crash, the runner and the session do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_protocol::end::RefuseReason;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::frame::{Hello, HostFacts, OutboxState, Refuse, Run};
use shared_protocol::id::{IncarnationId, InstanceId, JobId, JobRef, Sequence};
use shared_protocol::report::PingPacket;
use shared_protocol::session::{AgentEffect, AgentSession, Jitter};
use shared_protocol::standing::{Book, StandingHeld};
use shared_protocol::time::{MonotonicMicros, UnixMicros};

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::link::{Link, MILLISECOND, SECOND};

pub(crate) struct Agent {
    incarnation: IncarnationId,
    outbox: BTreeMap<u64, (JobRef, Arc<str>)>,
    next_seq: u64,
    running: BTreeMap<JobRef, Running>,
    session: Option<AgentSession>,
    link: Option<usize>,
    pub(crate) dial_at: u64,
    /// By how much this clock is ahead of the world's.
    pub(crate) ahead: u64,
    last_heard: u64,
    /// Outlives a crash, as the outbox does.
    pub(crate) book: Book,
}

struct Running {
    cost: u32,
    finish_at: u64,
    findings: u32,
    next_finding_at: u64,
    cancelled: bool,
}

impl Agent {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            incarnation: IncarnationId::new(UnixMicros::from_micros(0), dice.bytes()),
            outbox: BTreeMap::new(),
            next_seq: 1,
            running: BTreeMap::new(),
            session: None,
            link: None,
            dial_at: 0,
            ahead: 3 * SECOND,
            last_heard: 0,
            book: Book::default(),
        }
    }

    pub(crate) fn outbox_depth(&self) -> usize {
        self.outbox.len()
    }

    pub(crate) fn wants_to_dial(&self, now: u64) -> bool {
        self.link.is_none() && now >= self.dial_at
    }

    pub(crate) fn dial_later(&mut self, now: u64, dice: &mut Dice) {
        self.dial_at = now + dice.within(1..3_000) * MILLISECOND;
    }

    /// A connection stands: says who it is and what it has in hand.
    pub(crate) fn connect(&mut self, link: usize, now: u64, dice: &mut Dice) {
        let mut in_hand: Vec<JobRef> = self.running.keys().copied().collect();
        in_hand.extend(self.outbox.values().map(|(job, _)| *job));
        let hello = Hello {
            versions: vec![1],
            agent_version: "0.1.0".to_owned(),
            instance: InstanceId::new(UnixMicros::from_micros(0), dice.bytes()),
            capabilities: Vec::new(),
            host: HostFacts::default(),
            outbox: OutboxState {
                incarnation: self.incarnation,
                first_seq: sequence(self.outbox.keys().next().copied().unwrap_or(self.next_seq)),
                next_seq: sequence(self.next_seq),
                set_aside: 0,
            },
            in_hand,
            standing: Some(self.held()),
        };
        let mut session = AgentSession::new(hello, CAPACITY, Jitter::from_seed(dice.next()), self.local(now));
        if let Some(previous) = self.session.take() {
            session.carry_over(previous);
        }
        self.session = Some(session);
        self.link = Some(link);
        self.last_heard = self.local(now).micros();
    }

    fn held(&self) -> Vec<StandingHeld> {
        self.book.items().map(StandingHeld::waiting).collect()
    }

    /// A crash: everything volatile is gone.
    pub(crate) fn crash(&mut self, now: u64, links: &mut [Link], dice: &mut Dice) {
        self.running.clear();
        self.session = None;
        if let Some(link) = self.link.take() {
            links[link].cut(now, dice);
        }
        self.dial_later(now, dice);
    }

    pub(crate) fn next_time(&self, links: &[Link]) -> u64 {
        let runner = self
            .running
            .values()
            .map(|running| running.finish_at.min(running.next_finding_at))
            .min()
            .unwrap_or(u64::MAX);
        let Some(link) = self.link else { return runner.min(self.dial_at) };
        let timer = self.session.as_ref().and_then(AgentSession::poll_timeout);
        let timer = timer.map_or(u64::MAX, |at| at.micros().saturating_sub(self.ahead));
        let arrival = links[link].to_agent.next_arrival().min(links[link].agent_learns_at);
        runner.min(timer).min(arrival)
    }

    /// Does everything that is due.
    pub(crate) fn step(&mut self, now: u64, links: &mut [Link], ledger: &mut Ledger, dice: &mut Dice) {
        let local = self.local(now);
        self.step_runner(now, ledger, dice);
        let Some(link) = self.link else { return };
        let mut session = self.session.take().expect("a link has a session");
        while let Some(text) = links[link].to_agent.receive(now) {
            self.last_heard = local.micros();
            session.handle_text(&text, local);
            self.take_effects(&mut session, now, ledger, dice);
        }
        session.handle_timeout(local);
        self.take_effects(&mut session, now, ledger, dice);
        session.set_load(u32::try_from(self.running.len()).unwrap(), u64::try_from(self.outbox.len()).unwrap());
        while let Some(after) = session.wants_reports_after() {
            let Some((seq, (job, body))) = self.outbox.range(after.value() + 1..).next() else {
                break;
            };
            session.report(sequence(*seq), *job, Arc::clone(body));
        }
        while links[link].to_server.has_room() {
            let Some(text) = session.poll_transmit(local) else { break };
            links[link].to_server.send(text, now, dice);
        }
        let closed = session.poll_timeout().is_none();
        if !closed && local.micros().saturating_sub(self.last_heard) > DEAD {
            ledger.violate("the agent did not notice 60 s of silence".to_owned());
        }
        if closed || now >= links[link].agent_learns_at {
            links[link].cut(now, dice);
            self.link = None;
            self.dial_later(now, dice);
        }
        self.session = Some(session);
    }

    fn local(&self, now: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(now + self.ahead)
    }

    fn step_runner(&mut self, now: u64, ledger: &mut Ledger, dice: &mut Dice) {
        let local = self.local(now);
        for (job, running) in &mut self.running {
            if now >= running.next_finding_at {
                running.next_finding_at = now + dice.within(1..1_500) * MILLISECOND;
                if let Some(session) = &mut self.session {
                    session.event(*job, finding(running.findings), local);
                    running.findings += 1;
                }
            }
        }
        let done: Vec<JobRef> = self
            .running
            .iter()
            .filter(|(_, running)| now >= running.finish_at)
            .map(|(job, _)| *job)
            .collect();
        for job in done {
            let running = self.running.remove(&job).unwrap();
            let length = if dice.one_in(12) { dice.within(0..50_000) } else { dice.within(0..200) };
            let cancelled = running.cancelled;
            let body = format!("{job:?} cancelled={cancelled} {}", "é\n".repeat(usize::try_from(length).unwrap() / 3));
            ledger.report_written(self.next_seq, job, &body);
            self.outbox.insert(self.next_seq, (job, body.into()));
            self.next_seq += 1;
            if let Some(session) = &mut self.session {
                session.finished(job);
            }
        }
        let busy: u32 = self.running.values().map(|running| running.cost).sum();
        if busy > CAPACITY {
            ledger.violate(format!("{busy} agent-seconds run at once"));
        }
    }

    fn take_effects(&mut self, session: &mut AgentSession, now: u64, ledger: &mut Ledger, dice: &mut Dice) {
        while let Some(effect) = session.poll_effect() {
            match effect {
                AgentEffect::Run(run) => self.run(session, &run, now, ledger, dice),
                AgentEffect::Cancel(jobs) => self.cancel(&jobs, now),
                AgentEffect::Acked { up_to } => {
                    while let Some(entry) = self.outbox.first_entry() {
                        if *entry.key() > up_to.value() {
                            break;
                        }
                        ledger.report_forgotten(*entry.key());
                        entry.remove();
                    }
                }
                AgentEffect::Close(reason) => ledger.closed("the agent", reason),
                AgentEffect::Configure(change) => {
                    self.book.apply(change);
                    session.standing(self.held());
                }
                AgentEffect::Welcomed(_) | AgentEffect::Goaway(_) => {}
            }
        }
    }

    fn run(&mut self, session: &mut AgentSession, run: &Run, now: u64, ledger: &mut Ledger, dice: &mut Dice) {
        let job = JobRef {
            job: run.job,
            attempt: run.attempt,
        };
        if dice.one_in(20) {
            return session.refuse(Refuse {
                job: job.job,
                attempt: job.attempt,
                reason: RefuseReason::PolicyDenied,
                message: "not here".to_owned(),
            });
        }
        ledger.job_runs(job);
        session.accept(job);
        let finish_at = now + dice.within(1..u64::from(run.cost) * 4_000) * MILLISECOND;
        self.running.insert(
            job,
            Running {
                cost: run.cost,
                finish_at,
                findings: 0,
                next_finding_at: now,
                cancelled: false,
            },
        );
    }

    fn cancel(&mut self, jobs: &[JobId], now: u64) {
        for (job, running) in &mut self.running {
            if jobs.contains(&job.job) {
                running.cancelled = true;
                running.finish_at = now;
            }
        }
    }
}

/// A finding that carries its own number, so that the far end can check it.
fn finding(number: u32) -> ProbeEvent {
    ProbeEvent::Ping(PingEvent::Packet(PingPacket {
        seq: number,
        rtt_us: Some(1),
        user_rtt_us: Some(2),
        reply_ttl: Some(64),
        bytes: Some(64),
        from: None,
        icmp_error: None,
        errno: None,
        duplicate: false,
        late: false,
    }))
}

pub(crate) fn check_findings(n: u64, findings: &[ProbeEvent], ledger: &mut Ledger) {
    for (number, finding) in (n..).zip(findings) {
        ledger.findings += 1;
        let ProbeEvent::Ping(PingEvent::Packet(packet)) = finding else {
            return ledger.violate("a finding nobody sent".to_owned());
        };
        if u64::from(packet.seq) != number {
            ledger.violate(format!("finding {} came as number {number}", packet.seq));
        }
    }
}

fn sequence(value: u64) -> Sequence {
    Sequence::new(value).unwrap()
}

/// Agent-seconds granted at once.
const CAPACITY: u32 = 8;
const DEAD: u64 = 60 * SECOND;
