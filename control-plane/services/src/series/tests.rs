//! From a stored report to what a tenant asks for, and to what is left of it when its time is over.

use control_api::metric::{LatestQuery, MetricsQuery};
use control_api::report::{ExportFormat, ReportFilter};
use control_core::authorize::{Action, Grant, Principal, Resource, Scopes, SystemScope, authorize};
use control_core::quota::Quota;
use control_core::retry::{Choice, RetryPolicy};
use control_core::series::{measured_at, readings};
use control_store::jobs::{Caps, Enqueue, Lease, NewJob, NewMeasurement};
use control_store::reports::{Facts, IncomingReport, Ingest, IngestOutcome};
use control_store::{Store, StoreOptions, agents, jobs, sessions, tenants};
use futures_util::TryStreamExt as _;
use serde_json::json;
use shared_protocol::end::End;
use shared_protocol::host::Place;
use shared_protocol::id::{AgentId, Epoch, IncarnationId, InstanceId, JobId, MeasurementId, Sequence, TenantId};
use shared_protocol::report::Report;
use shared_protocol::tier::{Tier, TierLimits, TierTable};
use shared_protocol::time::UnixMicros;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::roller::{Roller, Work};
use super::{HostSample, Series};
use crate::clock;
use crate::housekeeping::retention;
use crate::metrics::Metrics;
use crate::reports::{Bus, Reports};

/// A tenant with an agent in session.
struct World {
    _directory: tempfile::TempDir,
    store: Store,
    tenant: TenantId,
    agent: AgentId,
    epoch: Epoch,
    now: UnixMicros,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("probeops.db"), StoreOptions::default()).await.unwrap();
        let now = clock::now();
        let (tenant, agent) = (TenantId::new(now, [1; 10]), AgentId::new(now, [2; 10]));
        let new_tenant = tenants::NewTenant {
            id: tenant,
            name: "t".to_owned(),
            tier: Tier::Free,
            created_at: now,
        };
        let new_agent = agents::NewAgent {
            id: agent,
            tenant,
            name: "a".to_owned(),
            labels: std::collections::BTreeMap::new(),
            place: Place::default(),
            created_at: now,
            enrolled_at: Some(now),
        };
        let epoch = store
            .write(move |tx| {
                Box::pin(async move {
                    tenants::create(tx, SYSTEM, &new_tenant).await?;
                    agents::create(tx, SYSTEM, &new_agent).await?;
                    sessions::begin(tx, SYSTEM, agent, InstanceId::new(now, [3; 10]), now).await
                })
            })
            .await
            .unwrap()
            .unwrap();
        Self {
            _directory: directory,
            store,
            tenant,
            agent,
            epoch,
            now,
        }
    }

    fn grant(&self) -> Grant {
        let principal = Principal::Key {
            key: "k".to_owned(),
            tenant: self.tenant,
            tier: Tier::Free,
            scopes: Scopes::ALL,
        };
        authorize(&principal, Action::MeasurementRead, Resource::OwnTenant).unwrap()
    }

    /// Asks for a ping of a target, and takes its report in.
    async fn pinged(&self, seq: u64, target: &str, loss: f64) {
        let at = self.now;
        let scope = self.grant().scope().unwrap();
        let measurement = NewMeasurement {
            id: MeasurementId::new(at, clock::random_id_bytes()),
            spec: json!({"probe": "ping", "target": target}),
            selection: json!({}),
            tier: Tier::Free,
            caps: Caps {
                open_jobs: 1_000,
                quota: Quota::of(&TierLimits::starting(Tier::Enterprise)),
            },
            spec_sha256: [1; 32],
            retry: RetryPolicy::None,
            choice: Choice::Named,
            created_at: at,
            deadline_at: at.plus(Duration::from_mins(10)),
        };
        let job = JobId::new(at, clock::random_id_bytes());
        let new_job = NewJob {
            id: job,
            agent: self.agent,
            cost: 1,
            not_before: None,
            cached_from: None,
            lease: None,
        };
        let asked = Enqueue {
            scope,
            measurement,
            jobs: vec![new_job],
            idempotency: None,
        };
        let (agent, epoch) = (self.agent, self.epoch);
        let lease = Lease {
            scope: SYSTEM,
            agent,
            epoch,
            jobs: vec![job],
            at,
        };
        let leased = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    jobs::enqueue(tx, &[asked]).await?;
                    jobs::lease(tx, &[lease]).await
                })
            })
            .await
            .unwrap();
        let body = ping_report(at, loss);
        let report: Report = serde_json::from_str(&body).unwrap();
        let incoming = IncomingReport {
            seq: Sequence::new(seq).unwrap(),
            job,
            attempt: leased[0][0].attempt,
            started_at: report.started_at_us,
            at,
            end: End::Completed,
            readable: Ok(Facts {
                status: report.status,
                fault: report.fault,
                measured: measured_at(job, report.started_at_us, at),
                readings: readings(&report),
            }),
            body,
            jitter: 0,
            window: None,
            duration_us: 5,
        };
        let ingest = Ingest {
            scope: SYSTEM,
            agent,
            epoch,
            incarnation: IncarnationId::new(at, [4; 10]),
            reports: vec![incoming],
        };
        let outcomes = self.store.submit(ingest).await.unwrap();
        assert!(matches!(outcomes[..], [IngestOutcome::Stored(_)]), "{outcomes:?}");
    }

    fn series(&self) -> (Series, Roller) {
        let metrics = Metrics::default();
        let (series, _inlet) = Series::new(self.store.clone(), metrics.clone());
        (series, Roller::new(self.store.clone(), metrics, CancellationToken::new()))
    }
}

