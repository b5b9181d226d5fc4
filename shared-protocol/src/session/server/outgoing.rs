//! What waits to be said to an agent: control in slots that hold the latest, work in a queue.

use std::collections::VecDeque;

use crate::frame::{Ack, Cancel, Goaway, Run, ServerFrame, ServerKeepalive, Welcome};
use crate::id::JobId;
use crate::limits::JOBS_IN_HAND;
use crate::standing::Configure;

/// The frames of one session on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    welcome: Option<Box<Welcome>>,
    ack: Option<Ack>,
    cancels: Vec<JobId>,
    configures: VecDeque<Configure>,
    goaway: Option<Goaway>,
    keepalive: Option<ServerKeepalive>,
    work: VecDeque<Work>,
}

#[derive(Debug)]
enum Work {
    Run(Box<Run>),
    /// A cancel of a job whose `run` still waits: it must not arrive first.
    Cancel(JobId),
}

/// More waits than an agent that reads would let wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Outgoing {
    pub(super) fn welcome(&mut self, welcome: Welcome) {
        self.welcome = Some(Box::new(welcome));
    }

    pub(super) fn run(&mut self, run: Run) -> Result<(), Full> {
        self.push(Work::Run(Box::new(run)))
    }

    pub(super) fn cancel(&mut self, jobs: Vec<JobId>) -> Result<(), Full> {
        for job in jobs {
            let waits = self.work.iter().any(|work| matches!(work, Work::Run(run) if run.job == job));
            if waits {
                self.push(Work::Cancel(job))?;
            } else if self.cancels.contains(&job) {
                // Said already.
            } else if self.cancels.len() < JOBS_IN_HAND {
                self.cancels.push(job);
            } else {
                return Err(Full);
            }
        }
        Ok(())
    }

    pub(super) fn configure(&mut self, configure: Configure) -> Result<(), Full> {
        if self.configures.len() >= CONFIGURES {
            return Err(Full);
        }
        self.configures.push_back(configure);
        Ok(())
    }

    pub(super) fn ack(&mut self, ack: Ack) {
        // Cumulative: the later one says it all.
        if self.ack.is_none_or(|waiting| waiting.up_to < ack.up_to) {
            self.ack = Some(ack);
        }
    }

    pub(super) fn goaway(&mut self, goaway: Goaway) {
        self.goaway = Some(goaway);
    }

    /// Answers the agent's keepalive, or, with `None`, speaks unasked.
    pub(super) fn keepalive(&mut self, answers: Option<u64>) {
        let waiting = self.keepalive.and_then(|keepalive| keepalive.answers);
        self.keepalive = Some(ServerKeepalive { answers: answers.or(waiting) });
    }

    pub(super) fn pop(&mut self) -> Option<ServerFrame> {
        if let Some(welcome) = self.welcome.take() {
            return Some(ServerFrame::Welcome(*welcome));
        }
        if let Some(keepalive) = self.keepalive.take() {
            return Some(ServerFrame::Keepalive(keepalive));
        }
        if let Some(ack) = self.ack.take() {
            return Some(ServerFrame::Ack(ack));
        }
        if !self.cancels.is_empty() {
            let jobs = std::mem::take(&mut self.cancels);
            return Some(ServerFrame::Cancel(Cancel { jobs }));
        }
        if let Some(goaway) = self.goaway.take() {
            return Some(ServerFrame::Goaway(goaway));
        }
        if let Some(configure) = self.configures.pop_front() {
            if self.configures.is_empty() {
                self.configures = VecDeque::new();
            }
            return Some(ServerFrame::Configure(configure));
        }
        let frame = match self.work.pop_front()? {
            Work::Run(run) => ServerFrame::Run(*run),
            Work::Cancel(job) => ServerFrame::Cancel(Cancel { jobs: vec![job] }),
        };
        if self.work.is_empty() {
            self.work = VecDeque::new();
        }
        Some(frame)
    }

    fn push(&mut self, work: Work) -> Result<(), Full> {
        if self.work.len() >= 2 * JOBS_IN_HAND {
            return Err(Full);
        }
        self.work.push_back(work);
        Ok(())
    }
}

/// Most changes of standing work that wait for an agent to read.
const CONFIGURES: usize = 64;
