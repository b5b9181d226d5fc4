//! Every statement is accepted by both databases as it stands.

use sqlx::{Executor as _, SqlSafeStr as _};

use super::{Made, OnPostgres, OnSqlite, World};
use crate::connection::Connection;
use crate::{agents, audit, certificates, dialect, idempotency, jobs, join_tokens, keys, maintenance, quota, reports, sessions, tenants, tiers, usage};

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
    ]
    .concat();
    statements.extend(agents::STATEMENTS.concat());
    statements.extend(jobs::STATEMENTS.concat());
    statements.extend(reports::STATEMENTS.concat());
    statements.extend(maintenance::STATEMENTS);
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
