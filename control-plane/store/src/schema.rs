//! The schema and its migrations. A database of a newer version is refused before anything is changed in it.

use sqlx::SqliteConnection;
use sqlx::migrate::Migrator;

use crate::error::StoreError;

/// Brings the database to this version's schema.
///
/// # Errors
/// [`StoreError::SchemaNewer`] for a database of a newer version, which stays as it is.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if let Some(found) = applied(connection).await?.filter(|found| *found > known) {
        return Err(StoreError::SchemaNewer { found, known });
    }
    MIGRATIONS.run(connection).await?;
    Ok(())
}

/// The highest migration in the database; none where it is empty.
async fn applied(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    let tables: i64 = sqlx::query_scalar(HAS_MIGRATIONS).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(None);
    }
    Ok(sqlx::query_scalar(HIGHEST_MIGRATION).fetch_one(connection).await?)
}

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const HAS_MIGRATIONS: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const HIGHEST_MIGRATION: &str = "SELECT MAX(version) FROM _sqlx_migrations";
