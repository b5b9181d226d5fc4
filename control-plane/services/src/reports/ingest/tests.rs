//! The reports of one session: in their order, many a commit, and nothing behind one that could not be stored.

use std::sync::mpsc;

use control_store::{agents, sessions, tenants};
use shared_protocol::host::Place;
use shared_protocol::id::{Attempt, InstanceId, JobId, TenantId};
use shared_protocol::tier::Tier;
use tokio::sync::oneshot;

use super::*;
use crate::{ServiceOptions, Services};

const SYSTEM: SystemScope = SystemScope::for_own_work();

/// A control plane with an agent in session.
struct World {
    _directory: tempfile::TempDir,
    services: Services,
    agent: AgentId,
    epoch: Epoch,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let services = Services::start(ServiceOptions::new(directory.path().to_owned())).await.unwrap();
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
        let store = &services.fleet.lifecycle().store;
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
            services,
            agent,
            epoch,
        }
    }

    fn intake(&self, epoch: Epoch) -> Arc<Intake> {
        let incarnation = IncarnationId::new(clock::now(), [4; 10]);
        Intake::new(self.services.fleet.lifecycle().clone(), self.agent, epoch, incarnation)
    }
}

/// Brings a report of a job that nobody knows: it is discarded, and acknowledged all the same.
async fn bring(intake: &Arc<Intake>, seq: u64, body: String, told: &mpsc::Sender<String>) {
    let job = JobRef {
        job: JobId::new(clock::now(), clock::random_id_bytes()),
        attempt: Attempt(1),
    };
    let told = told.clone();
    let tell = move |ingested| {
        let text = match ingested {
            Ingested::UpTo(seq) => format!("up to {}", seq.value()),
            Ingested::Fenced => "fenced".to_owned(),
            Ingested::Failed(_) => "failed".to_owned(),
        };
        told.send(text).unwrap();
    };
    intake.take(Sequence::new(seq).unwrap(), job, body, tell).await;
}

/// Waits until nothing of the session waits any more.
async fn settled(intake: &Intake) {
    while intake.lock().work == Work::Busy {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn frm_12_reports_that_come_during_a_commit_share_the_next_one_in_their_order() {
    let world = World::new().await;
    let intake = world.intake(world.epoch);
    let store = world.services.fleet.lifecycle().store.clone();
    let (go_on, goes_on) = oneshot::channel::<()>();
    let (started, has_started) = oneshot::channel::<()>();
    let holding = async {
        store
            .write(|_| {
                Box::pin(async move {
                    let _ = started.send(());
                    let _ = goes_on.await;
                    Ok(())
                })
            })
            .await
            .unwrap();
    };
    let (tell, told) = mpsc::channel();
    let bringing = async {
        has_started.await.unwrap();
        bring(&intake, 1, "{}".to_owned(), &tell).await;
        while store.metrics().queue_depth < 1 {
            tokio::task::yield_now().await;
        }
        for seq in 2..=5 {
            bring(&intake, seq, "{}".to_owned(), &tell).await;
        }
        go_on.send(()).unwrap();
    };
    tokio::join!(holding, bringing);
    settled(&intake).await;
    let aside = control_store::reports::quarantined(&mut store.reader().await.unwrap(), SYSTEM, world.agent, 9)
        .await
        .unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["up to 1", "up to 5"]);
    assert_eq!(aside.len(), 5);
    world.services.stop().await;
}

#[tokio::test]
async fn behind_a_report_that_could_not_be_stored_nothing_is_taken_in_over_that_session() {
    let world = World::new().await;
    let (tell, told) = mpsc::channel();
    let replaced = world.intake(Epoch(0));
    for seq in 1..=2 {
        bring(&replaced, seq, "{}".to_owned(), &tell).await;
        settled(&replaced).await;
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["fenced"], "and nothing is said of the second");

    let intake = world.intake(world.epoch);
    world.services.fleet.lifecycle().store.close().await;
    for seq in 1..=2 {
        bring(&intake, seq, "{}".to_owned(), &tell).await;
        settled(&intake).await;
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["failed"]);
    assert!(intake.lock().work == Work::Over && intake.lock().arrivals.is_empty());
}

#[tokio::test]
async fn a_session_that_brings_more_than_there_is_room_for_waits() {
    let world = World::new().await;
    let intake = world.intake(world.epoch);
    let (tell, told) = mpsc::channel();
    // As long as all of the room: it goes alone, and the next one waits for it.
    bring(&intake, 1, "x".repeat(2 * ROOM * ROOM_UNIT), &tell).await;
    assert_eq!(intake.room.available_permits(), 0);
    bring(&intake, 2, "{}".to_owned(), &tell).await;
    settled(&intake).await;
    assert_eq!(told.try_iter().last().as_deref(), Some("up to 2"));
    assert_eq!(intake.room.available_permits(), ROOM, "and all of it is given back");
    world.services.stop().await;
}
