//! A migration that is cut off anywhere leaves a database that the next start brings to its schema, or refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use super::{Made, OnPostgres, OnSqlite, World, at, random, system};
use crate::connection::Connection;
use crate::tenants::{self, NewTenant};
use crate::{Database, Store, StoreError, StoreOptions, schema};
use shared_protocol::id::TenantId;
use shared_protocol::tier::Tier;

/// The database opens and takes a row.
async fn opens(database: Database) {
    let store = Store::open(database, StoreOptions::default()).await.unwrap();
    let new = NewTenant {
        id: TenantId::new(at(0), random()),
        name: "after".to_owned(),
        tier: Tier::Free,
        created_at: at(0),
    };
    store
        .write(move |tx| Box::pin(async move { tenants::create(tx, system(), &new).await }))
        .await
        .unwrap();
    store.close().await;
}

/// Migrates a new file; at the given step of SQLite's machine its files are copied, as a kill would leave them. Says how many steps were made.
async fn files_at(step: u32) -> (OnSqlite, u32) {
    let (made, left) = (OnSqlite::make(), OnSqlite::make());
    let (from, to) = (made.0.path().to_owned(), left.0.path().to_owned());
    let options = SqliteConnectOptions::new().filename(from.join("probeops.db")).create_if_missing(true);
    let mut connection = options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap();
    let steps = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&steps);
    let copy = move || {
        if counted.fetch_add(1, Ordering::Relaxed) == step {
            // The log is not there before the first write.
            for name in ["probeops.db", "probeops.db-wal"].into_iter().filter(|name| from.join(name).exists()) {
                std::fs::copy(from.join(name), to.join(name)).unwrap();
            }
        }
        true
    };
    connection.lock_handle().await.unwrap().set_progress_handler(1, copy);
    schema::migrate(&mut Connection::Sqlite(connection)).await.unwrap();
    (left, steps.load(Ordering::Relaxed))
}

#[tokio::test]
async fn dbf_08_a_migration_killed_anywhere_is_done_by_the_next_start_on_sqlite() {
    let (_, steps) = files_at(u32::MAX).await;
    let kills = if std::env::var_os("PROBEOPS_LONG").is_some() { steps } else { 40 };
    let mut half_done = 0;
    for kill in 0..kills {
        let (left, _) = files_at(steps / kills * kill).await;
        let log = left.0.path().join("probeops.db-wal");
        half_done += u32::from(std::fs::metadata(log).is_ok_and(|log| log.len() > 0));
        opens(left.database()).await;
    }
    assert!(half_done > kills / 2, "{half_done} of {kills} had begun to write");
}

#[tokio::test]
async fn dbf_08_a_migration_killed_after_any_statement_is_done_by_the_next_start_on_postgres() {
    let made = OnPostgres::make();
    let mut admin = PgConnection::connect(&made.0.admin_url()).await.unwrap();
    let mut killed = 0;
    for turn in 1.. {
        admin.execute(AssertSqlSafe(KILL_AFTER.replace("NTH", &turn.to_string()))).await.unwrap();
        let connection = PgConnection::connect(&made.0.url()).await.unwrap();
        let done = schema::migrate(&mut Connection::Postgres(connection)).await;
        admin.execute("DROP EVENT TRIGGER killer").await.unwrap();
        if done.is_ok() {
            break;
        }
        killed += 1;
        // Every fifth time the whole start is tried; else the next kill begins where this one left off.
        if turn % 5 == 0 {
            opens(made.database()).await;
            admin
                .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION probeops; DROP SEQUENCE IF EXISTS killer.statements")
                .await
                .unwrap();
        }
    }
    opens(made.database()).await;
    assert!(killed > 30, "killed {killed} times");
}

async fn newer<D: Made>() {
    let world = World::<D>::new().await;
    world
        .write(|tx| Box::pin(async move { Ok(tx.sent().await?.command("UPDATE _sqlx_migrations SET version = 999 WHERE version = 1").await?) }))
        .await;
    world.store.close().await;
    let refused = Store::open(world.made.database(), StoreOptions::default()).await;
    assert!(matches!(refused, Err(StoreError::SchemaNewer { found: 999, .. })), "{refused:?}");
    assert!(!refused.unwrap_err().is_retryable());
}

#[tokio::test]
async fn dbf_08_a_newer_schema_is_refused_and_left_alone_on_sqlite() {
    newer::<OnSqlite>().await;
}

#[tokio::test]
async fn dbf_08_a_newer_schema_is_refused_and_left_alone_on_postgres() {
    newer::<OnPostgres>().await;
}

/// Ends the server's process of whoever runs the NTH statement that changes the schema, right after it.
const KILL_AFTER: &str = "CREATE SCHEMA IF NOT EXISTS killer;
GRANT USAGE ON SCHEMA killer TO public;
DROP SEQUENCE IF EXISTS killer.statements;
CREATE SEQUENCE killer.statements;
GRANT ALL ON SEQUENCE killer.statements TO public;
CREATE OR REPLACE FUNCTION killer.strike() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('killer.statements') = NTH THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
END $$;
CREATE EVENT TRIGGER killer ON ddl_command_end EXECUTE FUNCTION killer.strike()";
