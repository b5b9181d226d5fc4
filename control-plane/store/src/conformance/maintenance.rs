//! Backup, restore, check and copy, on databases that hold something, and on those that must be refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::{Made, OnPostgres, OnSqlite, World, at, idempotency, new_measurement, report, system};
use crate::maintenance::{self, MaintenanceError};
use crate::{Database, Store, StoreError, StoreOptions, audit, jobs};
use shared_protocol::tier::Tier;

/// A world with an open job, one that ended with its report, an idempotency key and an audit entry.
async fn filled<D: Made>() -> World<D> {
    let world = World::<D>::new().await;
    let (_, job) = world.start(world.ours).await;
    world.ingest(world.ours, &report(job, 1)).await;
    let side = world.theirs;
    let (measurement, new) = new_measurement(side.agent, Tier::Enterprise, 3);
    let key = idempotency("k\\1\t\n'", 7, at(99_999));
    let entry = audit::NewAudit {
        at: at(1),
        tenant: Some(side.tenant),
        actor: "operator".to_owned(),
        action: "tenant.create",
        subject: "ä\u{1f600} \\N \\x".to_owned(),
        detail: serde_json::json!({"a": [1, null, "\u{0007}"]}),
    };
    let asked = jobs::Enqueue {
        scope: side.scope,
        measurement,
        jobs: new,
        idempotency: Some(key),
    };
    world
        .write(move |tx| {
            Box::pin(async move {
                audit::append(tx, system(), &entry).await?;
                jobs::enqueue(tx, &[asked]).await
            })
        })
        .await;
    world
}

async fn accepted(store: &Store) -> u64 {
    jobs::conservation(&mut store.reader().await.unwrap(), system()).await.unwrap().accepted
}

fn path_of(database: &Database) -> PathBuf {
    database.to_string().into()
}

