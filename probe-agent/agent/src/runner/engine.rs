//! Who does the probing: the real probes, or a stand-in of a test.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use agent_probes::table::{self, ProbeContext};
use futures_util::future::BoxFuture;
use shared_protocol::event::ProbeEvent;
use shared_protocol::frame::Capability;
use shared_protocol::report::{ClockQuality, Report};
use shared_protocol::spec::ProbeSpec;
use shared_protocol::time::{MonotonicMicros, UnixMicros};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Runs a probe to its report. A trait because tests must be able to stall, panic and disobey.
pub trait ProbeEngine: fmt::Debug + Send + Sync {
    /// Runs one probe; `cancel` ends it early, with a report all the same.
    fn run<'a>(&'a self, spec: &'a ProbeSpec, events: mpsc::Sender<ProbeEvent>, cancel: CancellationToken) -> BoxFuture<'a, Report>;

    /// What it can do on this host.
    fn capabilities(&self) -> Vec<Capability>;

    /// Finds out again what may have changed on this host; called before each session.
    fn look_around(&self) -> BoxFuture<'_, ()>;

    /// Hears the control plane's clock, from `welcome`.
    fn set_server_time(&self, server: UnixMicros);
}

/// The real probes, on this host's sockets.
pub struct LocalProbes {
    context: ProbeContext,
    clock: AgentClock,
}

/// How far the agent's wall clock is from the control plane's, as last measured.
#[derive(Debug, Default)]
pub struct AgentClock(Mutex<Option<(i64, MonotonicMicros)>>);

impl AgentClock {
    /// Notes the control plane's clock, read at this moment; the way it took is not known and counts as offset.
    pub fn set(&self, server: UnixMicros, wall: UnixMicros, now: MonotonicMicros) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((wall.micros().saturating_sub(server.micros()), now));
    }

    /// What reports say about the clock.
    pub fn quality(&self, now: MonotonicMicros) -> ClockQuality {
        let measured = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        measured.map_or_else(ClockQuality::default, |(offset_us, at)| ClockQuality {
            offset_us: Some(offset_us),
            age_s: Some(now.since(at).as_secs()),
        })
    }
}

impl LocalProbes {
    /// Probes with this context; its clock quality is replaced for each job.
    pub fn new(context: ProbeContext) -> Self {
        Self {
            context,
            clock: AgentClock::default(),
        }
    }
}

impl ProbeEngine for LocalProbes {
    fn run<'a>(&'a self, spec: &'a ProbeSpec, events: mpsc::Sender<ProbeEvent>, cancel: CancellationToken) -> BoxFuture<'a, Report> {
        let mut context = self.context.clone();
        context.clock = self.clock.quality(clock::monotonic());
        Box::pin(async move { table::run(spec, &context, events, cancel).await })
    }

    fn capabilities(&self) -> Vec<Capability> {
        table::capabilities(&self.context)
    }

    fn look_around(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.context.observer.refresh())
    }

    fn set_server_time(&self, server: UnixMicros) {
        self.clock.set(server, clock::wall(), clock::monotonic());
    }
}

impl fmt::Debug for LocalProbes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalProbes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clk_02_the_offset_is_ours_minus_theirs_and_ages_by_the_monotonic_clock() {
        let clock = AgentClock::default();
        assert_eq!(clock.quality(MonotonicMicros::from_micros(5)), ClockQuality::default());
        clock.set(UnixMicros::from_micros(1_000), UnixMicros::from_micros(400), MonotonicMicros::from_micros(0));
        let quality = clock.quality(MonotonicMicros::from_micros(7_500_000));
        assert_eq!((quality.offset_us, quality.age_s), (Some(-600), Some(7)));
    }
}
