//! The dispatcher: one task that owns the queue in memory and what is in flight, and hands jobs to the sessions that have credit for them.
//!
//! The store holds the truth. A job is sent only after its lease is on disk; a lease of a session that was meanwhile replaced touches no row.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use control_core::authorize::SystemScope;
use control_core::deadline::given_up_at;
use control_core::queue::{Queue, QueuedJob};
use control_store::StoreError;
use control_store::jobs::LeasedJob;
use shared_protocol::end::End;
use shared_protocol::frame::Run;
use shared_protocol::id::{AgentId, Epoch, JobId, MeasurementId, TenantId};
use shared_protocol::tier::{Tier, TierTable};
use shared_protocol::time::UnixMicros;

use super::{AgentLoad, Command, DispatchReceiver, Load, OpenedSession};
use crate::clock;
use crate::fleet::{Outlet, SessionCommand};
use crate::jobs::lifecycle::{Ending, Lifecycle};
use crate::metrics::TierLabel;

/// The task's state.
pub(crate) struct Dispatcher {
    lifecycle: Lifecycle,
    queue: Queue,
    jobs: HashMap<JobId, Open>,
    /// Jobs in flight by the moment at which they are given up.
    overdue: BTreeSet<(UnixMicros, JobId)>,
    sessions: HashMap<AgentId, Live>,
    /// Tiers that tenants were given since the start: what was admitted before may still be on its way here.
    retiered: HashMap<TenantId, Tier>,
    /// Agents that are off duty: nothing is handed to them.
    held: HashSet<AgentId>,
}

struct Open {
    queued: QueuedJob,
    measurement: MeasurementId,
    phase: Phase,
    /// Taken back while its lease was being written: the agent hears of it right behind the job.
    cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Queued,
    Leasing(Epoch),
    InFlight,
}

struct Live {
    epoch: Epoch,
    commands: Outlet,
    /// The first grant of the session: what the agent does at the same time, so what it finishes in a second, in agent-seconds.
    capacity: Option<u32>,
    granted: u64,
    sent: u64,
    leasing: bool,
}

/// A job without an end, as the store had it at start.
pub(crate) struct Loaded {
    pub(crate) queued: QueuedJob,
    pub(crate) measurement: MeasurementId,
    pub(crate) in_flight: bool,
}

impl Dispatcher {
    pub(crate) fn new(lifecycle: Lifecycle, loaded: Vec<Loaded>) -> Self {
        let mut dispatcher = Self {
            lifecycle,
            queue: Queue::new(),
            jobs: HashMap::new(),
            overdue: BTreeSet::new(),
            sessions: HashMap::new(),
            retiered: HashMap::new(),
            held: HashSet::new(),
        };
        let tiers = dispatcher.lifecycle.tiers.table();
        dispatcher.queue.set_tiers(TierTable::clone(&tiers));
        for job in loaded {
            let id = job.queued.job;
            let phase = if job.in_flight { Phase::InFlight } else { Phase::Queued };
            if job.in_flight {
                dispatcher.queue.adopted(&job.queued);
                dispatcher.lifecycle.in_flight.insert(id, job.queued.agent, job.measurement);
                dispatcher.overdue.insert((given_up_at(job.queued.deadline), id));
            } else {
                dispatcher.queue.push(job.queued);
            }
            dispatcher.jobs.insert(
                id,
                Open {
                    queued: job.queued,
                    measurement: job.measurement,
                    phase,
                    cancelled: false,
                },
            );
        }
        dispatcher
    }

