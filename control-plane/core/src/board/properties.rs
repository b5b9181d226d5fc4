//! What holds whatever happens and in whatever order the board hears of it: every job has one end, none is stuck, none is handed out too often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef, MeasurementId};
use shared_protocol::limits::DEADLINE_GRACE;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{AcceptedJob, Arrival, Board, Effect, Returned};
use crate::queue::QueuedJob;
use crate::queue::sample::{agent, at, job, tenant};
use crate::retry::{Choice, Loss, RetryPolicy, Return, returned};

/// A row of the store's table of open jobs.
#[derive(Debug, Clone, Copy)]
struct Row {
    agent: AgentId,
    attempt: u32,
    state: State,
    cancelled: bool,
    deadline: UnixMicros,
    retry: RetryPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Leased,
    Running,
}

/// Something on its way to the board; what one sender says arrives in order, what several say does not.
#[derive(Debug, Clone)]
enum Message {
    Opened(AgentId, Epoch, Vec<JobRef>, Vec<(JobRef, Returned)>),
    Closed(AgentId, Epoch),
    Credit(AgentId, Epoch, u64),
    Leased(AgentId, Epoch, Vec<JobId>, BTreeMap<JobId, Attempt>),
    Arrived(AgentId, Epoch, JobId, Arrival),
    Returned(AgentId, JobRef, Returned),
    Ended(JobId),
    Cancel(JobId),
    Moved(JobId, AgentId, AgentId),
}

/// An agent's side.
#[derive(Debug, Default)]
struct Far {
    session: Option<Epoch>,
    wire: Vec<(JobRef, u32)>,
    hand: BTreeMap<JobId, u32>,
    granted: u64,
}

/// The board, a store that behaves like the real one, and agents.
struct World {
    board: Board,
    now: UnixMicros,
    open: BTreeMap<JobId, Row>,
    ends: BTreeMap<JobId, End>,
    epochs: BTreeMap<AgentId, u32>,
    far: BTreeMap<AgentId, Far>,
    /// Writes that the store has not come to yet.
    writes: Vec<Effect>,
    /// Jobs that the store is to take in, and lease to this session in the same step.
    arriving: Vec<(JobId, Epoch, Row)>,
    mail: Vec<(u32, Message)>,
    senders: u32,
    runs: BTreeMap<JobId, BTreeSet<u32>>,
    limits: BTreeMap<JobId, u32>,
    accepted: u32,
    /// Of those accepted, how many the store did not take in after all.
    refused: u32,
}

#[derive(Debug, Clone)]
enum Step {
    Accept {
        on: u8,
        of: u8,
        cost: u32,
        deadline: i64,
        retry: u8,
        matched: bool,
    },
    /// The store takes a job in that arrives, or does not.
    Store(usize, bool),
    Write(usize),
    Deliver(usize),
    Take(u8),
    Finish(u8, usize),
    Refuse(u8, usize),
    Connect(u8),
    Disconnect(u8),
    Crash(u8),
    Grant(u8, u64),
    Cancel(usize),
    Wait(i64),
}

const AGENTS: u8 = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let on = 1..=AGENTS;
    let accept = (on.clone(), 1..4_u8, 1..=3_u32, 1..300_i64, 0..4_u8, any::<bool>()).prop_map(|(on, of, cost, deadline, retry, matched)| Step::Accept {
        on,
        of,
        cost,
        deadline,
        retry,
        matched,
    });
    let step = prop_oneof![
        8 => accept,
        6 => (any::<usize>(), proptest::bool::weighted(0.8)).prop_map(|(which, taken)| Step::Store(which, taken)),
        8 => any::<usize>().prop_map(Step::Write),
        12 => any::<usize>().prop_map(Step::Deliver),
        6 => on.clone().prop_map(Step::Take),
        5 => (on.clone(), any::<usize>()).prop_map(|(on, which)| Step::Finish(on, which)),
        2 => (on.clone(), any::<usize>()).prop_map(|(on, which)| Step::Refuse(on, which)),
        3 => on.clone().prop_map(Step::Connect),
        1 => on.clone().prop_map(Step::Disconnect),
        1 => on.clone().prop_map(Step::Crash),
        4 => (on, 1..12_u64).prop_map(|(on, more)| Step::Grant(on, more)),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (0..60_i64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..250)
}

