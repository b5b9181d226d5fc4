//! What the store does when a database server goes away, comes back, or is somebody else's.

use std::time::Duration;

use control_core::series::Identity;
use shared_protocol::id::TenantId;
use shared_protocol::tier::Tier;
use sqlx::{Connection as _, Executor as _, PgConnection};
use test_postgres::OwnServer;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Made as _, OnPostgres, World, at, random, system};
use crate::postgres::LOCK_OF_SERIES;
use crate::statement::Statement;
use crate::tenants::{self, NewTenant};
use crate::{Database, Store, StoreError, StoreOptions, Unavailable, series, tx};

fn tenant() -> NewTenant {
    NewTenant {
        id: TenantId::new(at(0), random()),
        name: "one".to_owned(),
        tier: Tier::Free,
        created_at: at(0),
    }
}

async fn create(store: &Store) -> Result<TenantId, StoreError> {
    let new = tenant();
    let id = new.id;
    store
        .write(move |tx| Box::pin(async move { tenants::create(tx, system(), &new).await }))
        .await
        .map(|()| id)
}

async fn exists(store: &Store, id: TenantId) -> bool {
    tenants::find(&mut store.reader().await.unwrap(), system(), id).await.unwrap().is_some()
}

#[tokio::test]
async fn dbf_10_a_second_store_on_the_same_server_is_refused_and_names_the_holder() {
    let world = World::<OnPostgres>::new().await;
    let refused = Store::open(world.made.database(), StoreOptions::default()).await;
    assert!(
        matches!(&refused, Err(StoreError::InUse { holder }) if holder.starts_with("server process ")),
        "{refused:?}"
    );
    world.store.close().await;
    let again = Store::open(world.made.database(), StoreOptions::default()).await.unwrap();
    assert!(exists(&again, world.ours.tenant).await);
    again.close().await;
}

#[tokio::test]
async fn dbf_01_a_server_that_is_not_there_can_be_tried_again() {
    let mut server = OwnServer::start().unwrap();
    let database = Database::url(&server.tcp_url()).unwrap();
    server.stop().unwrap();
    let refused = Store::open(database.clone(), StoreOptions::default()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(Unavailable::Unreachable))), "{refused:?}");
    server.start_again().unwrap();
    let store = Store::open(database, StoreOptions::default()).await.unwrap();
    create(&store).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn dbf_02_dbf_03_a_server_killed_under_load_loses_nothing_acknowledged_and_doubles_nothing() {
    let mut server = OwnServer::start().unwrap();
    let store = Store::open(Database::url(&server.url()).unwrap(), StoreOptions::default()).await.unwrap();
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut writes = JoinSet::new();
        for _ in 0..200 {
            let store = store.clone();
            writes.spawn(async move {
                let new = tenant();
                let id = new.id;
                let answer = store.write(move |tx| Box::pin(async move { tenants::create(tx, system(), &new).await })).await;
                (id, answer)
            });
        }
        let mut killed = false;
        while let Some(done) = writes.join_next().await {
            match done.unwrap() {
                (id, Ok(())) => kept.push(id),
                (id, Err(error)) => {
                    assert!(error.is_retryable(), "{error:?}");
                    refused.push(id);
                }
            }
            if !std::mem::replace(&mut killed, true) {
                server.kill().unwrap();
                server.start_again().unwrap();
            }
        }
        while create(&store).await.is_err() {}
    }
    assert!(store.metrics().reopened >= 3, "{:?}", store.metrics());
    for id in kept {
        assert!(exists(&store, id).await, "acknowledged, so it is there");
    }
    for id in refused {
        assert!(!exists(&store, id).await, "refused, so it is not there");
    }
    store.close().await;
}

#[tokio::test]
async fn dbf_01_a_reading_connection_that_is_gone_is_replaced_without_anybody_seeing_it() {
    let world = World::<OnPostgres>::with(StoreOptions {
        readers: 2,
        ..StoreOptions::default()
    })
    .await;
    let (mut one, mut other) = (world.reader().await, world.reader().await);
    for reader in [&mut one, &mut other] {
        assert!(tenants::find(reader, system(), world.ours.tenant).await.unwrap().is_some());
    }
    drop(other);
    let mut admin = PgConnection::connect(&world.made.0.url()).await.unwrap();
    let end_readers = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'probeops'
AND datname = current_database() AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')";
    assert_eq!(admin.execute(end_readers).await.unwrap().rows_affected(), 2);
    // One that is in use, and one that waits for the next.
    assert!(tenants::find(&mut one, system(), world.ours.tenant).await.unwrap().is_some());
    drop(one);
    assert!(exists(&world.store, world.ours.tenant).await && exists(&world.store, world.theirs.tenant).await);
    admin.close().await.unwrap();
}