    /// Runs until the control plane stops.
    pub(crate) async fn run(mut self, mut commands: DispatchReceiver) {
        let stopping = self.lifecycle.stopping.clone();
        loop {
            let wait = self.until_next_deadline(clock::now());
            tokio::select! {
                () = stopping.cancelled() => return,
                command = commands.0.recv() => match command {
                    Some(command) => self.handle(command),
                    None => return,
                },
                () = tokio::time::sleep(wait) => self.expire(clock::now()),
            }
            self.observe();
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Accepted(jobs) => self.accept(jobs),
            Command::Opened(session) => self.open(session),
            Command::Closed(agent, epoch) => {
                if self.sessions.get(&agent).is_some_and(|live| live.epoch == epoch) {
                    self.sessions.remove(&agent);
                }
            }
            Command::Credit(agent, epoch, granted) => {
                if let Some(live) = self.sessions.get_mut(&agent).filter(|live| live.epoch == epoch) {
                    live.capacity.get_or_insert(u32::try_from(granted).unwrap_or(u32::MAX));
                    live.granted = live.granted.max(granted);
                    self.pump(agent);
                }
            }
            Command::Leased { agent, epoch, asked, result } => self.leased(agent, epoch, &asked, result),
            Command::Requeued(job, not_before) => {
                self.put_back(job.job, not_before);
                if let Some(open) = self.jobs.get(&job.job) {
                    self.pump(open.queued.agent);
                }
            }
            Command::Ended(job, actual_cost) => self.ended(job, actual_cost),
            Command::Cancel(jobs) => self.cancel(&jobs),
            Command::Duty(agent, duty) if duty.is_working() => {
                self.held.remove(&agent);
                self.pump(agent);
            }
            Command::Duty(agent, _) => {
                self.held.insert(agent);
            }
            Command::Load(agents, tier, reply) => {
                let agents = agents.into_iter().map(|agent| (agent, self.agent_load(agent, tier))).collect();
                // Whoever asked may have gone; then nobody needs the answer.
                let _ = reply.send(Load {
                    open_jobs: self.jobs.len(),
                    agents,
                });
            }
            Command::Tiers(table) => {
                self.queue.set_tiers(TierTable::clone(&table));
                self.pump_all();
            }
            Command::Retier(tenant, tier) => {
                self.retiered.insert(tenant, tier);
                self.queue.retier(tenant, tier);
                let queued = self
                    .jobs
                    .values_mut()
                    .filter(|open| open.phase == Phase::Queued && open.queued.tenant == tenant);
                queued.for_each(|open| open.queued.tier = tier);
                self.pump_all();
            }
            Command::Goaway(goaway) => {
                for live in self.sessions.values() {
                    let _ = live.commands.tell(SessionCommand::Goaway(goaway));
                }
            }
        }
    }

    fn agent_load(&self, agent: AgentId, tier: Tier) -> AgentLoad {
        let drain_rate = self.sessions.get(&agent).and_then(|live| live.capacity).map(f64::from);
        AgentLoad {
            backlog: self.queue.backlog(agent, tier),
            drain_rate,
        }
    }

    fn accept(&mut self, jobs: Vec<(QueuedJob, MeasurementId)>) {
        let mut agents = BTreeSet::new();
        for (mut queued, measurement) in jobs {
            queued.tier = self.retiered.get(&queued.tenant).copied().unwrap_or(queued.tier);
            agents.insert(queued.agent);
            self.queue.push(queued);
            self.jobs.insert(
                queued.job,
                Open {
                    queued,
                    measurement,
                    phase: Phase::Queued,
                    cancelled: false,
                },
            );
        }
        for agent in agents {
            self.pump(agent);
        }
    }

    fn open(&mut self, session: OpenedSession) {
        let OpenedSession {
            agent,
            epoch,
            commands,
            kept,
            requeued,
        } = session;
        if self.sessions.get(&agent).is_some_and(|live| live.epoch > epoch) {
            return;
        }
        self.sessions.insert(
            agent,
            Live {
                epoch,
                commands,
                capacity: None,
                granted: 0,
                sent: 0,
                leasing: false,
            },
        );
        for job in kept {
            if let Some(open) = self.jobs.get_mut(&job.job) {
                open.phase = Phase::InFlight;
                self.overdue.insert((given_up_at(open.queued.deadline), job.job));
            }
        }
        for (job, not_before) in requeued {
            self.put_back(job, not_before);
        }
    }