impl World {
    fn new() -> Self {
        Self {
            board: Board::new(),
            now: at(1_000),
            open: BTreeMap::new(),
            ends: BTreeMap::new(),
            epochs: BTreeMap::new(),
            far: (1..=AGENTS).map(|number| (agent(number), Far::default())).collect(),
            writes: Vec::new(),
            arriving: Vec::new(),
            mail: Vec::new(),
            senders: 1_000,
            runs: BTreeMap::new(),
            limits: BTreeMap::new(),
            accepted: 0,
            refused: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Accept {
                on,
                of,
                cost,
                deadline,
                retry,
                matched,
            } => self.accept(on, of, cost, deadline, retry, matched),
            Step::Store(which, taken) => self.store(which, taken),
            Step::Write(which) => self.write(which),
            Step::Deliver(which) => self.deliver(which),
            Step::Take(on) => self.take(agent(on)),
            Step::Finish(on, which) => self.finish(agent(on), which),
            Step::Refuse(on, which) => self.refuse(agent(on), which),
            Step::Connect(on) => self.connect(agent(on)),
            Step::Disconnect(on) => self.disconnect(agent(on)),
            Step::Crash(on) => {
                self.disconnect(agent(on));
                self.far.get_mut(&agent(on)).unwrap().hand.clear();
            }
            Step::Grant(on, more) => self.grant(agent(on), more),
            Step::Cancel(which) => self.cancel(which),
            Step::Wait(seconds) => self.wait(Duration::from_secs(seconds.unsigned_abs())),
        }
        self.look();
    }

    fn accept(&mut self, on: u8, of: u8, cost: u32, deadline: i64, retry: u8, matched: bool) {
        self.accepted += 1;
        let retry: RetryPolicy = ["none", "transport", "always:1", "always:5"][usize::from(retry)].parse().unwrap();
        let deadline = self.now.plus(at(deadline).since(at(0)));
        let queued = QueuedJob {
            agent: agent(on),
            tenant: tenant(of),
            cost,
            deadline,
            ..job(self.accepted, Tier::Free)
        };
        let row = Row {
            agent: agent(on),
            attempt: 0,
            state: State::Queued,
            cancelled: false,
            deadline,
            retry,
        };
        self.limits.insert(queued.job, retry.attempts_max());
        let accepted = AcceptedJob {
            queued,
            measurement: MeasurementId::new(at(0), [1; 10]),
            retry,
            choice: if matched { Choice::Matched } else { Choice::Named },
        };
        if let Some(epoch) = self.board.handle_arriving(&[accepted], self.now).remove(&queued.job) {
            self.arriving.push((queued.job, epoch, row));
            return;
        }
        // The dispatcher hears of a job before anybody can learn its id.
        self.open.insert(queued.job, row);
        self.board.handle_accepted(vec![accepted], self.now);
    }

    fn store(&mut self, which: usize, taken: bool) {
        if self.arriving.is_empty() {
            return;
        }
        let (job, epoch, mut row) = self.arriving.remove(which % self.arriving.len());
        let arrival = if !taken {
            self.refused += 1;
            Arrival::Refused
        } else if self.epochs.get(&row.agent) == Some(&epoch.0) {
            (row.state, row.attempt) = (State::Leased, 1);
            Arrival::Leased(Attempt(row.attempt))
        } else {
            Arrival::Queued
        };
        if taken {
            self.open.insert(job, row);
        }
        self.post(Message::Arrived(row.agent, epoch, job, arrival));
    }

    fn post(&mut self, message: Message) {
        self.senders += 1;
        self.mail.push((self.senders, message));
    }

    fn post_from(&mut self, of: AgentId, epoch: Epoch, message: Message) {
        let number = self.far.keys().position(|other| *other == of).unwrap();
        self.mail.push((u32::try_from(number).unwrap() + 10 * epoch.0, message));
    }

