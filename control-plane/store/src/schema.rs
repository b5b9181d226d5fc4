//! The schema and its migrations. A database of a newer version is refused before anything is changed in it.

use sqlx::migrate::Migrator;
use sqlx::{PgConnection, SqliteConnection};

use crate::connection::Connection;
use crate::error::StoreError;
use crate::postgres;

/// Brings the database to this version's schema. Each migration is one transaction with its entry in the list of those applied.
///
/// # Errors
/// [`StoreError::SchemaNewer`] for a database of a newer version, which stays as it is.
pub(crate) async fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    refuse_newer(version(connection).await?)?;
    match connection {
        Connection::Sqlite(connection) => SQLITE.run(connection).await?,
        Connection::Postgres(connection) => {
            postgres::ensure_role(connection).await?;
            postgres::take_your_time(connection, postgres::NO_TIMEOUT).await?;
            POSTGRES.run(&mut *connection).await?;
            postgres::take_your_time(connection, postgres::STATEMENT_TIMEOUT).await?;
        }
    }
    Ok(())
}

pub(crate) fn refuse_newer(found: Option<i64>) -> Result<(), StoreError> {
    let known = known();
    match found {
        Some(found) if found > known => Err(StoreError::SchemaNewer { found, known }),
        Some(_) | None => Ok(()),
    }
}

/// The highest migration that this version has.
pub(crate) fn known() -> i64 {
    SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The highest migration in the database; none where it is empty.
pub(crate) async fn version(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    Ok(match connection {
        Connection::Sqlite(connection) => sqlite_version(connection).await?,
        Connection::Postgres(connection) => postgres_version(connection).await?,
    })
}

pub(crate) async fn sqlite_version(connection: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    if sqlx::query_scalar::<_, i64>(SQLITE_HAS_MIGRATIONS).fetch_one(&mut *connection).await? == 0 {
        return Ok(None);
    }
    sqlx::query_scalar(HIGHEST_MIGRATION).fetch_one(connection).await
}

pub(crate) async fn postgres_version(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    if !sqlx::query_scalar::<_, bool>(POSTGRES_HAS_MIGRATIONS).fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    sqlx::query_scalar(HIGHEST_MIGRATION).fetch_one(connection).await
}

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const SQLITE_HAS_MIGRATIONS: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const POSTGRES_HAS_MIGRATIONS: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
const HIGHEST_MIGRATION: &str = "SELECT MAX(version) FROM _sqlx_migrations";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_migrations() {
        let list = |migrator: &Migrator| -> Vec<(i64, String)> { migrator.iter().map(|one| (one.version, one.description.to_string())).collect() };
        assert_eq!(list(&SQLITE), list(&POSTGRES), "number and name");
    }
}