    /// Asks the store to lease as many jobs to an agent as its credit allows.
    fn pump(&mut self, agent: AgentId) {
        if self.held.contains(&agent) {
            return;
        }
        let Some(live) = self.sessions.get_mut(&agent).filter(|live| !live.leasing) else {
            return;
        };
        let now = clock::now();
        let mut asked = Vec::new();
        while asked.len() < LEASES_PER_COMMIT {
            let credit = u32::try_from(live.granted.saturating_sub(live.sent)).unwrap_or(u32::MAX);
            let Some(next) = self.queue.pop(agent, credit, now) else { break };
            live.sent += u64::from(next.cost);
            if let Some(open) = self.jobs.get_mut(&next.job) {
                open.phase = Phase::Leasing(live.epoch);
            }
            asked.push(next.job);
        }
        if asked.is_empty() {
            return;
        }
        live.leasing = true;
        let (epoch, lifecycle) = (live.epoch, self.lifecycle.clone());
        self.lifecycle.tasks.spawn(async move {
            let jobs = asked.clone();
            let result = lifecycle
                .store
                .write(move |tx| Box::pin(async move { control_store::jobs::lease(tx, SystemScope::for_own_work(), agent, epoch, &jobs, now).await }))
                .await;
            lifecycle.dispatch.send(Command::Leased { agent, epoch, asked, result }).await;
        });
    }

    fn leased(&mut self, agent: AgentId, epoch: Epoch, asked: &[JobId], result: Result<Vec<LeasedJob>, StoreError>) {
        let current = self.sessions.get(&agent).is_some_and(|live| live.epoch == epoch);
        let leased = match result {
            Ok(leased) => leased,
            Err(error) => {
                tracing::warn!(%error, %agent, jobs = asked.len(), "leases could not be written");
                for job in asked {
                    self.put_back_leasing(*job, epoch);
                }
                self.release_lease(agent, epoch, LeaseAgain::AfterTick);
                return;
            }
        };
        let now = clock::now();
        for job in &leased {
            self.hand_over(agent, epoch, job, now);
        }
        if !current {
            for job in asked {
                self.put_back_leasing(*job, epoch);
            }
        }
        self.release_lease(agent, epoch, LeaseAgain::Now);
    }

    fn hand_over(&mut self, agent: AgentId, epoch: Epoch, leased: &LeasedJob, now: UnixMicros) {
        let Some(open) = self.jobs.get_mut(&leased.job).filter(|open| open.phase == Phase::Leasing(epoch)) else {
            return;
        };
        open.phase = Phase::InFlight;
        self.overdue.insert((given_up_at(open.queued.deadline), leased.job));
        let run = Run {
            job: leased.job,
            attempt: leased.attempt,
            spec: leased.spec.clone(),
            cost: open.queued.cost,
            remaining_ms: u64::try_from(open.queued.deadline.since(now).as_millis()).unwrap_or(u64::MAX),
            limits: self.lifecycle.tiers.limits_in_run(leased.tier),
        };
        self.lifecycle.in_flight.insert(leased.job, agent, open.measurement);
        self.lifecycle.publish(open.measurement, leased.job, agent, "leased", None, leased.attempt);
        let cancelled = open.cancelled;
        self.tell(agent, epoch, SessionCommand::Run(Box::new(run)));
        if cancelled {
            self.tell(agent, epoch, SessionCommand::Cancel(vec![leased.job]));
        }
    }

    /// A session that does not keep up is cut; its agent comes back to a new one.
    fn tell(&mut self, agent: AgentId, epoch: Epoch, command: SessionCommand) {
        let Some(live) = self.sessions.get(&agent).filter(|live| live.epoch == epoch) else {
            return;
        };
        if live.commands.tell(command).is_err() {
            tracing::warn!(%agent, "the session does not keep up, or is gone");
            self.sessions.remove(&agent);
        }
    }

    fn release_lease(&mut self, agent: AgentId, epoch: Epoch, again: LeaseAgain) {
        if let Some(live) = self.sessions.get_mut(&agent).filter(|live| live.epoch == epoch) {
            live.leasing = false;
            if again == LeaseAgain::Now {
                self.pump(agent);
            }
        }
    }

    fn put_back_leasing(&mut self, job: JobId, epoch: Epoch) {
        if self.jobs.get(&job).is_some_and(|open| open.phase == Phase::Leasing(epoch)) {
            if let Some((live, open)) = self.jobs.get(&job).and_then(|open| Some((self.sessions.get_mut(&open.queued.agent)?, open)))
                && live.epoch == epoch
            {
                live.sent = live.sent.saturating_sub(u64::from(open.queued.cost));
            }
            self.put_back(job, None);
        }
    }