    fn write(&mut self, which: usize) {
        if self.writes.is_empty() {
            return;
        }
        match self.writes.remove(which % self.writes.len()) {
            Effect::Lease { agent, epoch, jobs } => {
                let latest = self.epochs.get(&agent) == Some(&epoch.0);
                let mut written = BTreeMap::new();
                for job in &jobs {
                    if let Some(row) = self
                        .open
                        .get_mut(job)
                        .filter(|row| row.state == State::Queued && row.agent == agent && !row.cancelled && latest)
                    {
                        row.state = State::Leased;
                        row.attempt += 1;
                        written.insert(*job, Attempt(row.attempt));
                    }
                }
                self.post(Message::Leased(agent, epoch, jobs, written));
            }
            Effect::End { job, attempt, end, .. } => {
                if self.open.get(&job).is_some_and(|row| attempt.is_none_or(|attempt| attempt.0 == row.attempt)) {
                    self.end(job, end);
                }
            }
            Effect::Move { agent: from, jobs } => {
                for job in jobs {
                    let to = self.far.iter().find(|(to, far)| **to != from && far.session.is_some()).map(|(to, _)| *to);
                    let row = self.open.get_mut(&job.job);
                    if let (Some(to), Some(row)) = (to, row.filter(|row| row.agent == from && row.attempt == job.attempt.0 && !row.cancelled)) {
                        row.agent = to;
                        row.state = State::Queued;
                        self.post(Message::Moved(job.job, from, to));
                    }
                }
            }
            Effect::HandOver { .. } | Effect::Cancel { .. } | Effect::Kept { .. } | Effect::TakenBack(_) => unreachable!("not a write"),
        }
    }

    fn end(&mut self, job: JobId, end: End) {
        self.open.remove(&job).unwrap();
        assert_eq!(self.ends.insert(job, end), None, "one end");
        self.post(Message::Ended(job));
    }

    fn deliver(&mut self, which: usize) {
        let Some((sender, _)) = self.mail.get(which % self.mail.len().max(1)).cloned() else {
            return;
        };
        let first = self.mail.iter().position(|(other, _)| *other == sender).unwrap();
        let (_, message) = self.mail.remove(first);
        let now = self.now;
        match message {
            Message::Opened(agent, epoch, kept, returned) => self.board.handle_opened(agent, epoch, &kept, &returned, now),
            Message::Closed(agent, epoch) => self.board.handle_closed(agent, epoch, now),
            Message::Credit(agent, epoch, granted) => self.board.handle_credit(agent, epoch, granted, now),
            Message::Leased(agent, epoch, asked, written) => self.board.handle_leased(agent, epoch, &asked, Ok(&written), now),
            Message::Arrived(agent, epoch, job, arrival) => self.board.handle_arrived(agent, epoch, job, arrival, now),
            Message::Returned(agent, job, returned) => self.board.handle_returned(agent, job, returned, now),
            Message::Ended(job) => self.board.handle_ended(job, None, now),
            Message::Cancel(job) => self.board.handle_cancelled(&[job]),
            Message::Moved(job, from, to) => self.board.handle_moved(job, from, to, now),
        }
    }

    /// Does what the board asks for at once, keeps its writes for later, and checks the books.
    fn look(&mut self) {
        while let Some(effect) = self.board.poll_effect() {
            match effect {
                Effect::Lease { .. } | Effect::End { .. } | Effect::Move { .. } => self.writes.push(effect),
                Effect::HandOver { agent, epoch, job, cost, .. } => {
                    let far = self.far.get_mut(&agent).unwrap();
                    if far.session == Some(epoch) {
                        far.wire.push((job, cost));
                    }
                }
                Effect::Cancel { agent, jobs, .. } => {
                    for job in jobs {
                        self.stop(agent, job);
                    }
                }
                Effect::Kept { .. } | Effect::TakenBack(_) => {}
            }
        }
        assert_eq!(self.board.conservation_error(), 0);
    }