#[tokio::test]
async fn who_goes_away_in_the_middle_of_an_answer_leaves_no_connection_behind_and_spoils_none() {
    let world = World::<OnPostgres>::with(StoreOptions {
        readers: 1,
        ..StoreOptions::default()
    })
    .await;
    let mut admin = PgConnection::connect(&world.made.0.url()).await.unwrap();
    for _ in 0..3 {
        let mut reader = world.reader().await;
        let slow = tx::all(&mut reader, Statement::own("SELECT CAST(pg_sleep(1) AS TEXT) AS slept"), |row| {
            row.text("slept")
        });
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        let mut slow = Box::pin(slow);
        // It has reached the server, and nobody waits for it any more.
        loop {
            tokio::select! {
                biased;
                _ = &mut slow => panic!("it sleeps"),
                sleeping = sqlx::query_scalar::<_, i64>(asked).fetch_one(&mut admin) => if sleeping.unwrap() == 1 { break },
            }
        }
        drop(slow);
        drop(reader);
        assert!(exists(&world.store, world.ours.tenant).await);
    }
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'probeops' AND datname = current_database()";
    let connected: i64 = sqlx::query_scalar(connected).fetch_one(&mut admin).await.unwrap();
    assert_eq!(connected, 3, "the writer, who writes series, and the one reader");
    admin.close().await.unwrap();
}

/// Each holds its transaction while the other's is begun and committed, on rows of the same tenant.
#[tokio::test]
async fn neither_series_nor_the_rest_wait_for_each_others_writes() {
    let world = World::<OnPostgres>::new().await;
    let tenant = world.ours.tenant;
    let new_series = |target: &str| Identity {
        tenant,
        agent: Some(world.ours.agent),
        target: target.to_owned(),
        probe: "ping".to_owned(),
        name: "sent".to_owned(),
    };
    let (began, beginning) = oneshot::channel();
    let (end, ending) = oneshot::channel::<()>();
    let wanted = vec![new_series("one")];
    let held = world.store.write_series(move |tx| {
        Box::pin(async move {
            series::register(tx, system(), &wanted, at(0)).await?;
            began.send(()).unwrap();
            ending.await.unwrap();
            Ok(())
        })
    });
    let rest = async {
        beginning.await.unwrap();
        let changed = world
            .write(move |tx| Box::pin(async move { tenants::set_tier(tx, system(), tenant, Tier::Standard).await }))
            .await;
        assert!(changed.is_some());
        world.accept(world.ours).await;
        end.send(()).unwrap();
    };
    tokio::join!(held, rest).0.unwrap();

    let (began, beginning) = oneshot::channel();
    let (end, ending) = oneshot::channel::<()>();
    let held = world.store.write(move |tx| {
        Box::pin(async move {
            tenants::set_tier(tx, system(), tenant, Tier::Enterprise).await?;
            began.send(()).unwrap();
            ending.await.unwrap();
            Ok(())
        })
    });
    let wanted = vec![new_series("two")];
    let of_series = async {
        beginning.await.unwrap();
        let registered = world
            .write_series(move |tx| Box::pin(async move { series::register(tx, system(), &wanted, at(0)).await }))
            .await;
        assert_eq!(registered.keys.len(), 1);
        end.send(()).unwrap();
    };
    tokio::join!(held, of_series).0.unwrap();
}

/// As that of a control plane which has lost the writer's lock and not yet noticed.
#[tokio::test]
async fn dbf_10_series_wait_while_somebody_else_has_their_lock_and_nothing_else_does() {
    let made = OnPostgres::make();
    let mut holder = PgConnection::connect(&made.0.url()).await.unwrap();
    let hold = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK_OF_SERIES);
    hold.execute(&mut holder).await.unwrap();
    let store = Store::open(made.database(), StoreOptions::default()).await.unwrap();
    create(&store).await.unwrap();
    let write = || store.write_series(|tx| Box::pin(async move { tx.sent().await.map(drop) }));
    let refused = write().await;
    assert!(refused.as_ref().is_err_and(StoreError::is_retryable), "{refused:?}");
    holder.close().await.unwrap();
    while write().await.is_err() {}
    store.close().await;
}

/// The commit reaches the server, and its answer is lost: the server is asked what became of it.
#[tokio::test]
async fn dbf_03_a_commit_whose_answer_is_lost_is_looked_up() {
    for (committed, command) in [(true, "COMMIT"), (false, "ROLLBACK")] {
        let made = OnPostgres::make();
        let store = Store::open(made.database(), StoreOptions::default()).await.unwrap();
        let new = tenant();
        let id = new.id;
        // The operation itself ends the transaction and then its own connection: the writer's commit finds nobody there.
        let answer = store
            .write(move |tx| {
                Box::pin(async move {
                    tenants::create(tx, system(), &new).await?;
                    tx.sent().await?.command(command).await?;
                    let ended = tx.sent().await?.command("SELECT pg_terminate_backend(pg_backend_pid())").await;
                    assert!(ended.is_err());
                    Ok(())
                })
            })
            .await;
        assert_eq!(answer.is_ok(), committed, "{answer:?}");
        assert_eq!(exists(&store, id).await, committed);
        create(&store).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn dbf_06_a_server_that_takes_no_writes_makes_them_unavailable_and_is_dialled_again() {
    let world = World::<OnPostgres>::new().await;
    world
        .write(|tx| Box::pin(async move { Ok(tx.sent().await?.command("SET default_transaction_read_only = on").await?) }))
        .await;
    let refused = create(&world.store).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(Unavailable::ReadOnly))), "{refused:?}");
    create(&world.store).await.unwrap();
    assert_eq!(world.store.metrics().reopened, 1);
}

