//! What every aggregate promises, tried on both databases: each case file is a module twice, over a world on the one and on the other.

use std::sync::atomic::{AtomicU64, Ordering};

use control_core::authorize::{Action, Principal, Resource, Scopes, SystemScope, TenantScope, authorize};
use control_core::quota::Quota;
use control_core::retry::{Choice, RetryPolicy};
use control_core::series::{Measured, Reading, Trust};
use serde_json::json;
use shared_protocol::end::End;
use shared_protocol::fault::{Fault, Status};
use shared_protocol::frame::HostFacts;
use shared_protocol::host::Place;
use shared_protocol::id::{AgentId, Attempt, Epoch, IncarnationId, InstanceId, JobId, JobRef, MeasurementId, Sequence, TenantId};
use shared_protocol::tier::{Tier, TierLimits};
use shared_protocol::time::UnixMicros;

use crate::jobs::{self, Caps, Enqueued, LeasedJob, NewIdempotency, NewJob, NewMeasurement};
use crate::reports::{Facts, IncomingReport, Ingest, IngestOutcome};
use crate::tx::BoxFuture;
use crate::{Database, Hot, Reader, Store, StoreError, StoreOptions, Tx, agents, certificates, sessions, tenants};

mod faults;
mod maintenance;
mod migrations;
mod on_postgres;
mod on_sqlite;
mod parity;
mod server_faults;
mod statements;
mod wall;

/// A database of one kind, made for one test.
pub(super) trait Made: Send + Sync {
    fn make() -> Self;
    fn database(&self) -> Database;
}

/// A file in a directory of its own.
pub(super) struct OnSqlite(tempfile::TempDir);

/// A database on the server that all tests share.
pub(super) struct OnPostgres(test_postgres::TestDatabase);

impl Made for OnSqlite {
    fn make() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> Database {
        Database::file(self.0.path().join("probeops.db"))
    }
}

impl Made for OnPostgres {
    fn make() -> Self {
        Self(test_postgres::TestDatabase::create().unwrap())
    }

    fn database(&self) -> Database {
        Database::url(&self.0.url()).unwrap()
    }
}

/// A store on a database of its own, with two tenants that each have one agent in session.
pub(super) struct World<D = OnSqlite> {
    pub(super) store: Store,
    pub(super) ours: Side,
    pub(super) theirs: Side,
    /// Goes last: the store lets go of it first.
    pub(super) made: D,
}

/// One tenant with its agent.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) tenant: TenantId,
    pub(super) scope: TenantScope,
    pub(super) agent: AgentId,
    pub(super) epoch: Epoch,
}

impl<D: Made> World<D> {
    pub(super) async fn new() -> Self {
        Self::with(StoreOptions::default()).await
    }

    pub(super) async fn with(options: StoreOptions) -> Self {
        let made = D::make();
        let store = Store::open(made.database(), options).await.unwrap();
        let ours = Side::new(&store, Tier::Free, "ours").await;
        let theirs = Side::new(&store, Tier::Enterprise, "theirs").await;
        Self { store, ours, theirs, made }
    }

    pub(super) async fn write<T, F>(&self, apply: F) -> T
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.store.write(apply).await.unwrap()
    }

    pub(super) async fn write_series<T, F>(&self, apply: F) -> T
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.store.write_series(apply).await.unwrap()
    }

    pub(super) async fn submit<H: Hot>(&self, asked: H) -> H::Answer {
        self.store.submit(asked).await.unwrap()
    }

    pub(super) async fn reader(&self) -> Reader {
        self.store.reader().await.unwrap()
    }

    /// Accepts a measurement of one job for the side's own agent.
    pub(super) async fn accept(&self, side: Side) -> (MeasurementId, JobId) {
        let (measurement, jobs) = new_measurement(side.agent, Tier::Free, 1);
        let ids = (measurement.id, jobs[0].id);
        let enqueued = self
            .submit(jobs::Enqueue {
                scope: side.scope,
                measurement,
                jobs,
                idempotency: None,
            })
            .await;
        assert_eq!(enqueued, QUEUED);
        ids
    }

    pub(super) async fn lease(&self, side: Side, job: JobId) -> Option<LeasedJob> {
        let leased = self
            .submit(jobs::Lease {
                scope: system(),
                agent: side.agent,
                epoch: side.epoch,
                jobs: vec![job],
                at: at(20),
            })
            .await;
        leased.into_iter().next()
    }

    /// Accepts, leases and runs a job.
    pub(super) async fn start(&self, side: Side) -> (MeasurementId, JobRef) {
        let (measurement, job) = self.accept(side).await;
        let leased = self.lease(side, job).await.unwrap();
        let reference = JobRef { job, attempt: leased.attempt };
        self.submit(jobs::Running {
            scope: system(),
            accepted: vec![(side.agent, reference)],
        })
        .await;
        (measurement, reference)
    }

    pub(super) async fn end(&self, job: JobId, attempt: Option<Attempt>, end: End, reason: Option<&'static str>) -> Option<jobs::EndedJob> {
        let ending = jobs::Ending { job, attempt, end, reason };
        let ended = self
            .write(move |tx| Box::pin(async move { jobs::end(tx, system(), &[ending], at(50)).await }))
            .await;
        ended.into_iter().next()
    }

    pub(super) async fn ingest(&self, side: Side, report: &IncomingReport) -> IngestOutcome {
        self.submit(ingest(side, vec![report.clone()])).await.remove(0)
    }
}

impl World<OnSqlite> {
    pub(super) fn directory(&self) -> &std::path::Path {
        self.made.0.path()
    }

