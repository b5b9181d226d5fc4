//! The dispatcher: one task that owns the board of jobs and sessions, tells it what happened, and does what it says.
//!
//! The store holds the truth. A job is sent only after its lease is on disk; a lease of a session that was meanwhile replaced touches no row.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use control_core::board::{AcceptedJob, Arrival, Board, Effect, NotLeased};
use control_core::retry::HandedOut;
use control_core::steady::SteadyClock;
use control_store::StoreError;
use control_store::jobs::{Ending, LeasedJob};
use shared_protocol::frame::Run;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef, MeasurementId};
use shared_protocol::tier::{Tier, TierTable};
use shared_protocol::time::UnixMicros;

use super::{ArrivedJob, Came, Command, DispatchReceiver, Load, OpenedSession, writing};
use crate::clock;
use crate::fleet::{Outlet, SessionCommand};
use crate::jobs::lifecycle::Lifecycle;
use crate::jobs::relocate::Stranded;
use crate::metrics::{SideLabel, TierLabel};

/// The task's state.
pub(crate) struct Dispatcher {
    lifecycle: Lifecycle,
    board: Board,
    clock: SteadyClock,
    sessions: HashMap<AgentId, (Epoch, Outlet)>,
    /// Jobs whose leases were just written, until they are handed over.
    leased: HashMap<JobId, LeasedJob>,
}

/// A job without an end, as the store had it at start.
pub(crate) struct Loaded {
    pub(crate) job: AcceptedJob,
    pub(crate) attempt: Attempt,
    pub(crate) handed_out: HandedOut,
}

impl Dispatcher {
    pub(crate) fn new(lifecycle: Lifecycle, loaded: Vec<Loaded>) -> Self {
        let mut dispatcher = Self {
            lifecycle,
            board: Board::new(),
            clock: SteadyClock::default(),
            sessions: HashMap::new(),
            leased: HashMap::new(),
        };
        let now = dispatcher.now();
        let tiers = dispatcher.lifecycle.tiers.table();
        dispatcher.board.handle_tiers(TierTable::clone(&tiers), now);
        for Loaded { job, attempt, handed_out } in loaded {
            if handed_out == HandedOut::Yes {
                let queued = job.queued;
                dispatcher.lifecycle.in_flight.insert(queued.job, queued.agent, job.measurement);
            }
            dispatcher.board.load(job, attempt, handed_out, now);
        }
        dispatcher
    }