#[tokio::test]
async fn dbf_05_readers_that_are_all_taken_are_unavailable_in_time_on_postgres() {
    let world = World::<OnPostgres>::with(StoreOptions {
        readers: 1,
        reader_wait: Duration::from_secs(1),
        ..StoreOptions::default()
    })
    .await;
    let held = world.reader().await;
    let refused = world.store.reader().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(Unavailable::ReadersBusy))));
    create(&world.store).await.unwrap();
    drop(held);
    assert!(exists(&world.store, world.ours.tenant).await);
}

#[tokio::test]
async fn dbf_04_an_operation_that_waits_too_long_for_a_lock_is_refused_alone() {
    let world = World::<OnPostgres>::with(StoreOptions {
        busy_wait: Duration::from_millis(50),
        ..StoreOptions::default()
    })
    .await;
    let mut intruder = PgConnection::connect(&world.made.0.url()).await.unwrap();
    intruder.execute("BEGIN; LOCK TABLE tenant IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (refused, _accepted) = tokio::join!(create(&world.store), world.accept(world.ours));
    assert!(matches!(refused, Err(StoreError::Unavailable(Unavailable::Busy))), "{refused:?}");
    intruder.execute("ROLLBACK").await.unwrap();
    create(&world.store).await.unwrap();
}

#[tokio::test]
async fn an_operation_that_fails_is_undone_alone_on_postgres() {
    let world = World::<OnPostgres>::new().await;
    let (first, undone) = (tenant(), tenant());
    let again = first.clone();
    let (kept, gone) = (first.id, undone.id);
    let one = world
        .store
        .write(move |tx| Box::pin(async move { tenants::create(tx, system(), &first).await }));
    // The statement is refused by the database itself, which in PostgreSQL fails all that follows up to the savepoint.
    let two = world.store.write(move |tx| {
        Box::pin(async move {
            tenants::create(tx, system(), &undone).await?;
            tenants::create(tx, system(), &again).await
        })
    });
    let three = create(&world.store);
    let (one, two, three) = tokio::join!(one, two, three);
    one.unwrap();
    assert!(matches!(two, Err(StoreError::Statement(_))), "{two:?}");
    assert!(exists(&world.store, kept).await && exists(&world.store, three.unwrap()).await && !exists(&world.store, gone).await);
}

/// PostgreSQL answers the commit of a failed transaction with a rollback and no error.
#[tokio::test]
async fn an_operation_that_hides_a_refused_statement_is_not_acknowledged() {
    let world = World::<OnPostgres>::new().await;
    let new = tenant();
    let again = new.clone();
    let id = new.id;
    let answer = world
        .store
        .write(move |tx| {
            Box::pin(async move {
                tenants::create(tx, system(), &new).await?;
                let _hidden = tenants::create(tx, system(), &again).await;
                Ok(())
            })
        })
        .await;
    assert!(answer.is_err_and(|error| error.is_retryable()));
    assert!(!exists(&world.store, id).await);
}

/// An authority, and the certificate and key that it gives a server on this machine.
fn authority() -> (String, String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::from_params(&parameters, &key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&server_key, &issuer)
        .unwrap();
    (root.pem(), server.pem(), server_key.serialize_pem())
}

#[tokio::test]
async fn dbf_01_a_server_that_cannot_prove_who_it_is_gets_no_password() {
    let server = OwnServer::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (root, certificate, key) = authority();
    let (other_root, ..) = authority();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (ours, theirs) = (write("ours.pem", &root), write("theirs.pem", &other_root));
    let verified = |root: &str, host: &str| {
        let url = server.tcp_url().replace("127.0.0.1", host);
        Database::url(&format!("{url}?sslmode=verify-full&sslrootcert={root}")).unwrap()
    };
    let refused = |database| async { Store::open(database, StoreOptions::default()).await.expect_err("it proved nothing") };
    let plain = refused(verified(&ours, "127.0.0.1")).await;
    assert!(
        matches!(plain, StoreError::Unavailable(Unavailable::Unreachable)),
        "it speaks no TLS: {plain:?}"
    );

    server.speak_tls(&certificate, &key).unwrap();
    let foreign = refused(verified(&theirs, "127.0.0.1")).await;
    assert!(
        matches!(foreign, StoreError::Unavailable(Unavailable::Unreachable)),
        "another authority: {foreign:?}"
    );
    let misnamed = refused(verified(&ours, "localhost")).await;
    assert!(
        matches!(misnamed, StoreError::Unavailable(Unavailable::Unreachable)),
        "another name: {misnamed:?}"
    );

    let store = Store::open(verified(&ours, "127.0.0.1"), StoreOptions::default()).await.unwrap();
    let id = create(&store).await.unwrap();
    assert!(exists(&store, id).await);
    let encrypted = server
        .command("SELECT bool_and(ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'probeops'")
        .unwrap();
    assert_eq!(encrypted, "t", "writer, readers and lock alike");
    store.close().await;
}
