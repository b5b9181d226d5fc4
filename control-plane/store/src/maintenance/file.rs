//! Files that appear whole or not at all.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::error::MaintenanceError;
use crate::schema;
use crate::sqlite;

/// A file being made beside its final place; removed again unless it gets there.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Makes an empty file that only its owner can read. One left behind by an earlier try is replaced.
    pub(super) fn beside(final_place: &Path) -> Result<Self, MaintenanceError> {
        let mut path = final_place.as_os_str().to_owned();
        path.push(".unfinished");
        let path = PathBuf::from(path);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(MaintenanceError::file("remove", path)(error));
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map_err(MaintenanceError::file("make", &path))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file on disk under its final name, where nothing may stand yet.
    pub(super) fn place_new(self, final_place: &Path) -> Result<(), MaintenanceError> {
        self.sync()?;
        if let Err(error) = std::fs::hard_link(&self.path, final_place) {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                return Err(MaintenanceError::Exists { path: final_place.to_owned() });
            }
            return Err(MaintenanceError::file("make", final_place)(error));
        }
        sync_folder(final_place)
    }

    /// Puts the file on disk under its final name, in the place of what stands there.
    pub(super) fn replace(self, final_place: &Path) -> Result<(), MaintenanceError> {
        self.sync()?;
        std::fs::rename(&self.path, final_place).map_err(MaintenanceError::file("replace", final_place))?;
        sync_folder(final_place)
    }

    fn sync(&self) -> Result<(), MaintenanceError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(MaintenanceError::file("write", &self.path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// A folder's entry is on disk only once the folder is.
pub(super) fn sync_folder(file: &Path) -> Result<(), MaintenanceError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(MaintenanceError::file("write", folder))
}

/// Opens a database of the control plane to read it, and says which schema it has.
pub(super) async fn open_to_read(file: &Path) -> Result<(SqliteConnection, i64), MaintenanceError> {
    if !file.is_file() {
        return Err(MaintenanceError::Missing { path: file.to_owned() });
    }
    let mut connection = sqlite::connect_options(file, BUSY_WAIT).read_only(true).connect().await?;
    let version = schema::sqlite_version(&mut connection).await?;
    let version = version.ok_or_else(|| MaintenanceError::NotOurs {
        database: file.display().to_string(),
    })?;
    schema::refuse_newer(Some(version))?;
    Ok((connection, version))
}

/// Opens a file to fill it.
pub(super) async fn open_to_fill(file: &Path) -> Result<SqliteConnection, MaintenanceError> {
    let options: SqliteConnectOptions = sqlite::to_write(sqlite::connect_options(file, BUSY_WAIT));
    Ok(options.connect().await?)
}

/// Longest wait for the lock of a running server's commit.
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
