//! One piece of standing work: window after window, each asked for anew and each with a report of its own.

use std::sync::Arc;
use std::time::Duration;

use shared_protocol::end::RefuseReason;
use shared_protocol::fault::{ErrorCode, Status};
use shared_protocol::frame::Run;
use shared_protocol::id::{Attempt, JobId, JobRef, StandingId};
use shared_protocol::report::Report;
use shared_protocol::spec::ProbeSpec;
use shared_protocol::standing::{StandingHeld, StandingItem, StandingState, StandingWindow};
use shared_protocol::time::MonotonicMicros;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Fares, Shelf};
use crate::clock;
use crate::outbox::{Outbox, Room};
use crate::policy::Policy;
use crate::runner::admission::{Refusal, Surroundings, admit};
use crate::runner::job::{Job, text_of};
use crate::runner::{Admission, ProbeEngine};

/// What all work is done with.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) engine: Arc<dyn ProbeEngine>,
    pub(super) policy: Arc<Policy>,
    pub(super) outbox: Outbox,
    /// Apart from those of jobs: what stands takes no job's place.
    pub(super) slots: Arc<Semaphore>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) fares: Arc<Fares>,
}

/// A piece of work, and what ends it.
pub(super) struct Work {
    pub(super) item: StandingItem,
    pub(super) workshop: Workshop,
    pub(super) cancel: CancellationToken,
}

/// How a window went.
pub(super) struct Fare {
    pub(super) state: StandingState,
    pub(super) reason: Option<RefuseReason>,
    pub(super) message: Option<String>,
}

impl Work {
    /// Makes windows until it is taken back. They begin at an even pace, by the monotonic clock, the first after a random part of that, a
    /// minute at most: agents that were told at the same time do not report at the same time.
    pub(super) async fn run(self) {
        let pace = self.pace();
        let mut next = clock::monotonic().plus(pace.min(SPREAD).mul_f64(rand::random()));
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = clock::sleep_until(next) => {}
            }
            let begun = clock::monotonic();
            let fare = self.window().await;
            self.tell(fare);
            next = follows(begun, pace, clock::monotonic());
        }
    }

    /// Time from the beginning of a window to the next one's.
    fn pace(&self) -> Duration {
        match ProbeSpec::from_value(self.item.spec.clone()) {
            Ok(ProbeSpec::Observe(observe)) => observe.duration(),
            Ok(_) | Err(_) => RETRY,
        }
    }

    /// One window, and how it went.
    pub(super) async fn window(&self) -> Fare {
        let spec = match self.admitted().await {
            Ok(spec) => spec,
            Err(refusal) => return Fare::refused(refusal),
        };
        self.tell_begun();
        let (findings, _) = mpsc::channel(1);
        let job = JobRef {
            job: JobId::new(clock::wall(), clock::random_id_bytes()),
            attempt: WINDOW,
        };
        let deadline = clock::monotonic().plus(spec.timeout());
        let run = Job {
            id: job,
            spec,
            deadline,
            cancel: self.cancel.clone(),
            slots: Arc::clone(&self.workshop.slots),
            engine: Arc::clone(&self.workshop.engine),
            findings,
        };
        let report = run.run().await;
        let fare = Fare::of(&report);
        // One that could not even begin says nothing that its state does not.
        if report.findings.is_some() || fare.state == StandingState::Degraded && !self.cancel.is_cancelled() {
            self.keep(job, report).await;
        }
        fare
    }

    /// What may be done in a window. Where the host could not do it, it is looked at again first: an observer may have come since.
    async fn admitted(&self) -> Result<ProbeSpec, Refusal> {
        match self.admit() {
            Err(refusal) if refusal.reason == RefuseReason::Unsupported => {
                self.workshop.engine.look_around().await;
                self.admit()
            }
            admitted => admitted,
        }
    }

    fn admit(&self) -> Result<ProbeSpec, Refusal> {
        let capabilities = self.workshop.engine.capabilities();
        let surroundings = Surroundings {
            admission: Admission::Open,
            room: Room::Free,
            held: 0,
            capabilities: &capabilities,
        };
        let run = Run {
            job: JobId::new(clock::wall(), clock::random_id_bytes()),
            attempt: WINDOW,
            spec: self.item.spec.clone(),
            cost: 1,
            remaining_ms: u64::MAX,
            limits: self.item.limits.clone(),
        };
        let spec = admit(&self.workshop.policy, &surroundings, run)?;
        if !matches!(spec, ProbeSpec::Observe(_)) {
            return Err(Refusal::new(RefuseReason::Unsupported, "this agent's standing work is observations only"));
        }
        let allowed = self.workshop.policy.check_standing();
        allowed.map_err(|refused| Refusal::new(refused.reason, refused.message))?;
        Ok(spec)
    }

    /// Puts a window's report into the outbox. Where the disk refuses it, it is lost and counted: the next one comes.
    async fn keep(&self, job: JobRef, mut report: Report) {
        let lost = self.workshop.fares.borrow().get(&self.item.id).map_or(0, |held| held.lost);
        report.standing = Some(StandingWindow {
            id: self.item.id,
            revision: self.item.revision,
            lost,
        });
        match self.workshop.outbox.append_window(job, &text_of(&report), clock::wall()).await {
            Ok(given_up) => self.count_lost(&given_up),
            Err(error) => {
                tracing::error!(standing_id = %self.item.id, %error, "a window's report could not be kept and is lost");
                self.count_lost(&[self.item.id]);
            }
        }
    }

    fn count_lost(&self, of: &[StandingId]) {
        if of.is_empty() {
            return;
        }
        self.workshop.fares.send_modify(|fares| {
            for id in of {
                if let Some(held) = fares.get_mut(id) {
                    held.lost += 1;
                }
            }
        });
        self.workshop.shelf.keep(&self.workshop.fares.borrow());
    }

    fn tell_begun(&self) {
        self.tell_if(|held| held.state == StandingState::Waiting, Fare::running());
    }

    fn tell(&self, fare: Fare) {
        self.tell_if(|_| true, fare);
    }

    /// Changes how the work fares, where it is still this one and where that says something new.
    fn tell_if(&self, when: impl Fn(&StandingHeld) -> bool, fare: Fare) {
        self.workshop.fares.send_if_modified(|fares| {
            let is_ours = |held: &&mut StandingHeld| held.revision == self.item.revision && held.mark == self.item.mark && !self.cancel.is_cancelled();
            let Some(held) = fares.get_mut(&self.item.id).filter(is_ours).filter(|held| when(held)) else {
                return false;
            };
            let is_news = (held.state, held.reason, &held.message) != (fare.state, fare.reason, &fare.message);
            (held.state, held.reason, held.message) = (fare.state, fare.reason, fare.message);
            is_news
        });
    }
}