fn ping_report(at: UnixMicros, loss: f64) -> String {
    json!({"schema_version": 1, "status": "ok", "fault": "none", "started_at_us": at.micros(), "duration_us": 5, "clock": {},
           "policy": {"verdict": "allowed", "rule": "=default"},
           "findings": {"probe": "ping", "address": "127.0.0.1", "socket": "raw", "packets": [], "agent_drops": 0,
                        "statistics": {"sent": 4, "received": 4, "loss": loss, "duplicates": 0, "late": 0, "reordered": 0, "errors": 0}}})
    .to_string()
}

fn asks(metric: &str, step: u32) -> MetricsQuery {
    MetricsQuery {
        metric: metric.to_owned(),
        step: Some(step),
        ..MetricsQuery::default()
    }
}

#[tokio::test]
async fn a_reports_numbers_are_asked_for_by_agent_by_target_and_for_all_together() {
    let world = World::new().await;
    for (seq, target, loss) in [(1, "a.example", 0.0), (2, "a.example", 0.5), (3, "b.example", 1.0)] {
        world.pinged(seq, target, loss).await;
    }
    let (series, mut roller) = world.series();
    roller.attempt(Work::Reports).await;
    let grant = world.grant();
    let seen = async |query: MetricsQuery| {
        let answer = series.metrics(&grant, &query).await.unwrap();
        let points = |one: &control_api::metric::MetricSeries| one.points.iter().map(|point| (point.n, point.min, point.max, point.avg)).collect::<Vec<_>>();
        let mut seen: Vec<_> = answer.series.iter().map(|one| (one.target.clone(), points(one))).collect();
        // Jobs of one moment are rolled up in no order.
        seen.sort_by(|left, right| left.0.cmp(&right.0));
        seen
    };
    // The current second and hour lie within a range that ends a moment from now.
    let to = Some(control_api::timestamp::Timestamp::from(world.now.plus(Duration::from_mins(1))).to_string());
    let with = |query: MetricsQuery| MetricsQuery { to: to.clone(), ..query };
    let agent_id = Some(world.agent.to_string());
    let own = seen(with(MetricsQuery {
        agent_id: agent_id.clone(),
        ..asks("ping.loss", 3_600)
    }))
    .await;
    assert_eq!(
        own,
        [
            (Some("a.example".to_owned()), vec![(2, 0.0, 0.5, 0.25)]),
            (Some("b.example".to_owned()), vec![(1, 1.0, 1.0, 1.0)]),
        ]
    );
    let one = seen(with(MetricsQuery {
        agent_id,
        target: Some("a.example".to_owned()),
        ..asks("ping.loss", 1)
    }))
    .await;
    assert_eq!(one, [(Some("a.example".to_owned()), vec![(2, 0.0, 0.5, 0.25)])], "from the samples themselves");
    let together = seen(with(MetricsQuery {
        target: Some("a.example".to_owned()),
        ..asks("ping.loss", 3_600)
    }))
    .await;
    assert_eq!(together, [(Some("a.example".to_owned()), vec![(2, 0.0, 0.5, 0.25)])]);
    assert_eq!(seen(with(asks("ping.loss", 3_600))).await, [(None, vec![(3, 0.0, 1.0, 0.5)])]);
    assert_eq!(seen(asks("ping.nothing", 3_600)).await, []);
    let query = LatestQuery {
        limit: Some(2),
        metric: Some("ping.loss".to_owned()),
        ..LatestQuery::default()
    };
    let latest = series.latest(&grant, &query).await.unwrap();
    assert_eq!((latest.items.len(), latest.next_cursor), (2, None));
    assert_eq!(latest.items[0].metric, "ping.loss");
}

