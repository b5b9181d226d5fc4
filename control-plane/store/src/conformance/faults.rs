//! What the store does when the disk, the file or a caller does not. What a server does is in `server_faults.rs`.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::sync::oneshot;

use super::{OnSqlite, World, agents_of, at, new_agent, new_measurement, random, system};
use crate::connection::Connection;
use crate::{Store, StoreError, StoreOptions, Unavailable, agents, jobs, tenants};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::tier::Tier;

fn tenant(name: &str) -> tenants::NewTenant {
    tenants::NewTenant {
        id: TenantId::new(at(0), random()),
        name: name.to_owned(),
        tier: Tier::Free,
        created_at: at(0),
    }
}

async fn create(store: &Store, new: tenants::NewTenant) -> Result<TenantId, StoreError> {
    let id = new.id;
    store
        .write(move |tx| Box::pin(async move { tenants::create(tx, system(), &new).await }))
        .await
        .map(|()| id)
}

async fn exists(store: &Store, id: TenantId) -> bool {
    tenants::find(&mut store.reader().await.unwrap(), system(), id).await.unwrap().is_some()
}

async fn pragma(store: &Store, statement: &'static str) {
    store
        .write(move |tx| Box::pin(async move { Ok(tx.sent().await?.command(statement).await?) }))
        .await
        .unwrap();
}

#[tokio::test]
async fn dbf_10_a_second_store_on_the_same_file_is_refused_and_names_the_holder() {
    let world = World::<OnSqlite>::new().await;
    let refused = Store::open(&world.file(), StoreOptions::default()).await;
    assert!(
        matches!(refused, Err(StoreError::Locked { pid: Some(pid), .. }) if pid == std::process::id()),
        "{refused:?}"
    );
    world.store.close().await;
    let again = Store::open(&world.file(), StoreOptions::default()).await.unwrap();
    assert!(exists(&again, world.ours.tenant).await);
}

#[tokio::test]
async fn the_files_belong_to_their_owner_only() {
    let world = World::<OnSqlite>::new().await;
    for name in ["probeops.db", "probeops.db-wal", "probeops.db-shm", "probeops.db.lock"] {
        let mode = std::fs::metadata(world.directory().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn the_file_can_give_freed_pages_back_and_commits_are_synced() {
    let world = World::<OnSqlite>::new().await;
    let pragmas = world
        .write(|tx| {
            Box::pin(async move {
                let Connection::Sqlite(connection) = tx.sent().await? else {
                    panic!("a file");
                };
                let vacuum: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut *connection).await?;
                let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
                let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(connection).await?;
                Ok((vacuum, synchronous, journal))
            })
        })
        .await;
    assert_eq!(pragmas, (2, 2, "wal".to_owned()), "incremental, FULL, write-ahead log");
}

#[tokio::test]
async fn dbf_05_readers_that_are_all_taken_are_unavailable_in_time() {
    let options = StoreOptions {
        readers: 1,
        reader_wait: Duration::from_secs(1),
        ..StoreOptions::default()
    };
    let world = World::<OnSqlite>::with(options).await;
    let held = world.reader().await;
    let refused = world.store.reader().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(Unavailable::ReadersBusy))));
    create(&world.store, tenant("written meanwhile")).await.unwrap();
    drop(held);
    assert!(exists(&world.store, world.ours.tenant).await);
}

#[tokio::test]
async fn dbf_09_a_file_that_is_no_database_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probeops.db");
    std::fs::write(&file, vec![b'x'; 8_192]).unwrap();
    let refused = Store::open(&file, StoreOptions::default()).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    assert_eq!(std::fs::read(&file).unwrap(), vec![b'x'; 8_192], "nothing is repaired silently");
}

