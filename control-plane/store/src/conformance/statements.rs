//! Every statement is accepted by both databases as it stands.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _, SqliteConnection};

use super::{Made, OnPostgres, OnSqlite, World};
use crate::connection::Connection;
use crate::{
    agents, audit, certificates, dialect, idempotency, jobs, join_tokens, keys, maintenance, packages, quota, reports, retention, series, sessions, standing,
    tally, tenants, tiers, usage,
};

fn statements() -> Vec<&'static str> {
    let mut statements: Vec<&'static str> = [
        tenants::STATEMENTS,
        tiers::STATEMENTS,
        usage::STATEMENTS,
        quota::STATEMENTS,
        keys::STATEMENTS,
        join_tokens::STATEMENTS,
        certificates::STATEMENTS,
        sessions::STATEMENTS,
        audit::STATEMENTS,
        idempotency::STATEMENTS,
        tally::STATEMENTS,
        retention::STATEMENTS,
        packages::STATEMENTS,
    ]
    .concat();
    statements.extend(agents::STATEMENTS.concat());
    statements.extend(jobs::STATEMENTS.concat());
    statements.extend(reports::STATEMENTS.concat());
    statements.extend(reports::INGEST.concat());
    statements.extend(maintenance::STATEMENTS);
    statements.extend(series::STATEMENTS.concat());
    statements.extend(standing::STATEMENTS.concat());
    statements
}

async fn prepare_all<D: Made>() {
    let world = World::<D>::new().await;
    let statements = statements();
    assert!(statements.len() > 60, "a file's statements are missing from the list");
    world
        .write(move |tx| {
            Box::pin(async move {
                for text in statements {
                    let prepared = match tx.connection() {
                        Connection::Sqlite(connection) => connection.prepare(dialect::render(text, crate::Kind::Sqlite).into_sql_str()).await.map(drop),
                        Connection::Postgres(connection) => connection.prepare(dialect::render(text, crate::Kind::Postgres).into_sql_str()).await.map(drop),
                    };
                    if let Err(error) = prepared {
                        panic!("{error}\n{text}");
                    }
                }
                Ok(())
            })
        })
        .await;
}

#[tokio::test]
async fn every_statement_can_be_prepared_on_sqlite() {
    prepare_all::<OnSqlite>().await;
}

#[tokio::test]
async fn every_statement_can_be_prepared_on_postgres() {
    prepare_all::<OnPostgres>().await;
}

/// Instants are bound, so however far the database's clock is from the control plane's, nothing is decided by it.
#[test]
fn dbf_11_no_statement_and_no_column_asks_the_clock_of_the_database() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let migrations: Vec<String> = ["sqlite", "postgres"]
        .iter()
        .flat_map(|kind| std::fs::read_dir(folder.join(kind)).unwrap())
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(migrations.len() >= 14, "{}", migrations.len());
    let texts = statements().into_iter().chain(migrations.iter().map(String::as_str));
    for text in texts {
        let clocks: Vec<&str> = CLOCKS.into_iter().filter(|clock| asks(text, clock)).collect();
        assert!(clocks.is_empty(), "{clocks:?}\n{text}");
    }
    assert!(asks("SELECT Now() - x", "now(") && asks("DEFAULT current_timestamp", "current_timestamp"));
}

/// Whether a text calls a clock by this name, outside its comments.
fn asks(text: &str, clock: &str) -> bool {
    let code: Vec<&str> = text.lines().filter_map(|line| line.split("--").next()).collect();
    code.join(" ").to_lowercase().contains(clock)
}

/// The clocks of both databases.
const CLOCKS: [&str; 15] = [
    "now(",
    "current_timestamp",
    "current_time",
    "current_date",
    "localtime",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "strftime",
    "julianday",
    "unixepoch",
    "datetime(",
    "timediff",
    "'now'",
];

#[tokio::test]
async fn api_02_every_way_to_list_reports_walks_an_index_in_order() {
    let world = World::<OnSqlite>::new().await;
    let mut connection = SqliteConnection::connect(world.file().to_str().unwrap()).await.unwrap();
    for statement in reports::HISTORY {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
        assert!(steps.iter().all(|step| step.starts_with("SEARCH ")), "{steps:?}\n{statement}");
    }
}

#[tokio::test]
async fn every_hot_statement_finds_its_rows_by_key() {
    let world = World::<OnSqlite>::new().await;
    let mut connection = SqliteConnection::connect(world.file().to_str().unwrap()).await.unwrap();
    let hot = [jobs::HOT, reports::INGEST, &[idempotency::STATEMENTS, quota::STATEMENTS, tally::STATEMENTS]]
        .concat()
        .concat();
    for statement in hot {
        let text = dialect::render(statement, crate::Kind::Sqlite);
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let scans = |step: &str| step.starts_with("SCAN ") && !step.contains("VIRTUAL TABLE");
        let scanned: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).filter(|step| scans(step)).collect();
        assert!(scanned.is_empty(), "{scanned:?}\n{text}");
    }
}