impl Fare {
    const fn running() -> Self {
        Self {
            state: StandingState::Running,
            reason: None,
            message: None,
        }
    }

    fn refused(refusal: Refusal) -> Self {
        let state = match refusal.reason {
            RefuseReason::Unsupported | RefuseReason::InvalidSpec => StandingState::Unsupported,
            RefuseReason::PolicyDenied
            | RefuseReason::KindDisabled
            | RefuseReason::CapExceeded
            | RefuseReason::NoCredit
            | RefuseReason::AgentBusy
            | RefuseReason::OutboxFull
            | RefuseReason::Expired
            | RefuseReason::Stopping => StandingState::Refused,
        };
        Self {
            state,
            reason: Some(refusal.reason),
            message: Some(refusal.message),
        }
    }

    /// What a window's report means for the work.
    fn of(report: &Report) -> Self {
        let message = report.error.as_ref().map(|error| error.message.clone());
        match (report.status, report.error.as_ref().map(|error| error.code)) {
            (Status::Ok, _) => Self::running(),
            (_, Some(ErrorCode::PolicyDenied)) => Self {
                state: StandingState::Refused,
                reason: Some(RefuseReason::PolicyDenied),
                message,
            },
            (_, Some(ErrorCode::PermissionMissing)) if report.findings.is_none() => Self {
                state: StandingState::Unsupported,
                reason: Some(RefuseReason::Unsupported),
                message,
            },
            (Status::Degraded | Status::Failed | Status::Timeout, _) => Self {
                state: StandingState::Degraded,
                reason: None,
                message,
            },
        }
    }
}

/// When the next window begins: at the pace, or at once where the last one took longer, or not before the pace where it was over at once.
fn follows(begun: MonotonicMicros, pace: Duration, now: MonotonicMicros) -> MonotonicMicros {
    begun.plus(pace).max(now)
}

/// Stands where a job's attempt does: nobody handed a window out.
pub(crate) const WINDOW: Attempt = Attempt(0);
/// How long windows may take to end when they are told to.
pub(super) const END_TIME: Duration = Duration::from_secs(5);
/// Longest time until the first window begins: enough for a fleet not to report at once, little enough not to miss much of a long window.
const SPREAD: Duration = Duration::from_mins(1);
/// Time until work that cannot be read is looked at again: a change of it comes by itself.
const RETRY: Duration = Duration::from_mins(1);