    /// The agent stops what it was told to, and reports that.
    fn stop(&mut self, of: AgentId, job: JobId) {
        let far = self.far.get_mut(&of).unwrap();
        far.wire.retain(|(waiting, _)| waiting.job != job);
        let in_hand = far.hand.remove(&job);
        if self
            .open
            .get(&job)
            .is_some_and(|row| row.agent == of && in_hand.is_none_or(|attempt| attempt == row.attempt))
        {
            self.end(job, End::Cancelled);
        }
    }

    fn take(&mut self, of: AgentId) {
        let far = self.far.get_mut(&of).unwrap();
        if far.wire.is_empty() {
            return;
        }
        let (job, _) = far.wire.remove(0);
        far.hand.insert(job.job, job.attempt.0);
        assert!(self.runs.entry(job.job).or_default().insert(job.attempt.0), "an attempt is handed out once");
        if let Some(row) = self
            .open
            .get_mut(&job.job)
            .filter(|row| row.attempt == job.attempt.0 && row.state == State::Leased)
        {
            row.state = State::Running;
        }
    }

    fn in_hand(&self, of: AgentId, which: usize) -> Option<JobRef> {
        let far = &self.far[&of];
        far.session?;
        let job = far.hand.iter().nth(which % far.hand.len().max(1))?;
        Some(JobRef {
            job: *job.0,
            attempt: Attempt(*job.1),
        })
    }

    fn finish(&mut self, of: AgentId, which: usize) {
        let Some(done) = self.in_hand(of, which) else { return };
        self.far.get_mut(&of).unwrap().hand.remove(&done.job);
        if self.open.get(&done.job).is_some_and(|row| row.agent == of && row.attempt == done.attempt.0) {
            self.end(done.job, End::Completed);
        }
    }

    fn refuse(&mut self, of: AgentId, which: usize) {
        let Some(refused) = self.in_hand(of, which) else { return };
        self.far.get_mut(&of).unwrap().hand.remove(&refused.job);
        let loss = Loss::Refused(shared_protocol::end::RefuseReason::Stopping);
        let Some(row) = self.open.get(&refused.job).copied() else { return };
        if row.agent != of || row.attempt != refused.attempt.0 || row.state == State::Queued {
            return;
        }
        match self.back(refused, row, loss) {
            Some(way) => self.post(Message::Returned(of, refused, way)),
            None => self.end(refused.job, End::Refused),
        }
    }

    /// Queues a job again in the store, if its policy says so.
    fn back(&mut self, job: JobRef, row: Row, loss: Loss) -> Option<Returned> {
        let Return::Queue { after } = returned(row.retry, job.attempt, loss, row.deadline.since(self.now), u32::MAX / 3) else {
            return None;
        };
        if row.cancelled {
            return None;
        }
        self.open.get_mut(&job.job).unwrap().state = State::Queued;
        Some(if !after.is_zero() {
            Returned::Held(self.now.plus(after))
        } else if loss == Loss::AgentLost {
            Returned::Used
        } else {
            Returned::Untouched
        })
    }

    fn connect(&mut self, of: AgentId) {
        self.disconnect(of);
        let epoch = self.epochs.entry(of).or_default();
        *epoch += 1;
        let epoch = Epoch(*epoch);
        let hand = self.far[&of].hand.clone();
        let (mut kept, mut again) = (Vec::new(), Vec::new());
        let rows: Vec<(JobId, Row)> = self.open.iter().filter(|(_, row)| row.agent == of).map(|(job, row)| (*job, *row)).collect();
        for (id, row) in rows {
            let reference = JobRef {
                job: id,
                attempt: Attempt(row.attempt),
            };
            if row.state == State::Queued {
                continue;
            }
            if row.cancelled {
                self.end(id, End::Cancelled);
            } else if hand.get(&id) == Some(&row.attempt) {
                self.open.get_mut(&id).unwrap().state = State::Running;
                kept.push(reference);
            } else {
                let loss = if row.state == State::Running { Loss::AgentLost } else { Loss::NeverAccepted };
                match self.back(reference, row, loss) {
                    Some(way) => again.push((reference, way)),
                    None => self.end(id, End::Failed),
                }
            }
        }
        let far = self.far.get_mut(&of).unwrap();
        far.hand.retain(|job, _| kept.iter().any(|kept| kept.job == *job));
        far.session = Some(epoch);
        far.granted = 0;
        self.post_from(of, epoch, Message::Opened(of, epoch, kept, again));
    }

