//! Series: the numbers of reports and of agents' hosts over time. One task adds them, everybody reads them from the store.

mod csv;
mod query;
mod roller;
#[cfg(test)]
mod tests;

pub(crate) use csv::line as csv_line;
pub(crate) use roller::{Inlet, Roller};

use std::borrow::Cow;
use std::sync::Arc;

use control_core::series::{Contribution, Good, Reading};
use control_store::Store;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;
use tokio::sync::{Notify, mpsc};

use crate::metrics::Metrics;

/// Series; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Series {
    store: Store,
    metrics: Metrics,
    due: Arc<Notify>,
    /// Bound [`HOST_BATCHES`]; when it is full, what an agent saw of its host is dropped and counted: the next look comes soon.
    host: mpsc::Sender<Vec<Contribution>>,
}

/// One number that an agent saw of its own host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSample {
    /// Whose agent it is.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The number's name, its unit at its end.
    pub metric: Cow<'static, str>,
    /// When, by the control plane's clock.
    pub at: UnixMicros,
    /// How much.
    pub value: f64,
}

impl Series {
    pub(crate) fn new(store: Store, metrics: Metrics) -> (Self, Inlet) {
        let (host, receiver) = mpsc::channel(HOST_BATCHES);
        let due = Arc::new(Notify::new());
        let inlet = Inlet {
            due: Arc::clone(&due),
            host: receiver,
        };
        (Self { store, metrics, due, host }, inlet)
    }

    /// Says that a stored report has numbers to add.
    pub(crate) fn report_stored(&self) {
        self.due.notify_one();
    }

    /// Takes what agents saw of their own hosts. It is added within half a minute; a crash before that loses it.
    pub fn ingest_samples(&self, samples: Vec<HostSample>) {
        let count = u64::try_from(samples.len()).unwrap_or(u64::MAX);
        if self.host.try_send(contributions(samples)).is_err() {
            self.metrics.series_dropped.inc_by(count);
        }
    }
}

/// Samples of one agent at one moment are one contribution; they come in that order.
fn contributions(samples: Vec<HostSample>) -> Vec<Contribution> {
    let mut contributions: Vec<Contribution> = Vec::new();
    for sample in samples.into_iter().filter(|sample| sample.value.is_finite()) {
        let reading = Reading {
            name: sample.metric,
            value: sample.value,
        };
        match contributions.last_mut() {
            Some(last) if last.agent == sample.agent && last.at == sample.at => last.readings.push(reading),
            Some(_) | None => contributions.push(Contribution {
                tenant: sample.tenant,
                agent: sample.agent,
                probe: Contribution::AGENT.to_owned(),
                target: String::new(),
                at: sample.at,
                good: Good::Yes,
                readings: vec![reading],
            }),
        }
    }
    contributions
}

/// Most batches of host samples that wait to be taken in.
const HOST_BATCHES: usize = 4_096;
