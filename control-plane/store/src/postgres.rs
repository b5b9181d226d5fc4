//! PostgreSQL: how it is connected to, the lock that keeps a second control plane out, and the wall between tenants.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _};
use tokio::time::{sleep, timeout};

use crate::connection::TransactionId;
use crate::error::{StoreError, Unavailable};
use crate::statement::Whose;

/// A server, and how it is connected to.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    options: PgConnectOptions,
    /// The number of the lock that a connection which writes holds.
    lock: i64,
}

/// What became of a transaction whose commit was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    Lost,
    /// Its connection is still at work on the server.
    Undecided,
}

impl Server {
    pub(crate) fn new(options: &PgConnectOptions, lock_wait: Duration) -> Self {
        let lock_wait = format!("{}ms", lock_wait.as_millis());
        let options = options
            .clone()
            .application_name("probeops")
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging()
            .options(SETTINGS)
            .options([("lock_timeout", lock_wait)]);
        Self { options, lock: LOCK }
    }

    /// The same server for whoever writes series beside the writer, with a lock of its own.
    pub(crate) fn for_series(&self) -> Self {
        Self {
            lock: LOCK_OF_SERIES,
            ..self.clone()
        }
    }

    /// Connects to write: only who holds the lock, on this very connection, may. Where the connection is lost, so is the lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another control plane holds it, [`StoreError::ServerTooOld`].
    pub(crate) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let connecting = timeout(CONNECT_TIMEOUT, self.options.connect()).await;
        let mut connection = connecting.map_err(|_| Unavailable::Unreachable)??;
        let version = connection.server_version_num().unwrap_or(u32::MAX);
        if version < OLDEST {
            return Err(StoreError::ServerTooOld { found: version / 10_000 });
        }
        sqlx::raw_sql(COMMIT_ON_DISK).execute(&mut connection).await?;
        sqlx::raw_sql(BY_KEYS).execute(&mut connection).await?;
        sqlx::raw_sql(PLAIN_LITERALS).execute(&mut connection).await?;
        lock(&mut connection, self.lock).await?;
        Ok(connection)
    }

    /// How to connect to read.
    pub(crate) fn to_read(&self) -> PgConnectOptions {
        self.options.clone().options([("default_transaction_read_only", "on")])
    }
}

/// Takes the lock. One that a control plane held which has just died is free within seconds, so it is asked for some times.
async fn lock(connection: &mut PgConnection, number: i64) -> Result<(), StoreError> {
    for _ in 0..LOCK_TRIES {
        let row = sqlx::query(TAKE_LOCK).bind(number).fetch_one(&mut *connection).await?;
        if row.try_get(0)? {
            return Ok(());
        }
        sleep(LOCK_PAUSE).await;
    }
    let holder = sqlx::query(LOCK_HOLDER).bind(number).fetch_optional(connection).await?;
    let holder = holder.and_then(|row| row.try_get(0).ok()).unwrap_or_else(|| "unknown".to_owned());
    Err(StoreError::InUse { holder })
}

/// Connects to look, beside whoever writes.
pub(crate) async fn connect_to_look(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let reading = Server::new(options, CONNECT_TIMEOUT).to_read().options([("statement_timeout", NO_TIMEOUT)]);
    let connecting = timeout(CONNECT_TIMEOUT, reading.connect()).await;
    Ok(connecting.map_err(|_| Unavailable::Unreachable)??)
}

/// Asks what became of a transaction.
pub(crate) async fn fate(connection: &mut PgConnection, transaction: &TransactionId) -> Result<Fate, sqlx::Error> {
    let row = sqlx::query(FATE).bind(transaction.0.clone()).fetch_one(connection).await?;
    Ok(match row.try_get::<Option<String>, _>(0)?.as_deref() {
        Some("committed") => Fate::Committed,
        Some("in progress") => Fate::Undecided,
        Some(_) | None => Fate::Lost,
    })
}

/// Makes sure of the role that tenants' reads are done as. Roles belong to the whole server, so no migration can hold it.
///
/// # Errors
/// [`StoreError::RoleMissing`] where it is not there and may not be made.
pub(crate) async fn ensure_role(connection: &mut PgConnection) -> Result<(), StoreError> {
    let Err(error) = sqlx::raw_sql(ENSURE_ROLE).execute(connection).await else {
        return Ok(());
    };
    match error.as_database_error().and_then(|refused| refused.code().map(Cow::into_owned)).as_deref() {
        Some(INSUFFICIENT_PRIVILEGE) => Err(StoreError::RoleMissing),
        Some(_) | None => Err(error.into()),
    }
}

/// Has a reading connection show what that somebody may see; before the first time it shows nothing.
pub(crate) async fn show(connection: &mut PgConnection, whose: Whose) -> Result<(), sqlx::Error> {
    let commands = match whose {
        Whose::Everybodys => "RESET ROLE; SET probeops.tenant = ''".to_owned(),
        Whose::Tenant(tenant) => format!("SET ROLE probeops_tenant; SET probeops.tenant = '{}'", tenant.uuid()),
    };
    sqlx::raw_sql(AssertSqlSafe(commands)).execute(connection).await.map(drop)
}

/// Turns the time limit of statements off, or on again, for migrations and bulk work.
pub(crate) async fn take_your_time(connection: &mut PgConnection, limit: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!("SET statement_timeout = '{limit}'")))
        .execute(connection)
        .await
        .map(drop)
}

pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// The transaction's number, by which its fate can be asked.
pub(crate) const NUMBER: &str = "SELECT pg_current_xact_id()::text";

/// Nothing waits for ever: not a statement, not a transaction that nobody goes on with, not the server for a peer that is gone.
const SETTINGS: [(&str, &str); 7] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    ("idle_in_transaction_session_timeout", "60s"),
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("timezone", "UTC"),
];
/// Longest a statement may take.
pub(crate) const STATEMENT_TIMEOUT: &str = "15s";
/// No limit.
pub(crate) const NO_TIMEOUT: &str = "0";
/// Longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// PostgreSQL 15: what Debian stable ships, and the first where `security_invoker` and the present rules of the public schema hold.
const OLDEST: u32 = 150_000;
/// Prepared statements kept by each connection: more than there are.
const STATEMENTS: usize = 512;

/// Stricter settings of the server's stay.
const COMMIT_ON_DISK: &str = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// What writes finds its rows by key, a set of them at a time. A plan is made once, and for the tables as they will be: one made while they are
/// still empty would read them whole when they are not, until statistics tell.
const BY_KEYS: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// In a literal a backslash is a character like any other: what [`crate::trip`] writes out ends where its quote does.
const PLAIN_LITERALS: &str = "SET standard_conforming_strings = on";

/// The number of the lock, the same for every control plane: "probeops" in ASCII.
const LOCK: i64 = 0x7072_6f62_656f_7073;
/// The lock of series: the next number.
pub(crate) const LOCK_OF_SERIES: i64 = LOCK + 1;
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
const TAKE_LOCK: &str = "SELECT pg_try_advisory_lock($1)";
const LOCK_HOLDER: &str = "SELECT format('server process %s, connected from %s', l.pid, COALESCE(host(a.client_addr), 'this machine'))
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
AND l.classid::bigint << 32 | l.objid::bigint = $1";

const FATE: &str = "SELECT pg_xact_status($1::text::xid8)";

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const ENSURE_ROLE: &str = "DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'probeops_tenant') THEN
        CREATE ROLE probeops_tenant NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'probeops_tenant', 'MEMBER') THEN
        EXECUTE format('GRANT probeops_tenant TO %I', current_user);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$";
