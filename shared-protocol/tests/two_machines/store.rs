//! The reference model of the control plane's database: jobs `queued → leased(attempt) → ended` once, reports once, all of it durable.

use std::collections::BTreeMap;

use shared_protocol::end::End;
use shared_protocol::frame::{Ack, Hello, Run, Welcome};
use shared_protocol::id::{Attempt, JobId, JobRef, Sequence, StandingId};
use shared_protocol::standing::StandingItem;
use shared_protocol::time::UnixMicros;

use crate::Mutation;
use crate::ledger::{Kept, Ledger};

pub(crate) struct Store {
    jobs: BTreeMap<JobId, Row>,
    up_to: u64,
    pub(crate) epoch: u32,
    mutation: Mutation,
    /// Standing work, as it is wanted of the agent.
    wanted: BTreeMap<StandingId, StandingItem>,
    changes: u32,
}

struct Row {
    state: State,
    attempt: u32,
    cost: u32,
    /// By the server's clock, grace included.
    ends_by: u64,
    cancel_requested: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Leased,
    Running,
    Ended(End),
}

impl Store {
    pub(crate) fn new(mutation: Mutation) -> Self {
        Self {
            jobs: BTreeMap::new(),
            up_to: 0,
            epoch: 0,
            mutation,
            wanted: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Somebody wants something else done until they say otherwise.
    pub(crate) fn want(&mut self, id: StandingId, anything: bool) {
        self.changes += 1;
        if !anything {
            self.wanted.remove(&id);
            return;
        }
        let item = StandingItem {
            id,
            revision: self.changes,
            mark: self.changes.to_string(),
            spec: serde_json::Value::Null,
            limits: None,
        };
        self.wanted.insert(id, item);
    }

    /// All that is wanted to stand.
    pub(crate) fn wanted(&self) -> Vec<StandingItem> {
        self.wanted.values().cloned().collect()
    }

    pub(crate) fn accept(&mut self, job: JobId, cost: u32, ends_by: u64) {
        self.jobs.insert(
            job,
            Row {
                state: State::Queued,
                attempt: 0,
                cost,
                ends_by,
                cancel_requested: false,
            },
        );
    }

    /// Starts a session: settles every lease by what the agent has in hand.
    pub(crate) fn hello(&mut self, hello: &Hello, ledger: &mut Ledger) -> Welcome {
        self.epoch += 1;
        let (mut readopted, mut drop) = (Vec::new(), Vec::new());
        for held in &hello.in_hand {
            match self.jobs.get_mut(&held.job) {
                Some(row) if row.is_leased(held.attempt) && !row.cancel_requested => {
                    row.state = State::Running;
                    readopted.push(*held);
                }
                _ => drop.push(held.job),
            }
        }
        for (job, row) in &mut self.jobs {
            if !matches!(row.state, State::Leased | State::Running) || hello.in_hand.iter().any(|held| held.job == *job && row.is_leased(held.attempt)) {
                continue;
            }
            if row.state == State::Leased && row.attempt < 3 && !row.cancel_requested {
                row.state = State::Queued;
                if self.mutation == Mutation::SameAttemptAgain {
                    row.attempt -= 1;
                }
            } else {
                row.end(*job, End::Failed, ledger);
            }
        }
        Welcome {
            version: 1,
            server_time_us: UnixMicros::from_micros(0),
            ack: self.ack(hello),
            readopted,
            drop,
            keepalive_ms: 15_000,
        }
    }

    pub(crate) fn ack(&self, hello: &Hello) -> Ack {
        Ack {
            incarnation: hello.outbox.incarnation,
            up_to: Sequence::new(self.up_to).unwrap(),
        }
    }

    /// Leases the first queued job whose cost fits.
    pub(crate) fn lease(&mut self, credit: u64) -> Option<Run> {
        let (job, row) = self.jobs.iter_mut().find(|(_, row)| row.state == State::Queued)?;
        if u64::from(row.cost) > credit {
            return None;
        }
        row.state = State::Leased;
        row.attempt += 1;
        Some(Run {
            job: *job,
            attempt: Attempt(row.attempt),
            spec: serde_json::json!({"probe": "ping", "target": "127.0.0.1"}),
            cost: row.cost,
            remaining_ms: 60_000,
            limits: None,
        })
    }

    pub(crate) fn accepted(&mut self, job: JobRef) {
        if let Some(row) = self.jobs.get_mut(&job.job)
            && row.state == State::Leased
            && row.attempt == job.attempt.0
        {
            row.state = State::Running;
        }
    }

    pub(crate) fn refused(&mut self, job: JobRef, ledger: &mut Ledger) {
        if let Some(row) = self.jobs.get_mut(&job.job)
            && row.is_leased(job.attempt)
        {
            row.end(job.job, End::Refused, ledger);
        }
    }

    /// Takes a report in, in one transaction: the report, the end, the outbox's mark.
    pub(crate) fn ingest(&mut self, seq: u64, job: JobRef, body: &str, ledger: &mut Ledger) {
        if seq <= self.up_to {
            return;
        }
        if seq != self.up_to + 1 {
            ledger.violate(format!("report {seq} follows {}", self.up_to));
        }
        self.up_to = seq;
        let fenced = self.mutation != Mutation::NoFence;
        let row = self.jobs.get_mut(&job.job).expect("only known jobs are handed out");
        let current = row.attempt == job.attempt.0;
        let kept = match row.state {
            State::Ended(End::Expired | End::Failed) if current => Kept::Late,
            State::Ended(_) => Kept::Discarded,
            _ if !current && fenced => Kept::Discarded,
            State::Queued | State::Leased | State::Running => {
                let end = if row.cancel_requested { End::Cancelled } else { End::Completed };
                row.end(job.job, end, ledger);
                Kept::Stored
            }
        };
        ledger.report_kept(seq, job, body, current, kept);
    }

    /// Marks a job as not wanted any more; says whether the agent must be told.
    pub(crate) fn cancel(&mut self, job: JobId, ledger: &mut Ledger) -> bool {
        let Some(row) = self.jobs.get_mut(&job) else { return false };
        match row.state {
            State::Queued => row.end(job, End::Cancelled, ledger),
            State::Leased | State::Running => row.cancel_requested = true,
            State::Ended(_) => {}
        }
        row.cancel_requested
    }

    /// Ends the jobs past their deadline; says whether there were any.
    pub(crate) fn expire(&mut self, server_now: u64, ledger: &mut Ledger) -> bool {
        let mut any = false;
        for (job, row) in &mut self.jobs {
            if row.ends_by <= server_now && !matches!(row.state, State::Ended(_)) {
                row.end(*job, End::Expired, ledger);
                any = true;
            }
        }
        any
    }

    /// No session for too long: what was handed out is handed out again, and the next attempt fences this one.
    pub(crate) fn lapse(&mut self) {
        for row in self.jobs.values_mut() {
            if matches!(row.state, State::Leased | State::Running) && row.attempt < 3 && !row.cancel_requested {
                row.state = State::Queued;
            }
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<u64> {
        let open = self.jobs.values().filter(|row| !matches!(row.state, State::Ended(_)));
        open.map(|row| row.ends_by).min()
    }
}

impl Row {
    fn is_leased(&self, attempt: Attempt) -> bool {
        matches!(self.state, State::Leased | State::Running) && self.attempt == attempt.0
    }

    fn end(&mut self, job: JobId, end: End, ledger: &mut Ledger) {
        self.state = State::Ended(end);
        ledger.job_ended(job, end);
    }
}
