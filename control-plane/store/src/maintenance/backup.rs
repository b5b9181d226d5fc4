//! A backup of the embedded database into one file, also while a server works on it.

use std::path::Path;

use super::error::MaintenanceError;
use super::file::{Unfinished, open_to_read};
use crate::database::{Database, Place};

/// Writes everything that is committed into a new file, which appears whole or not at all.
///
/// # Errors
/// [`MaintenanceError::Exists`] where something stands under that name, [`MaintenanceError::Missing`] where there is no database.
pub async fn backup(database: &Database, to: &Path) -> Result<(), MaintenanceError> {
    let Place::File(file) = &database.0 else {
        return Err(MaintenanceError::FilesOnly { what: "a backup" });
    };
    if to.exists() {
        return Err(MaintenanceError::Exists { path: to.to_owned() });
    }
    let (mut connection, _) = open_to_read(file).await?;
    let unfinished = Unfinished::beside(to)?;
    sqlx::query(INTO)
        .bind(unfinished.path().to_string_lossy().into_owned())
        .execute(&mut connection)
        .await?;
    unfinished.place_new(to)
}

/// One read transaction over the whole database: writers go on meanwhile. The copy is without gaps, and has no log beside it.
const INTO: &str = "VACUUM INTO $1";
