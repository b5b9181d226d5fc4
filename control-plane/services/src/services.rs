//! The façade: starts every part in order, hands out their handles, and stops them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control_core::authorize::SystemScope;
use control_core::board::AcceptedJob;
use control_core::duty::Duty;
use control_core::queue::QueuedJob;
use control_core::retry::HandedOut;
use control_store::jobs::OpenState;
use control_store::{Database, Store, StoreError, StoreMetrics, StoreOptions};
use shared_protocol::frame::Goaway;
use shared_protocol::id::InstanceId;
use shared_protocol::limits::KEEPALIVE_INTERVAL;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::error::StartError;
use crate::fleet::{Authority, Directory, Fleet, IdentityMap};
use crate::housekeeping;
use crate::identity::{Identity, JoinBundles, Pepper};
use crate::jobs::{Accepts, Dispatch, Dispatcher, Jobs, Lifecycle, Loaded, Rates, Targets, stranded};
use crate::metrics::Metrics;
use crate::packages::Packages;
use crate::reports::{Bus, Reports};
use crate::series::{Roller, Series};
use crate::standing::Standing;
use crate::subscriptions::Subscriptions;
use crate::tiers::Tiers;

/// Where the control plane keeps what it keeps, and how it is reached.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Holds the certificate authority, the pepper and the embedded database; made with mode 0700 where it is missing.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// Names and addresses by which agents reach the agent port: subject names of its certificate.
    pub agent_names: Vec<String>,
    /// `host:port` that join bundles carry.
    pub agent_address: String,
    /// The trust domain of the agents' identities.
    pub trust_domain: String,
    /// Time between two keepalives of a session; three of them without a byte are its end.
    pub keepalive: Duration,
    /// Most packets a second that one public target is sent by all agents together.
    pub target_packets_per_second: u32,
}

impl ServiceOptions {
    /// The defaults: everything on this machine.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            database: Database::file(data_dir.join("probeops.db")),
            data_dir,
            agent_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            agent_address: "127.0.0.1:8443".to_owned(),
            trust_domain: "probeops".to_owned(),
            keepalive: KEEPALIVE_INTERVAL,
            target_packets_per_second: TARGET_PACKETS_PER_SECOND,
        }
    }
}

/// Everything the control plane does; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Who asks: tenants, keys, join tokens.
    pub identity: Identity,
    /// The agents.
    pub fleet: Fleet,
    /// Measurements and jobs.
    pub jobs: Jobs,
    /// Reports and live streams.
    pub reports: Reports,
    /// Tiers and usage.
    pub subscriptions: Subscriptions,
    /// What is observed until it is taken back.
    pub standing: Standing,
    /// Observations of tenants' own.
    pub packages: Packages,
    /// Numbers over time.
    pub series: Series,
    /// What is counted.
    pub metrics: Metrics,
    store: Store,
    lifecycle: Lifecycle,
}

/// Whether requests can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// They can, with the store on this database.
    Ready(&'static str),
    /// They cannot; the text names what is missing.
    NotReady(String),
}

