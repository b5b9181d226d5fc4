//! What only shows with agents that answer, on services within this process.
#![expect(clippy::unwrap_used, reason = "a test may panic; its helpers too")]

use std::time::Duration;

use control_api::measurement::{CreateMeasurement, Measurement};
use control_core::authorize::{Action, Grant};
use control_services::Services;
use serde_json::{Value, json};
use test_lab::database::{Database, Kind};
use test_lab::fleet::{House, MadeUp, PipedAgent, Probes};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A control plane with one agent that answers at once.
struct Answering {
    house: House,
    stop: CancellationToken,
    working: JoinSet<anyhow::Result<MadeUp>>,
    _directory: tempfile::TempDir,
    _database: Database,
}

impl Answering {
    async fn start(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let database = Database::start(kind, &data_dir).unwrap();
        let house = House::start(&data_dir, database.place().unwrap(), 1).await.unwrap();
        let (welcomed, mut arrivals) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let probes = Probes::new(Duration::ZERO..=Duration::ZERO, 4, 1_024);
        let agent = PipedAgent::new(house.services.fleet.clone(), house.agent(0).unwrap(), MadeUp::new(probes, 0), 0);
        let mut working = JoinSet::new();
        working.spawn(agent.run(welcomed, stop.clone()));
        arrivals.recv().await.unwrap();
        Self {
            house,
            stop,
            working,
            _directory: directory,
            _database: database,
        }
    }

    fn services(&self) -> &Services {
        &self.house.services
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(agent) = self.working.join_next().await {
            agent.unwrap().unwrap();
        }
        self.house.services.stop().await;
    }
}

async fn measure(services: &Services, grant: &Grant, more: &Value) -> Measurement {
    let mut wanted = json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": 1}, "selection": {"agents": ["simulated-0"]}});
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let wanted: CreateMeasurement = serde_json::from_value(wanted).unwrap();
    services.jobs.create(grant, wanted, None).await.unwrap()
}

#[tokio::test]
async fn an_earlier_report_answers_the_very_same_question_and_no_other() {
    for kind in [Kind::Sqlite, Kind::Postgresql] {
        let stand = Answering::start(kind).await;
        let services = stand.services();
        let (measuring, reading) = (
            stand.house.grant(Action::MeasurementCreate).await.unwrap(),
            stand.house.grant(Action::MeasurementRead).await.unwrap(),
        );
        let fresh = json!({"max_age_s": 60});
        let first = measure(services, &measuring, &fresh).await;
        assert!(!first.jobs[0].cached, "there is nothing to answer it yet");
        let first = services.jobs.wait_ended(&reading, &first.id, Duration::from_secs(30)).await.unwrap();
        assert_eq!(first.jobs[0].state, "completed");

        let again = measure(services, &measuring, &fresh).await;
        assert_eq!(
            (again.state.as_str(), again.jobs[0].cached, again.jobs[0].state.as_str()),
            ("ended", true, "completed")
        );
        let of = async |id: &str| {
            services
                .reports
                .of_measurement(&reading, id, &control_api::page::PageQuery::default())
                .await
                .unwrap()
                .items
        };
        let (original, copy) = (of(&first.id).await, of(&again.id).await);
        assert_eq!((original.len(), copy.len()), (1, 1));
        assert_eq!(
            serde_json::to_value(&original[0].report).unwrap(),
            serde_json::to_value(&copy[0].report).unwrap()
        );

        let other_question = json!({"max_age_s": 60, "spec": {"probe": "ping", "target": "127.0.0.1", "count": 2}});
        assert!(!measure(services, &measuring, &other_question).await.jobs[0].cached);
        assert!(
            !measure(services, &measuring, &json!({})).await.jobs[0].cached,
            "nobody asked for an old answer"
        );

        let usage = services
            .subscriptions
            .usage(&stand.house.grant(Action::UsageRead).await.unwrap(), &control_api::usage::UsageQuery::default())
            .await
            .unwrap();
        assert_eq!(
            (usage.total.measurements, usage.total.jobs, usage.total.cached_jobs, usage.total.cost),
            (4, 4, 1, 4)
        );
        stand.stop().await;
    }
}