    /// Runs until the control plane stops.
    pub(crate) async fn run(mut self, mut commands: DispatchReceiver) {
        let stopping = self.lifecycle.stopping.clone();
        loop {
            let now = self.now();
            self.board.handle_timeout(now);
            self.perform(now);
            self.observe();
            let wait = self.board.poll_timeout().map_or(TICK, |at| at.since(now).min(TICK));
            tokio::select! {
                () = stopping.cancelled() => return,
                command = commands.0.recv() => match command {
                    Some(command) => {
                        self.handle(command);
                        // What waits already is handled in the same round: leases of one agent become one.
                        for _ in 1..COMMANDS_PER_ROUND {
                            let Ok(command) = commands.0.try_recv() else { break };
                            self.handle(command);
                        }
                    }
                    None => return,
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn handle(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Arriving(jobs, reply) => {
                let jobs: Vec<_> = jobs.into_iter().map(|job| self.steady(job)).collect();
                let leases = self.board.handle_arriving(&jobs, now);
                if let Err(leases) = reply.send(leases) {
                    // Nobody will store them.
                    let refused = jobs.iter().filter_map(|job| Some((job.queued, *leases.get(&job.queued.job)?)));
                    for (job, epoch) in refused {
                        self.board.handle_arrived(job.agent, epoch, job.job, Arrival::Refused, now);
                    }
                }
            }
            Command::Arrived(jobs) => self.arrived(jobs, now),
            Command::Accepted(jobs) => {
                let jobs = jobs.into_iter().map(|job| self.steady(job)).collect();
                self.board.handle_accepted(jobs, now);
            }
            Command::Opened(session) => self.open(session, now),
            Command::Closed(agent, epoch) => self.close(agent, epoch, now),
            Command::Credit(agent, epoch, granted) => self.board.handle_credit(agent, epoch, granted, now),
            Command::Leased { agent, epoch, asked, result } => self.leased(agent, epoch, &asked, result, now),
            Command::Returned(agent, job, returned) => {
                let returned = returned.map(|at| self.clock.without_jumps(at));
                self.board.handle_returned(agent, job, returned, now);
            }
            Command::Ended(job, actual_cost) => self.board.handle_ended(job, actual_cost, now),
            Command::Cancel(jobs) => self.board.handle_cancelled(&jobs),
            Command::Moved { job, from, to } => self.board.handle_moved(job, from, to, now),
            Command::Load(agents, tier, reply) => {
                let load = self.load(agents, tier, now);
                // Whoever asked may have gone; then nobody needs the answer.
                let _ = reply.send(load);
            }
            Command::Duty(agent, duty) => self.board.handle_duty(agent, duty, now),
            Command::Tiers(table) => self.board.handle_tiers(TierTable::clone(&table), now),
            Command::Retier(tenant, tier) => self.board.handle_retiered(tenant, tier, now),
            Command::Goaway(goaway) => {
                for (_, outlet) in self.sessions.values() {
                    let _ = outlet.tell(SessionCommand::Goaway(goaway));
                }
            }
        }
    }

    fn open(&mut self, session: OpenedSession, now: UnixMicros) {
        let OpenedSession {
            agent,
            epoch,
            commands,
            kept,
            returned,
        } = session;
        if self.sessions.get(&agent).is_none_or(|(present, _)| *present <= epoch) {
            self.sessions.insert(agent, (epoch, commands));
        }
        let steady = |at| self.clock.without_jumps(at);
        let returned: Vec<_> = returned.into_iter().map(|(job, returned)| (job, returned.map(steady))).collect();
        self.board.handle_opened(agent, epoch, &kept, &returned, now);
    }

    fn close(&mut self, agent: AgentId, epoch: Epoch, now: UnixMicros) {
        if self.sessions.get(&agent).is_some_and(|(present, _)| *present == epoch) {
            self.sessions.remove(&agent);
        }
        self.board.handle_closed(agent, epoch, now);
    }

    fn arrived(&mut self, jobs: Vec<ArrivedJob>, now: UnixMicros) {
        for ArrivedJob { job, agent, epoch, came } in jobs {
            let arrival = match came {
                Came::Leased(leased) => {
                    let attempt = leased.attempt;
                    self.leased.insert(job, leased);
                    Arrival::Leased(attempt)
                }
                Came::Queued => Arrival::Queued,
                Came::Refused => Arrival::Refused,
            };
            self.board.handle_arrived(agent, epoch, job, arrival, now);
        }
        self.perform(now);
        self.leased.clear();
    }

    fn leased(&mut self, agent: AgentId, epoch: Epoch, asked: &[JobId], result: Result<Vec<LeasedJob>, StoreError>, now: UnixMicros) {
        let written = match result {
            Ok(leased) => {
                let attempts: BTreeMap<JobId, Attempt> = leased.iter().map(|job| (job.job, job.attempt)).collect();
                self.leased.extend(leased.into_iter().map(|job| (job.job, job)));
                Ok(attempts)
            }
            Err(error) => {
                tracing::warn!(%error, %agent, jobs = asked.len(), "leases could not be written");
                Err(NotLeased)
            }
        };
        self.board.handle_leased(agent, epoch, asked, written.as_ref().map_err(|failed| *failed), now);
        self.perform(now);
        self.leased.clear();
    }

    /// Does what the board says.
    fn perform(&mut self, now: UnixMicros) {
        let mut endings = Vec::new();
        while let Some(effect) = self.board.poll_effect() {
            match effect {
                Effect::Lease { agent, epoch, jobs } => {
                    let lifecycle = self.lifecycle.clone();
                    self.lifecycle.tasks.spawn(async move { writing::lease(&lifecycle, agent, epoch, jobs).await });
                }
                Effect::HandOver {
                    agent,
                    epoch,
                    job,
                    measurement,
                    cost,
                    remaining,
                } => self.hand_over((agent, epoch), job, measurement, cost, remaining, now),
                Effect::Cancel { agent, epoch, jobs } => self.tell(agent, epoch, SessionCommand::Cancel(jobs), now),
                Effect::Kept { agent, job, measurement } => self.lifecycle.in_flight.insert(job, agent, measurement),
                Effect::TakenBack(job) => self.lifecycle.in_flight.remove(job),
                Effect::End { job, attempt, end, reason } => endings.push(Ending {
                    job,
                    attempt,
                    end,
                    reason: Some(reason),
                }),
                Effect::Move { agent, jobs } => {
                    // Where nobody takes it up now, the board asks again later.
                    let _ = self.lifecycle.stranded.try_send(Stranded { agent, jobs });
                }
            }
        }
        if !endings.is_empty() {
            self.lifecycle.end_all(endings);
        }
    }

    fn hand_over(&mut self, (agent, epoch): (AgentId, Epoch), job: JobRef, measurement: MeasurementId, cost: u32, remaining: Duration, now: UnixMicros) {
        let Some(leased) = self.leased.remove(&job.job) else { return };
        self.lifecycle.in_flight.insert(job.job, agent, measurement);
        self.lifecycle.publish(measurement, job.job, agent, "leased", None, job.attempt);
        let run = Run {
            job: job.job,
            attempt: job.attempt,
            spec: leased.spec,
            cost,
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            limits: self.lifecycle.tiers.limits_in_run(leased.tier),
        };
        self.tell(agent, epoch, SessionCommand::Run(Box::new(run)), now);
    }

    /// A session that does not keep up is cut; its agent comes back to a new one.
    fn tell(&mut self, agent: AgentId, epoch: Epoch, command: SessionCommand, now: UnixMicros) {
        let Some((_, outlet)) = self.sessions.get(&agent).filter(|(present, _)| *present == epoch) else {
            return;
        };
        if outlet.tell(command).is_err() {
            tracing::warn!(%agent, "the session does not keep up, or is gone");
            self.close(agent, epoch, now);
        }
    }

    fn load(&self, agents: Vec<AgentId>, tier: Tier, now: UnixMicros) -> Load {
        Load {
            open_jobs: self.board.open_jobs(),
            agents: agents.into_iter().map(|agent| (agent, self.board.agent_load(agent, tier, now))).collect(),
        }
    }

    /// A job whose instants stand as the board's clock reads them.
    fn steady(&self, mut job: AcceptedJob) -> AcceptedJob {
        job.queued.deadline = self.clock.without_jumps(job.queued.deadline);
        job.queued.not_before = job.queued.not_before.map(|at| self.clock.without_jumps(at));
        job
    }

    fn now(&mut self) -> UnixMicros {
        let reading = self.clock.read(clock::now(), clock::monotonic());
        if let Some(jump) = reading.jump {
            tracing::warn!(seconds = jump.as_secs(), "the wall clock was set; no deadline moves by that");
        }
        reading.now
    }

    fn observe(&self) {
        let metrics = &self.lifecycle.metrics;
        for tier in Tier::ALL {
            let depth = i64::try_from(self.board.depth(tier)).unwrap_or(i64::MAX);
            metrics.queue_depth.get_or_create(&TierLabel { tier: tier.as_str() }).set(depth);
        }
        metrics.jobs_in_flight.set(i64::try_from(self.board.in_flight()).unwrap_or(i64::MAX));
        let error = i64::try_from(self.board.conservation_error()).unwrap_or(i64::MAX);
        metrics.conservation_error.get_or_create(&SideLabel { side: "dispatcher" }).set(error);
    }
}

/// Longest time between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Most commands handled before what they lead to is done.
const COMMANDS_PER_ROUND: usize = 64;
