//! Every statement is accepted by the database as it stands.

use sqlx::{Connection as _, Executor as _, SqlSafeStr as _, SqliteConnection};

use super::World;
use crate::{agents, audit, certificates, idempotency, jobs, join_tokens, keys, reports, sessions, tenants, tiers};

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let world = World::new().await;
    let mut connection = SqliteConnection::connect(world.file().to_str().unwrap()).await.unwrap();
    let mut statements: Vec<&'static str> = [
        tenants::STATEMENTS,
        tiers::STATEMENTS,
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
    assert!(statements.len() > 60, "a file's statements are missing from the list");

    for statement in statements {
        if let Err(error) = connection.prepare(statement.into_sql_str()).await {
            panic!("{error}\n{statement}");
        }
    }
}