#[tokio::test]
async fn what_agents_see_of_their_hosts_is_kept_for_each() {
    let world = World::new().await;
    let metrics = Metrics::default();
    let (series, inlet) = Series::new(world.store.clone(), metrics.clone());
    let sample = |metric: &'static str, value| HostSample {
        tenant: world.tenant,
        agent: world.agent,
        metric: metric.into(),
        at: world.now,
        value,
    };
    series.ingest_samples(vec![sample("cpu_percent", 12.5), sample("memory_bytes", 4e9), sample("broken", f64::NAN)]);
    let stopping = CancellationToken::new();
    stopping.cancel();
    Roller::new(world.store.clone(), metrics.clone(), stopping).run(inlet).await;
    let latest = series.latest(&world.grant(), &LatestQuery::default()).await.unwrap();
    let seen: Vec<_> = latest.items.iter().map(|one| (one.metric.as_str(), one.value, one.target.clone())).collect();
    assert_eq!(
        seen,
        [("agent.cpu_percent", 12.5, None), ("agent.memory_bytes", 4e9, None)],
        "also what came just before the end"
    );
    series.ingest_samples(vec![sample("cpu_percent", 1.0)]);
    assert_eq!(metrics.series_dropped.get(), 1, "nobody takes them any more");
}

#[tokio::test]
async fn api_15_reports_are_taken_out_whole_and_harmless() {
    let world = World::new().await;
    for seq in 1..=250 {
        world.pinged(seq, "=cmd.example", 0.25).await;
    }
    let reports = Reports::new(world.store.clone(), std::sync::Arc::new(Bus::new("boot".to_owned())), std::sync::Arc::default());
    let export = async |format| {
        let stream = reports.export(&world.grant(), &ReportFilter::default(), format).unwrap();
        stream.try_collect::<Vec<String>>().await.unwrap()
    };
    let lines = export(ExportFormat::Ndjson).await;
    assert_eq!(lines.len(), 2, "a page in memory at a time");
    assert_eq!(
        lines
            .concat()
            .lines()
            .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            .count(),
        250
    );
    let array: Vec<serde_json::Value> = serde_json::from_str(&export(ExportFormat::Json).await.concat()).unwrap();
    assert_eq!((array.len(), array[0]["target"].as_str()), (250, Some("=cmd.example")));
    let table = export(ExportFormat::Csv).await.concat();
    assert_eq!(table.lines().count(), 251);
    assert!(
        table
            .lines()
            .skip(1)
            .all(|line| line.contains(",ping,\"'=cmd.example\",ok,none,,") && line.ends_with(",false,false,5,0.25,0,,,,,,,,,,,,,")),
        "{table}"
    );
}

#[tokio::test]
async fn dbf_13_what_is_past_its_time_leaves_and_the_rest_stays() {
    let world = World::new().await;
    for seq in 1..=3 {
        world.pinged(seq, "a.example", 0.0).await;
    }
    let (_, mut roller) = world.series();
    roller.attempt(Work::Reports).await;
    let let_go = async |days: u64| {
        let now = world.now.plus(Duration::from_hours(24 * days));
        retention::let_go(&world.store, &TierTable::default(), now, &CancellationToken::new())
            .await
            .unwrap()
    };
    assert_eq!(let_go(6).await, retention::Gone::default(), "seven days are not over");
    let gone = let_go(8).await;
    assert_eq!((gone.reports, gone.jobs, gone.hours, gone.series), (3, 3, 0, 0), "hours stay longer");
    let gone = let_go(32).await;
    assert_eq!((gone.reports, gone.days), (0, 0));
    assert!(gone.hours > 0 && gone.series > 0, "{gone:?}");
    assert_eq!(let_go(33).await, retention::Gone::default());
}

const SYSTEM: SystemScope = SystemScope::for_own_work();