impl Services {
    /// Opens the store, makes or reads the certificate authority, loads the open jobs and starts the dispatcher.
    ///
    /// # Errors
    /// [`StartError`] says which part could not start.
    pub async fn start(options: ServiceOptions) -> Result<Self, StartError> {
        let data_dir = options.data_dir.as_path();
        make_private(data_dir)?;
        let store = Store::open(options.database, StoreOptions::default()).await?;
        tracing::info!(database = store.kind().as_str(), "the store is open");
        let pepper = Pepper::load_or_create(&data_dir.join("pepper")).map_err(StartError::Pepper)?;
        let authority = Authority::load_or_create(&data_dir.join("ca"), &options.agent_names, &options.trust_domain, clock::now())?;

        let (dispatch, receiver) = Dispatch::channel();
        let (accepts, accepted) = Accepts::channel();
        let (stranded, relocations) = stranded();
        let boot = InstanceId::new(clock::now(), clock::random_id_bytes());
        let metrics = Metrics::default();
        let (series, numbers) = Series::new(store.clone(), metrics.clone());
        let lifecycle = Lifecycle {
            store: store.clone(),
            bus: Arc::new(Bus::new(boot.uuid().simple().to_string())),
            dispatch,
            accepts,
            in_flight: Arc::default(),
            metrics,
            tiers: Tiers::load(&store).await?,
            stranded,
            rates: Rates::default(),
            targets: Targets::new(options.target_packets_per_second),
            series,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        let loaded = load_open_jobs(&store).await?;
        tracing::info!(open_jobs = loaded.len(), "open jobs loaded");
        for job in &loaded {
            lifecycle.bus.open(job.job.measurement, 1, None);
        }
        let dispatcher = Dispatcher::new(lifecycle.clone(), loaded);
        lifecycle.tasks.spawn(dispatcher.run(receiver));
        lifecycle.tasks.spawn(accepted.run(lifecycle.clone()));

        let house = housekeeping::keep_house(store.clone(), lifecycle.tiers.clone(), lifecycle.metrics.clone(), lifecycle.stopping.clone());
        lifecycle.tasks.spawn(house);
        let roller = Roller::new(store.clone(), lifecycle.metrics.clone(), lifecycle.stopping.clone());
        lifecycle.tasks.spawn(roller.run(numbers));
        let identities = Arc::new(IdentityMap::load(store.clone()).await?);
        lifecycle.tasks.spawn(Arc::clone(&identities).keep_fresh(lifecycle.stopping.clone()));
        let bundles = JoinBundles {
            address: options.agent_address,
            ca_pin: authority.ca_pin(),
        };
        let directory = Directory::load(&store).await?;
        for agent in directory.off_duty() {
            lifecycle.dispatch.duty(agent, Duty::Draining).await;
        }
        let fleet = Fleet::new(
            lifecycle.clone(),
            identities,
            authority,
            options.trust_domain,
            directory,
            bundles.clone(),
            options.keepalive,
        );
        let identity = Identity::new(store.clone(), pepper, bundles, lifecycle.tiers.clone());
        lifecycle.tasks.spawn(identity.clone().keep_last_used(lifecycle.stopping.clone()));
        let jobs = Jobs::new(lifecycle.clone(), fleet.clone());
        lifecycle.tasks.spawn(jobs.clone().relocate(relocations));
        Ok(Self {
            packages: Packages::new(store.clone(), lifecycle.tiers.clone(), fleet.clone()),
            subscriptions: Subscriptions::new(lifecycle.clone(), identity.clone()),
            standing: Standing::new(jobs.clone(), fleet.clone()),
            identity,
            jobs,
            reports: Reports::new(store.clone(), Arc::clone(&lifecycle.bus), Arc::clone(&lifecycle.in_flight)),
            series: lifecycle.series.clone(),
            metrics: lifecycle.metrics.clone(),
            fleet,
            store,
            lifecycle,
        })
    }

    /// Asks every agent to leave and come back, when the control plane is about to stop.
    pub async fn say_goodbye(&self, goaway: Goaway) {
        self.lifecycle.dispatch.goaway(goaway).await;
    }

    /// Stops the tasks, waits for what they were writing, and closes the store.
    pub async fn stop(&self) {
        self.lifecycle.stopping.cancel();
        self.lifecycle.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.lifecycle.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not stop in time");
        }
        self.store.close().await;
    }

    /// Whether the dispatcher answers; waits for as long as it takes.
    pub async fn dispatcher_answers(&self) -> bool {
        self.lifecycle.dispatch.answers().await
    }

    /// What the store did since it was opened.
    pub fn store_metrics(&self) -> StoreMetrics {
        self.store.metrics()
    }

    /// Whether requests can be served: the store answers.
    pub async fn readiness(&self) -> Readiness {
        if self.lifecycle.stopping.is_cancelled() {
            return Readiness::NotReady("stopping".to_owned());
        }
        match self.store.reader().await {
            Ok(_) => Readiness::Ready(self.store.kind().as_str()),
            Err(error) => Readiness::NotReady(format!("store: {error}")),
        }
    }
}

/// Nobody but the owner of the process may look into the data directory.
fn make_private(directory: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let failed = |source| StartError::DataDirectory {
        path: directory.to_owned(),
        source,
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

async fn load_open_jobs(store: &Store) -> Result<Vec<Loaded>, StoreError> {
    let mut loaded: Vec<Loaded> = Vec::new();
    loop {
        let mut reader = store.reader().await?;
        let after = loaded.last().map(|loaded| loaded.job.queued.job);
        let page = control_store::jobs::open_jobs(&mut reader, SystemScope::for_own_work(), after, OPEN_JOBS_PER_READ).await?;
        let last = u32::try_from(page.len()).is_ok_and(|read| read < OPEN_JOBS_PER_READ);
        loaded.extend(page.into_iter().map(|job| Loaded {
            attempt: job.attempt,
            handed_out: if job.state == OpenState::Queued { HandedOut::No } else { HandedOut::Yes },
            job: AcceptedJob {
                queued: QueuedJob {
                    job: job.job,
                    agent: job.agent,
                    tenant: job.tenant,
                    tier: job.tier,
                    cost: job.cost,
                    deadline: job.deadline_at,
                    not_before: job.not_before,
                },
                measurement: job.measurement,
                retry: job.retry,
                choice: job.choice,
            },
        }));
        if last {
            return Ok(loaded);
        }
    }
}

/// Most packets a second towards one public target, unless the operator says otherwise.
pub const TARGET_PACKETS_PER_SECOND: u32 = 10_000;
/// Open jobs read at a time at start.
const OPEN_JOBS_PER_READ: u32 = 5_000;
/// How long the tasks may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
