//! One agent as the board sees it: its session, its jobs in flight, how fast it works.

use std::collections::{BTreeMap, BTreeSet};

use shared_protocol::id::{Epoch, JobId};
use shared_protocol::time::UnixMicros;

use crate::drain::DrainRate;
use crate::duty::Duty;

#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) live: Option<Live>,
    /// Its jobs in flight and since when, with their cost.
    pub(super) in_flight: BTreeMap<JobId, (UnixMicros, u32)>,
    /// Its open jobs whose policy has something to say when it is gone.
    pub(super) restless: BTreeSet<JobId>,
    pub(super) drain: DrainRate,
    /// When it is taken to be gone.
    pub(super) gone_at: Option<UnixMicros>,
    /// When it is looked at again.
    pub(super) look_at: Option<UnixMicros>,
    pub(super) duty: Duty,
}

/// A session that counts.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) epoch: Epoch,
    /// The first grant of the session: what the agent does at the same time, agent-seconds.
    pub(super) capacity: Option<u32>,
    pub(super) granted: u64,
    pub(super) sent: u64,
    pub(super) leasing: bool,
}

impl Live {
    pub(super) const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            capacity: None,
            granted: 0,
            sent: 0,
            leasing: false,
        }
    }

    /// What the agent still takes.
    pub(super) fn credit(&self) -> u32 {
        u32::try_from(self.granted.saturating_sub(self.sent)).unwrap_or(u32::MAX)
    }

    /// The agent did not get a job after all that was counted.
    pub(super) fn unsend(&mut self, cost: u32) {
        self.sent = self.sent.saturating_sub(u64::from(cost));
    }
}

impl Desk {
    pub(super) fn begin(&mut self, job: JobId, cost: u32, now: UnixMicros) {
        self.in_flight.insert(job, (now, cost));
        self.count_time(now);
    }

    /// The agent does not have a job any more that it did.
    pub(super) fn end(&mut self, job: JobId, outcome: Done, now: UnixMicros) {
        if let Some((_, cost)) = self.in_flight.remove(&job)
            && outcome == Done::Finished
        {
            self.drain.finished(cost, now);
        }
        self.count_time(now);
    }

    /// Time counts while the agent is here and has something to do.
    pub(super) fn count_time(&mut self, now: UnixMicros) {
        if self.live.is_some() && !self.in_flight.is_empty() {
            self.drain.busy(now);
        } else {
            self.drain.idle(now);
        }
    }

    /// What its jobs in flight are still expected to cost.
    pub(super) fn remainder(&self, now: UnixMicros) -> u64 {
        let left = self
            .in_flight
            .values()
            .map(|(since, cost)| u64::from(*cost).saturating_sub(now.since(*since).as_secs()));
        left.fold(0, u64::saturating_add)
    }
}

/// What became of a job that its agent does not have any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Finished,
    Returned,
}