    pub(super) fn file(&self) -> std::path::PathBuf {
        self.directory().join("probeops.db")
    }
}

impl Side {
    async fn new(store: &Store, tier: Tier, name: &str) -> Self {
        let tenant = TenantId::new(at(0), random());
        let agent = AgentId::new(at(0), random());
        let new_tenant = tenants::NewTenant {
            id: tenant,
            name: name.to_owned(),
            tier,
            created_at: at(0),
        };
        let new_agent = new_agent(tenant, agent, "first");
        let certificate = new_certificate(agent, random_digest());
        let epoch = store
            .write(move |tx| {
                Box::pin(async move {
                    tenants::create(tx, system(), &new_tenant).await?;
                    agents::create(tx, system(), &new_agent).await?;
                    certificates::insert(tx, system(), &certificate).await?;
                    sessions::begin(tx, system(), agent, InstanceId::new(at(0), random()), at(1)).await
                })
            })
            .await
            .unwrap()
            .unwrap();
        Self {
            tenant,
            scope: scope(tenant),
            agent,
            epoch,
        }
    }
}

pub(super) fn system() -> SystemScope {
    SystemScope::for_own_work()
}

pub(super) fn scope(tenant: TenantId) -> TenantScope {
    let principal = Principal::Key {
        key: "k".to_owned(),
        tenant,
        tier: Tier::Free,
        scopes: Scopes::ALL,
    };
    authorize(&principal, Action::AgentRead, Resource::OwnTenant).unwrap().scope().unwrap()
}

/// Seconds after the beginning of the test's time.
pub(super) fn at(seconds: i64) -> UnixMicros {
    UnixMicros::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// Ten bytes never given out before in this process.
pub(super) fn random() -> [u8; 10] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

pub(super) fn random_digest() -> [u8; 32] {
    let mut digest = [7; 32];
    digest[..10].copy_from_slice(&random());
    digest
}

pub(super) fn new_agent(tenant: TenantId, id: AgentId, name: &str) -> agents::NewAgent {
    agents::NewAgent {
        id,
        tenant,
        name: name.to_owned(),
        labels: [("site".to_owned(), "lab".to_owned())].into(),
        place: Place::default(),
        created_at: at(0),
        enrolled_at: Some(at(0)),
    }
}

pub(super) fn new_certificate(agent: AgentId, spki_sha256: [u8; 32]) -> certificates::NewCertificate {
    certificates::NewCertificate {
        agent,
        serial: random().to_vec(),
        spki_sha256,
        der: vec![0x30, 0x00],
        issued_at: at(0),
        not_before: at(-300),
        not_after: at(604_800),
    }
}

pub(super) fn new_measurement(agent: AgentId, tier: Tier, jobs: usize) -> (NewMeasurement, Vec<NewJob>) {
    let measurement = NewMeasurement {
        id: MeasurementId::new(at(10), random()),
        spec: json!({"probe": "ping", "target": "127.0.0.1"}),
        spec_sha256: [1; 32],
        selection: json!({"count": 1}),
        tier,
        caps: Caps {
            open_jobs: TierLimits::starting(tier).open_jobs,
            quota: Quota::of(&TierLimits::starting(tier)),
        },
        created_at: at(10),
        deadline_at: at(610),
        retry: RetryPolicy::None,
        choice: Choice::Named,
    };
    let job = |_| NewJob {
        id: JobId::new(at(10), random()),
        agent,
        cost: 2,
        not_before: None,
        cached_from: None,
        lease: None,
    };
    (measurement, (0..jobs).map(job).collect())
}

/// What comes of a measurement that is accepted, none of whose jobs was to be leased with it.
pub(super) const QUEUED: Enqueued = Enqueued::Fresh(Vec::new());

pub(super) fn idempotency(key: &str, body: u8, expires_at: UnixMicros) -> NewIdempotency {
    NewIdempotency {
        key: key.to_owned(),
        body_sha256: [body; 32],
        expires_at,
    }
}

/// Reports as they come over the side's latest session.
pub(super) fn ingest(side: Side, reports: Vec<IncomingReport>) -> Ingest {
    Ingest {
        scope: system(),
        agent: side.agent,
        epoch: side.epoch,
        incarnation: IncarnationId::from_uuid(uuid::Uuid::from_u128(1)),
        reports,
    }
}

pub(super) fn report(job: JobRef, seq: u64) -> IncomingReport {
    IncomingReport {
        seq: Sequence::new(seq).unwrap(),
        job: job.job,
        attempt: job.attempt,
        body: r#"{"status":"ok"}"#.to_owned(),
        started_at: at(30),
        duration_us: 1_500_000,
        at: at(40),
        end: End::Completed,
        readable: Ok(facts(at(30))),
        jitter: u32::MAX,
        window: None,
    }
}

/// The agents of a side that are not revoked, by id.
pub(super) async fn agents_of<D: Made>(world: &World<D>, side: Side) -> Vec<agents::AgentRow> {
    let mut all = agents::all(&mut world.reader().await, system(), None, 1_000).await.unwrap();
    all.retain(|agent| agent.tenant == side.tenant);
    all
}

pub(super) fn facts(measured_at: UnixMicros) -> Facts {
    Facts {
        status: Status::Ok,
        fault: Fault::None,
        measured: Measured {
            at: measured_at,
            trust: Trust::Plausible,
        },
        readings: vec![Reading {
            name: "loss".into(),
            value: 0.25,
        }],
    }
}

pub(super) fn host() -> HostFacts {
    HostFacts {
        hostname: "host".to_owned(),
        cpus: 2,
        ..HostFacts::default()
    }
}