    fn put_back(&mut self, job: JobId, not_before: Option<UnixMicros>) {
        let Some(open) = self.jobs.get_mut(&job).filter(|open| open.phase != Phase::Queued) else {
            return;
        };
        open.phase = Phase::Queued;
        self.overdue.remove(&(given_up_at(open.queued.deadline), job));
        self.lifecycle.in_flight.remove(job);
        if not_before.is_none() {
            self.queue.put_back(open.queued);
        } else {
            self.queue.finished(&open.queued, open.queued.cost);
            open.queued.not_before = not_before;
            self.queue.push(open.queued);
        }
        if let Some(tier) = self.retiered.get(&open.queued.tenant).copied() {
            open.queued.tier = tier;
            self.queue.retier(open.queued.tenant, tier);
        }
    }

    fn ended(&mut self, job: JobId, actual_cost: Option<u32>) {
        let Some(open) = self.jobs.remove(&job) else { return };
        let Open { queued, phase, .. } = open;
        if phase == Phase::Queued {
            self.queue.remove(job);
            return;
        }
        self.overdue.remove(&(given_up_at(queued.deadline), job));
        self.lifecycle.in_flight.remove(job);
        self.queue.finished(&queued, actual_cost.unwrap_or(queued.cost));
        self.pump(queued.agent);
    }

    fn cancel(&mut self, jobs: &[JobId]) {
        let mut by_agent: HashMap<AgentId, Vec<JobId>> = HashMap::new();
        for job in jobs {
            if let Some(open) = self.jobs.get_mut(job) {
                open.cancelled = true;
                by_agent.entry(open.queued.agent).or_default().push(*job);
            }
        }
        for (agent, jobs) in by_agent {
            if let Some(epoch) = self.sessions.get(&agent).map(|live| live.epoch) {
                self.tell(agent, epoch, SessionCommand::Cancel(jobs));
            }
        }
    }

    /// Gives up what nobody waits for any more: queued jobs at their deadline, jobs in flight after the grace.
    fn expire(&mut self, now: UnixMicros) {
        let mut endings: Vec<Ending> = Vec::new();
        for queued in self.queue.expired(now) {
            endings.push(Ending {
                job: queued.job,
                attempt: None,
                end: End::Expired,
                reason: Some("deadline"),
            });
        }
        while let Some((at, job)) = self.overdue.first().copied().filter(|(at, _)| *at <= now) {
            self.overdue.remove(&(at, job));
            endings.push(Ending {
                job,
                attempt: None,
                end: End::Expired,
                reason: Some("no_answer"),
            });
        }
        if !endings.is_empty() {
            self.lifecycle.end_all(endings);
        }
        // A lease that could not be written is tried again here.
        self.pump_all();
    }

    /// Looks at every session with credit again.
    fn pump_all(&mut self) {
        let idle: Vec<AgentId> = self
            .sessions
            .iter()
            .filter(|(_, live)| !live.leasing && live.sent < live.granted)
            .map(|(agent, _)| *agent)
            .collect();
        for agent in idle {
            self.pump(agent);
        }
    }

    fn until_next_deadline(&self, now: UnixMicros) -> Duration {
        let overdue = self.overdue.first().map(|(at, _)| *at);
        let next = [self.queue.next_deadline(), overdue].into_iter().flatten().min();
        next.map_or(TICK, |at| at.since(now).min(TICK))
    }

    fn observe(&self) {
        for tier in Tier::ALL {
            let depth = i64::try_from(self.queue.depth(tier)).unwrap_or(i64::MAX);
            self.lifecycle.metrics.queue_depth.get_or_create(&TierLabel { tier: tier.as_str() }).set(depth);
        }
        self.lifecycle.metrics.jobs_in_flight.set(i64::try_from(self.overdue.len()).unwrap_or(i64::MAX));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseAgain {
    Now,
    AfterTick,
}

/// Most jobs leased in one operation of the writer.
const LEASES_PER_COMMIT: usize = 64;
/// Longest time between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);
