//! A backup put in the place of the embedded database.

use std::path::{Path, PathBuf};

use sqlx::Connection as _;

use super::check::sqlite_findings;
use super::error::MaintenanceError;
use super::file::{Unfinished, open_to_fill, open_to_read, sync_folder};
use crate::database::{Database, Place};
use crate::lock::Lock;
use crate::sqlite;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the database that stood there is now; none where there was none.
    pub kept_aside: Option<PathBuf>,
    /// The backup's schema; the next start brings it to its own.
    pub schema: i64,
}

/// Puts a backup in the place of a database that no server uses. What stood there is kept aside. Killed half-way, the old database still stands.
///
/// # Errors
/// [`crate::StoreError::Locked`] while a server has the database, [`MaintenanceError::Unsound`] where the backup is damaged.
pub async fn restore(database: &Database, from: &Path) -> Result<Restored, MaintenanceError> {
    let Place::File(file) = &database.0 else {
        return Err(MaintenanceError::FilesOnly { what: "a restore" });
    };
    let (mut backup, schema) = open_to_read(from).await?;
    if let Some(finding) = sqlite_findings(&mut backup).await?.into_iter().next() {
        return Err(MaintenanceError::Unsound {
            database: from.display().to_string(),
            finding,
        });
    }
    let _lock = Lock::acquire(file)?;
    let unfinished = Unfinished::beside(file)?;
    sqlx::query(INTO)
        .bind(unfinished.path().to_string_lossy().into_owned())
        .execute(&mut backup)
        .await?;
    let kept_aside = keep_aside(file).await?;
    unfinished.replace(file)?;
    Ok(Restored { kept_aside, schema })
}

/// Gives the database that stands there a second name, after its log went into it: a log left beside another database would spoil that.
async fn keep_aside(file: &Path) -> Result<Option<PathBuf>, MaintenanceError> {
    if !file.exists() {
        return Ok(None);
    }
    let aside = free_name(file);
    if let Err(error) = fold_log(file).await {
        // Too damaged to be opened: its log goes aside with it.
        tracing::warn!(%error, "the database that is replaced cannot be opened; it is kept aside as it is");
        for ending in ["-wal", "-shm"] {
            let (log, log_aside) = (with_ending(file, ending), with_ending(&aside, ending));
            if log.exists() {
                std::fs::rename(&log, &log_aside).map_err(MaintenanceError::file("keep aside", log))?;
            }
        }
    }
    std::fs::hard_link(file, &aside).map_err(MaintenanceError::file("keep aside", &aside))?;
    sync_folder(&aside)?;
    Ok(Some(aside))
}

async fn fold_log(file: &Path) -> Result<(), MaintenanceError> {
    let mut connection = open_to_fill(file).await?;
    sqlite::truncate_log(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

fn free_name(file: &Path) -> PathBuf {
    let name = |number: u32| with_ending(file, &format!(".replaced-{number}"));
    (1..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(u32::MAX))
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

const INTO: &str = "VACUUM INTO $1";