#[tokio::test]
async fn dbf_09_a_damaged_page_is_found_by_the_integrity_check() {
    let world = World::<OnSqlite>::new().await;
    for _ in 0..50 {
        world.accept(world.ours).await;
    }
    assert_eq!(world.store.check_integrity().await.unwrap(), Vec::<String>::new());
    world.store.close().await;
    let file = std::fs::OpenOptions::new().write(true).open(world.file()).unwrap();
    let length = file.metadata().unwrap().len();
    for page in (3..length / 4_096).step_by(2) {
        file.write_all_at(&[0xa5; 512], page * 4_096).unwrap();
    }
    match Store::open(&world.file(), StoreOptions::default()).await {
        Ok(store) => match store.check_integrity().await {
            Ok(findings) => assert!(!findings.is_empty()),
            Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}"),
        },
        Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}"),
    }
}

#[tokio::test]
async fn dbf_09_while_another_connection_holds_the_lock_writes_are_unavailable() {
    let world = World::<OnSqlite>::with(StoreOptions {
        busy_wait: Duration::from_millis(10),
        ..StoreOptions::default()
    })
    .await;
    let mut intruder = SqliteConnection::connect(world.file().to_str().unwrap()).await.unwrap();
    intruder.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = create(&world.store, tenant("refused")).await;
    assert!(refused.as_ref().is_err_and(StoreError::is_retryable), "{refused:?}");
    assert!(exists(&world.store, world.ours.tenant).await, "reading goes on");
    intruder.execute("ROLLBACK").await.unwrap();
    create(&world.store, tenant("accepted")).await.unwrap();
}

#[tokio::test]
async fn dbf_09_a_read_only_database_is_unavailable_for_writes_only() {
    let world = World::<OnSqlite>::new().await;
    pragma(&world.store, "PRAGMA query_only = ON").await;
    let refused = create(&world.store, tenant("refused")).await;
    assert!(refused.as_ref().is_err_and(StoreError::is_retryable), "{refused:?}");
    assert!(exists(&world.store, world.ours.tenant).await, "reading goes on");
    create(&world.store, tenant("accepted")).await.unwrap();
    assert_eq!(world.store.metrics().reopened, 1, "the connection was opened again");
}

#[tokio::test]
async fn dsk_05_a_full_disk_makes_writes_unavailable_and_leaves_what_was_acknowledged() {
    let world = World::<OnSqlite>::new().await;
    pragma(&world.store, "PRAGMA max_page_count = 1").await;
    let mut kept = Vec::new();
    let refused = loop {
        match create(&world.store, tenant(&"n".repeat(3_000))).await {
            Ok(id) => kept.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Unavailable(Unavailable::DiskFull)), "{refused:?}");
    assert!(world.accept_fails().await);
    for id in &kept {
        assert!(exists(&world.store, *id).await);
    }
    pragma(&world.store, "PRAGMA max_page_count = 1000000").await;
    create(&world.store, tenant("room again")).await.unwrap();
    assert_eq!(world.store.check_integrity().await.unwrap(), Vec::<String>::new());
}

impl World {
    /// Whether accepting a large measurement fails and leaves nothing.
    async fn accept_fails(&self) -> bool {
        let side = self.ours;
        let (measurement, new) = new_measurement(side.agent, Tier::Enterprise, 1_000);
        let id = measurement.id;
        let refused = self
            .store
            .submit(jobs::Enqueue {
                scope: side.scope,
                measurement,
                jobs: new,
                idempotency: None,
            })
            .await;
        let nothing = jobs::measurement(&mut self.reader().await, side.scope, id).await.unwrap().is_none();
        refused.is_err_and(|error| error.is_retryable()) && nothing
    }
}