    fn disconnect(&mut self, of: AgentId) {
        let far = self.far.get_mut(&of).unwrap();
        far.wire.clear();
        if let Some(epoch) = far.session.take() {
            self.post_from(of, epoch, Message::Closed(of, epoch));
        }
    }

    fn grant(&mut self, of: AgentId, more: u64) {
        let far = self.far.get_mut(&of).unwrap();
        if let Some(epoch) = far.session {
            far.granted += more;
            let granted = far.granted;
            self.post_from(of, epoch, Message::Credit(of, epoch, granted));
        }
    }

    fn cancel(&mut self, which: usize) {
        let count = self.open.len().max(1);
        let Some((job, row)) = self.open.iter_mut().nth(which % count) else { return };
        let job = *job;
        row.cancelled = true;
        if row.state == State::Queued {
            self.end(job, End::Cancelled);
        } else {
            self.post(Message::Cancel(job));
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
        self.board.handle_timeout(self.now);
    }

    /// Does everything that waits to be done.
    fn settle(&mut self) {
        self.look();
        while !self.writes.is_empty() || !self.mail.is_empty() || !self.arriving.is_empty() {
            self.store(0, true);
            self.look();
            self.write(0);
            self.look();
            self.deliver(0);
            self.look();
        }
    }

    /// Everybody is there, nothing is lost any more, and time goes on a little: everything must come to its end without its deadline's help.
    fn heal(&mut self) {
        for number in 1..=AGENTS {
            self.connect(agent(number));
            self.grant(agent(number), 100_000);
        }
        for _ in 0..400 {
            self.settle();
            for number in 1..=AGENTS {
                while !self.far[&agent(number)].wire.is_empty() {
                    self.take(agent(number));
                }
                while self.in_hand(agent(number), 0).is_some() {
                    self.finish(agent(number), 0);
                }
            }
            if self.open.is_empty() && self.mail.is_empty() && self.writes.is_empty() {
                return;
            }
            self.wait(Duration::from_millis(500));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("PROBEOPS_LONG").is_some() { 5_000 } else { 256 }, ..ProptestConfig::default() })]

    #[test]
    fn kil_01_g2_g3_every_job_has_one_end_whatever_happens_in_whatever_order(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
        }
        world.heal();
        prop_assert!(world.open.is_empty(), "stuck: {:?}", world.open);
        prop_assert_eq!(world.ends.len(), usize::try_from(world.accepted - world.refused).unwrap());
        prop_assert_eq!(world.board.open_jobs(), 0);
        prop_assert_eq!(world.board.in_flight(), 0);
        for (job, runs) in &world.runs {
            let limit = usize::try_from(world.limits[job]).unwrap();
            prop_assert!(runs.len() <= limit, "{job} ran {} times of {limit}", runs.len());
        }
    }

    #[test]
    fn g2_every_job_has_its_end_by_its_deadline_and_the_grace_though_nobody_comes(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
        }
        for number in 1..=AGENTS {
            world.apply(&Step::Crash(number));
        }
        while !world.arriving.is_empty() {
            world.store(0, true);
        }
        let last = world.open.values().map(|row| row.deadline.plus(DEADLINE_GRACE)).max();
        if let Some(last) = last {
            // Time goes on to each moment that the board names, and what it asks for is done.
            world.settle();
            while let Some(next) = world.board.poll_timeout().filter(|next| *next <= last) {
                world.now = world.now.max(next);
                world.wait(Duration::ZERO);
                world.settle();
            }
        }
        prop_assert!(world.open.is_empty(), "without an end at {:?}: {:?}", last, world.open);
    }
}
