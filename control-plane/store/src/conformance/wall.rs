//! The second wall between tenants: PostgreSQL shows a reader no other tenant's rows, even where a statement forgets to name the tenant.

use sqlx::{Connection as _, PgConnection};

use super::{OnPostgres, World, report, system};
use crate::statement::Statement;
use crate::{Page, agents, jobs, keys, reports, tx};

/// A statement as a mistake would leave it: it asks for everybody's rows.
const FORGETFUL: [&str; 15] = [
    "SELECT count(*) AS n FROM tenant",
    "SELECT count(*) AS n FROM api_key",
    "SELECT count(*) AS n FROM join_token",
    "SELECT count(*) AS n FROM agent",
    "SELECT count(*) AS n FROM certificate",
    "SELECT count(*) AS n FROM measurement",
    "SELECT count(*) AS n FROM job",
    "SELECT count(*) AS n FROM job_open",
    "SELECT count(*) AS n FROM report",
    "SELECT count(*) AS n FROM idempotency",
    "SELECT count(*) AS n FROM standing",
    "SELECT count(*) AS n FROM standing_agent",
    "SELECT count(*) AS n FROM standing_window",
    "SELECT count(*) AS n FROM package",
    "SELECT count(*) AS n FROM package_on_agent",
];

#[tokio::test]
async fn aut_22_a_query_without_its_tenant_shows_no_other_tenants_rows() {
    let world = World::<OnPostgres>::new().await;
    let (_, job) = world.start(world.ours).await;
    world.ingest(world.ours, &report(job, 1)).await;
    world.accept(world.ours).await;
    let mut reader = world.reader().await;
    let mut rows_of_ours = 0;
    for text in FORGETFUL {
        let mut count = async |statement| tx::optional(&mut reader, statement, |row| row.number::<i64>("n")).await.unwrap().unwrap();
        let all = count(Statement::own(text)).await;
        let ours = count(Statement::of(world.ours.scope, text)).await;
        let theirs = count(Statement::of(world.theirs.scope, text)).await;
        assert_eq!(ours + theirs, all, "{text}: every row is somebody's, and nobody else's");
        rows_of_ours += ours;
        assert!(theirs <= 1, "{text}: their own tenant, agent and certificate at most");
    }
    assert_eq!(
        rows_of_ours, 9,
        "a tenant, an agent, a certificate, two measurements, two jobs, one open, a report"
    );
}

#[tokio::test]
async fn aut_22_a_reader_goes_from_tenant_to_tenant_and_to_everybodys_rows() {
    let world = World::<OnPostgres>::new().await;
    let (_, job) = world.accept(world.ours).await;
    let mut reader = world.reader().await;
    for _ in 0..2 {
        assert!(jobs::job(&mut reader, world.ours.scope, job).await.unwrap().is_some());
        assert!(jobs::job(&mut reader, world.theirs.scope, job).await.unwrap().is_none());
        assert!(agents::find(&mut reader, world.theirs.scope, world.theirs.agent).await.unwrap().is_some());
        assert!(agents::find(&mut reader, world.theirs.scope, world.ours.agent).await.unwrap().is_none());
        assert_eq!(jobs::conservation(&mut reader, system()).await.unwrap().accepted, 1);
        assert!(keys::list(&mut reader, world.ours.scope, &Page::first(9)).await.unwrap().is_empty());
    }
    assert!(reports::of_job(&mut reader, world.ours.scope, job).await.unwrap().is_none());
}

#[tokio::test]
async fn aut_22_without_a_tenant_the_tenants_role_sees_nothing_and_writes_nothing() {
    let world = World::<OnPostgres>::new().await;
    let mut connection = PgConnection::connect(&world.made.0.url()).await.unwrap();
    sqlx::raw_sql("SET ROLE probeops_tenant").execute(&mut connection).await.unwrap();
    for text in FORGETFUL {
        let seen: i64 = sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap();
        assert_eq!(seen, 0, "{text}");
    }
    for table in ["agent_session", "agent_outbox", "report_discarded", "report_quarantine"] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT 1 FROM {table}")))
            .execute(&mut connection)
            .await;
        assert!(refused.is_err(), "{table}");
    }
    let refused = sqlx::query("DELETE FROM job").execute(&mut connection).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn aut_22_every_table_with_a_tenant_stands_behind_the_wall() {
    let world = World::<OnPostgres>::new().await;
    let mut connection = PgConnection::connect(&world.made.0.url()).await.unwrap();
    let outside: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
AND NOT (c.relrowsecurity AND EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid))",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(outside, Vec::<String>::new());
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
AND NOT c.relrowsecurity AND has_table_privilege('probeops_tenant', c.oid, 'SELECT')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new(), "readable by tenants, but without rules");
}