#[tokio::test]
async fn dbf_12_a_row_of_a_newer_version_is_left_out_and_counted() {
    let world = World::<OnSqlite>::new().await;
    let other = AgentId::new(at(1), random());
    let row = new_agent(world.ours.tenant, other, "newer");
    world.write(move |tx| Box::pin(async move { agents::create(tx, system(), &row).await })).await;
    pragma(&world.store, "PRAGMA ignore_check_constraints = ON").await;
    pragma(&world.store, "UPDATE agent SET state = 'hibernating' WHERE name = 'newer'").await;
    let listed = agents_of(&world, world.ours).await;
    assert_eq!(listed.iter().map(|agent| agent.id).collect::<Vec<_>>(), [world.ours.agent]);
    assert_eq!(agents::find(&mut world.reader().await, world.ours.scope, other).await.unwrap(), None);
    assert_eq!(world.store.metrics().rows_skipped, 2);
}

#[tokio::test]
async fn an_operation_that_fails_is_undone_alone() {
    let world = World::<OnSqlite>::new().await;
    let (first, second) = (tenant("kept"), tenant("undone"));
    let (kept, undone) = (first.id, second.id);
    let failing = world.store.write::<(), _>(move |tx| {
        Box::pin(async move {
            tenants::create(tx, system(), &second).await?;
            Err(StoreError::Conflict("on purpose"))
        })
    });
    let (created, failed) = tokio::join!(create(&world.store, first), failing);
    created.unwrap();
    assert!(matches!(failed, Err(StoreError::Conflict("on purpose"))));
    assert!(exists(&world.store, kept).await && !exists(&world.store, undone).await);
}

#[tokio::test]
async fn kil_12_an_operation_that_panics_takes_nobody_with_it() {
    let world = World::<OnSqlite>::new().await;
    let failed = world.store.write::<(), _>(|_| Box::pin(async { panic!("on purpose") })).await;
    assert!(failed.is_err_and(|error| error.is_retryable()));
    create(&world.store, tenant("after")).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_harm_the_others() {
    let world = World::<OnSqlite>::new().await;
    let (started, has_started) = oneshot::channel::<()>();
    let new = tenant("nobody waits");
    let mut leaving = Box::pin(world.store.write(move |tx| {
        Box::pin(async move {
            let _ = started.send(());
            tenants::create(tx, system(), &new).await
        })
    }));
    tokio::select! {
        _ = &mut leaving => {}
        _ = has_started => {}
    }
    drop(leaving);
    create(&world.store, tenant("waits")).await.unwrap();
}

#[tokio::test]
async fn kil_02_what_was_acknowledged_outlives_a_store_dropped_in_the_middle_of_a_batch() {
    let world = World::<OnSqlite>::new().await;
    let acknowledged = create(&world.store, tenant("acknowledged")).await.unwrap();
    let half = tenant("half done");
    let half_id = half.id;
    let (begun, has_begun) = oneshot::channel::<()>();
    let mut writing = Box::pin(world.store.write::<(), _>(move |tx| {
        Box::pin(async move {
            tenants::create(tx, system(), &half).await?;
            let _ = begun.send(());
            std::future::pending().await
        })
    }));
    tokio::select! {
        _ = &mut writing => panic!("it never ends"),
        _ = has_begun => {}
    }
    drop(writing);
    let (file, made) = (world.file(), world.made);
    drop(world.store);
    let store = Store::open(&file, StoreOptions::default()).await.unwrap();
    assert!(exists(&store, acknowledged).await && !exists(&store, half_id).await);
    create(&store, tenant("goes on")).await.unwrap();
    drop(made);
}

#[tokio::test]
async fn closing_writes_what_waits_and_refuses_what_comes_later() {
    let world = World::<OnSqlite>::new().await;
    let (first, second) = (tenant("waits"), tenant("later"));
    let id = first.id;
    let (created, ()) = tokio::join!(create(&world.store, first), world.store.close());
    assert!(created.is_ok());
    let refused = create(&world.store, second).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(Unavailable::Closed))), "{refused:?}");
    assert!(matches!(world.store.reader().await, Err(StoreError::Unavailable(Unavailable::Closed))));
    let again = Store::open(&world.file(), StoreOptions::default()).await.unwrap();
    assert!(exists(&again, id).await);
}
