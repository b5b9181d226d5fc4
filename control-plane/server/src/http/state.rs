//! What every handler can reach.

use std::sync::Arc;

use control_services::Services;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::HttpMetrics;

/// What every handler can reach; cheap to clone. Services answer only to whoever holds a grant.
#[derive(Clone)]
pub(crate) struct AppState {
    /// The façade of what the control plane does.
    pub(crate) services: Services,
    /// What the HTTP side counts.
    pub(crate) metrics: HttpMetrics,
    /// Tasks that feed live streams.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the process is to stop.
    pub(crate) stopping: CancellationToken,
    /// One permit for each request being answered.
    pub(crate) requests: Arc<Semaphore>,
    /// One permit for each live stream.
    pub(crate) streams: Arc<Semaphore>,
}

impl AppState {
    pub(crate) fn new(services: Services, stopping: CancellationToken) -> Self {
        let metrics = HttpMetrics::new(&services);
        Self {
            services,
            metrics,
            tasks: TaskTracker::new(),
            stopping,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

/// Most requests answered at once, waiting ones (`?wait=`) included; more are answered 503.
const REQUESTS_MAX: usize = 4_096;
/// Most live streams at once; more are answered 503.
const STREAMS_MAX: usize = 4_096;