#[tokio::test]
async fn a_backup_of_a_running_store_opens_with_all_that_was_committed() {
    let world = filled::<OnSqlite>().await;
    let to = world.directory().join("backup.db");
    maintenance::backup(&world.made.database(), &to).await.unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let found = maintenance::check(&Database::file(&to)).await.unwrap();
    assert_eq!((found.jobs.accepted, found.findings.len()), (4, 0));
    world.accept(world.ours).await;
    let store = Store::open(Database::file(&to), StoreOptions::default()).await.unwrap();
    assert_eq!(accepted(&store).await, 4, "of the moment of the backup");
    store.close().await;
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_half_done() {
    let world = World::<OnSqlite>::new().await;
    let to = world.directory().join("there.txt");
    std::fs::write(&to, "mine").unwrap();
    let refused = maintenance::backup(&world.made.database(), &to).await;
    assert!(matches!(refused, Err(MaintenanceError::Exists { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "mine");
    let refused = maintenance::backup(&Database::file(world.directory().join("none.db")), &world.directory().join("b.db")).await;
    assert!(matches!(refused, Err(MaintenanceError::Missing { .. })), "{refused:?}");
    let refused = maintenance::backup(&world.made.database(), &world.directory().join("no/such/folder.db")).await;
    assert!(matches!(refused, Err(MaintenanceError::File { .. })), "{refused:?}");
    let refused = maintenance::backup(&OnPostgres::make().database(), &world.directory().join("b.db")).await;
    assert!(matches!(refused, Err(MaintenanceError::FilesOnly { .. })), "{refused:?}");
    let left: Vec<_> = std::fs::read_dir(world.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("b.db") || name.to_string_lossy().contains("unfinished")),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_restored_backup_stands_in_the_databases_place_and_the_old_one_beside_it() {
    let world = filled::<OnSqlite>().await;
    let backup = world.directory().join("backup.db");
    maintenance::backup(&world.made.database(), &backup).await.unwrap();
    world.accept(world.ours).await;
    let refused = maintenance::restore(&world.made.database(), &backup).await;
    assert!(matches!(refused, Err(MaintenanceError::Store(StoreError::Locked { .. }))), "{refused:?}");
    world.store.close().await;
    let restored = maintenance::restore(&world.made.database(), &backup).await.unwrap();
    for (file, jobs) in [(path_of(&world.made.database()), 4), (restored.kept_aside.unwrap(), 5)] {
        let found = maintenance::check(&Database::file(&file)).await.unwrap();
        assert_eq!((found.jobs.accepted, found.findings.len()), (jobs, 0), "{}", file.display());
    }
    let again = maintenance::restore(&world.made.database(), &backup).await.unwrap();
    assert!(again.kept_aside.unwrap().to_string_lossy().ends_with(".replaced-2"));
}

#[tokio::test]
async fn what_is_no_backup_is_not_restored() {
    let world = filled::<OnSqlite>().await;
    let file = |name: &str| world.directory().join(name);
    let backup = file("newer.db");
    maintenance::backup(&world.made.database(), &backup).await.unwrap();
    std::fs::copy(&backup, file("damaged.db")).unwrap();
    let mut newer = SqliteConnection::connect(backup.to_str().unwrap()).await.unwrap();
    newer.execute("UPDATE _sqlx_migrations SET version = 999 WHERE version = 1").await.unwrap();
    newer.close().await.unwrap();
    let mut bytes = std::fs::read(file("damaged.db")).unwrap();
    for page in (3..bytes.len() / 4_096).step_by(2) {
        bytes[page * 4_096..page * 4_096 + 512].fill(0xa5);
    }
    std::fs::write(file("damaged.db"), bytes).unwrap();
    std::fs::write(file("text.db"), "no database at all, but long enough to be looked at").unwrap();
    let mut other = SqliteConnection::connect(&format!("{}?mode=rwc", file("other.db").display())).await.unwrap();
    other.execute("CREATE TABLE t (n)").await.unwrap();
    other.close().await.unwrap();
    world.store.close().await;
    let database = world.made.database();
    let before = std::fs::read(path_of(&database)).unwrap();
    for name in ["none.db", "text.db", "other.db", "newer.db", "damaged.db"] {
        let refused = maintenance::restore(&database, &file(name)).await;
        assert!(refused.is_err(), "{name}");
        assert_eq!(std::fs::read(path_of(&database)).unwrap(), before, "{name}: untouched");
    }
}

async fn check_finds<D: Made>() {
    let world = filled::<D>().await;
    let found = maintenance::check(&world.made.database()).await.unwrap();
    assert_eq!((found.jobs.accepted, found.jobs.open, found.jobs.ended), (4, 3, 1));
    assert_eq!((found.findings, found.schema), (vec![], found.newest_schema));
    world
        .write(|tx| Box::pin(async move { Ok(tx.sent().await?.command("UPDATE job SET outcome = NULL WHERE outcome IS NOT NULL").await?) }))
        .await;
    let found = maintenance::check(&world.made.database()).await.unwrap();
    assert_eq!(found.findings.len(), 2, "the sum does not add up, and a job is nowhere: {found:?}");
}

#[tokio::test]
async fn a_check_counts_the_jobs_and_finds_what_does_not_add_up_on_sqlite() {
    check_finds::<OnSqlite>().await;
}

#[tokio::test]
async fn a_check_counts_the_jobs_and_finds_what_does_not_add_up_on_postgres() {
    check_finds::<OnPostgres>().await;
}

#[tokio::test]
async fn everything_is_copied_to_postgres_and_back_as_it_was() {
    let world = filled::<OnSqlite>().await;
    let (from, server) = (world.made.database(), OnPostgres::make());
    let refused = maintenance::copy(&from, &server.database()).await;
    assert!(matches!(refused, Err(MaintenanceError::Store(StoreError::Locked { .. }))), "{refused:?}");
    world.store.close().await;
    let there = maintenance::copy(&from, &server.database()).await.unwrap();
    let rows = |name: &str| there.tables.iter().find(|(table, _)| table == name).unwrap().1;
    assert_eq!(
        (rows("tenant"), rows("job"), rows("report"), rows("idempotency"), rows("audit")),
        (2, 4, 1, 1, 1)
    );
    let store = Store::open(server.database(), StoreOptions::default()).await.unwrap();
    assert_eq!(accepted(&store).await, 4);
    let refused = maintenance::copy(&server.database(), &Database::file(world.directory().join("back.db"))).await;
    assert!(matches!(refused, Err(MaintenanceError::Store(StoreError::InUse { .. }))), "{refused:?}");
    // The next entry of the audit log gets the next number.
    let entry = audit::NewAudit {
        at: at(2),
        tenant: None,
        actor: "operator".to_owned(),
        action: "tenant.create",
        subject: "s".to_owned(),
        detail: serde_json::Value::Null,
    };
    store
        .write(move |tx| Box::pin(async move { audit::append(tx, system(), &entry).await }))
        .await
        .unwrap();
    store.close().await;
    let refused = maintenance::copy(&from, &server.database()).await;
    assert!(matches!(refused, Err(MaintenanceError::NotEmpty { .. })), "{refused:?}");
    let back = Database::file(world.directory().join("back.db"));
    let copied = maintenance::copy(&server.database(), &back).await.unwrap();
    assert_eq!(copied.rows(), there.rows() + 1);
    assert_eq!(maintenance::check(&back).await.unwrap().findings, Vec::<String>::new());
    let store = Store::open(back, StoreOptions::default()).await.unwrap();
    assert_eq!(accepted(&store).await, 4);
    store.close().await;
}

#[tokio::test]
async fn a_copy_that_breaks_off_leaves_nothing_and_can_be_tried_again() {
    let world = filled::<OnSqlite>().await;
    world.store.close().await;
    let server = OnPostgres::make();
    Store::open(server.database(), StoreOptions::default()).await.unwrap().close().await;
    let mut admin = sqlx::PgConnection::connect(&server.0.admin_url()).await.unwrap();
    // The last table of all is refused: everything before it was sent already.
    admin
        .execute("ALTER TABLE report ADD CONSTRAINT never CHECK (attempt < 0) NOT VALID")
        .await
        .unwrap();
    assert!(maintenance::copy(&world.made.database(), &server.database()).await.is_err());
    let left: i64 = sqlx::query_scalar("SELECT (SELECT COUNT(*) FROM tenant) + (SELECT COUNT(*) FROM job)")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(left, 0);
    admin.execute("ALTER TABLE report DROP CONSTRAINT never").await.unwrap();
    maintenance::copy(&world.made.database(), &server.database()).await.unwrap();
    let same = maintenance::copy(&world.made.database(), &Database::file("x.db")).await;
    assert!(matches!(same, Err(MaintenanceError::SameKind)), "{same:?}");
}
