//! The directory that holds the agent's identity and outbox: private to its user, written so that a power cut leaves the old file or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

/// A state directory that was checked when it was opened.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// The state directory, or a file in it, cannot be used; each text says what mends it.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The directory is not there and could not be made, or is not readable.
    #[error("cannot open the state directory {path}: {source}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read or change what is inside.
    #[error("{path} may be used by others (mode {mode:04o}); run: chmod {wanted:04o} {path}")]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
        /// The permission bits wanted.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to the user the agent runs as ({user}); run: chown {user} {path}")]
    ForeignOwner {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who runs the agent.
        user: u32,
    },
    /// It is a symbolic link, a device, or anything but the plain file or directory it must be.
    #[error("{path} is not a plain {wanted}; symbolic links are not followed here")]
    WrongKind {
        /// What was found.
        path: PathBuf,
        /// What it must be.
        wanted: &'static str,
    },
    /// It is longer than anything the agent wrote.
    #[error("{path} is longer than {limit} bytes; it is not one of the agent's files")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The longest accepted.
        limit: u64,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written: read-only, full, no right.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file that has its place on disk already, and gets its name only when it is complete.
#[derive(Debug)]
pub struct ReservedFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    directory: PathBuf,
}

impl StateDir {
    /// Opens the directory, and makes it with mode 0700 if it is missing.
    ///
    /// # Errors
    /// [`StateDirError`] where it cannot be made, is a link, belongs to another user or is open to others.
    pub fn create(path: &Path) -> Result<Self, StateDirError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE);
        builder.create(path).map_err(|source| StateDirError::Open { path: path.to_owned(), source })?;
        Self::open(path)
    }

    /// Opens a directory that must be there.
    ///
    /// # Errors
    /// [`StateDirError`] where it is missing, a link, another user's or open to others.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let found = fs::symlink_metadata(path).map_err(|source| StateDirError::Open { path: path.to_owned(), source })?;
        if !found.is_dir() {
            return Err(StateDirError::WrongKind {
                path: path.to_owned(),
                wanted: "directory",
            });
        }
        check_owner(path, &found)?;
        if found.mode() & 0o022 != 0 {
            return Err(StateDirError::TooOpen {
                path: path.to_owned(),
                mode: found.mode() & 0o7777,
                wanted: DIRECTORY_MODE,
            });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where a file of this directory is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a private file; `None` where there is none.
    ///
    /// # Errors
    /// [`StateDirError`] where it is a link, another user's, open to others, too long or unreadable.
    pub fn read_private(&self, name: &str) -> Result<Option<String>, StateDirError> {
        let path = self.file(name);
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(StateDirError::WrongKind { path, wanted: "file" }),
            Err(source) => return Err(StateDirError::Read { path, source }),
        };
        check_private(&path, &file)?;
        let mut text = String::new();
        match file.take(FILE_BYTES + 1).read_to_string(&mut text) {
            Ok(_) if u64::try_from(text.len()).is_ok_and(|length| length <= FILE_BYTES) => Ok(Some(text)),
            Ok(_) => Err(StateDirError::TooLong { path, limit: FILE_BYTES }),
            Err(source) => Err(StateDirError::Read { path, source }),
        }
    }

    /// Writes a private file whole: afterwards it is on disk, or what was there before still is.
    ///
    /// # Errors
    /// [`StateDirError::Write`].
    pub fn write_private(&self, name: &str, text: &str) -> Result<(), StateDirError> {
        self.reserve(name)?.complete(text)
    }

    /// Takes the place that a private file will need, on disk, before what stands in it is known.
    ///
    /// # Errors
    /// [`StateDirError::Write`] where the directory is read-only or full.
    pub fn reserve(&self, name: &str) -> Result<ReservedFile, StateDirError> {
        let temporary = self.file(&format!("{name}.new"));
        let reserve = || -> io::Result<File> {
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(FILE_MODE)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&temporary)?;
            file.write_all(&vec![b' '; RESERVED_BYTES])?;
            file.sync_all()?;
            Ok(file)
        };
        let file = reserve().map_err(|source| StateDirError::Write {
            path: temporary.clone(),
            source,
        })?;
        Ok(ReservedFile {
            file,
            temporary,
            target: self.file(name),
            directory: self.path.clone(),
        })
    }

    /// Makes sure that a file which another library opens by its path is a private, plain one: creates it, or checks what is there.
    ///
    /// # Errors
    /// [`StateDirError`] where it is a link, another user's, open to others, or cannot be made.
    pub fn ensure_private(&self, name: &str) -> Result<PathBuf, StateDirError> {
        let path = self.file(name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        match opened {
            Ok(file) => check_private(&path, &file)?,
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(StateDirError::WrongKind { path, wanted: "file" }),
            Err(source) => return Err(StateDirError::Write { path, source }),
        }
        Ok(path)
    }

    /// Refuses a link or foreign file where a library would make or open one by its path; a missing one is fine.
    ///
    /// # Errors
    /// [`StateDirError`] as for [`StateDir::ensure_private`].
    pub fn check_if_present(&self, name: &str) -> Result<(), StateDirError> {
        let path = self.file(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => check_owner(&path, &found),
            Ok(_) => Err(StateDirError::WrongKind { path, wanted: "file" }),
            Err(_) => Ok(()),
        }
    }
}

impl ReservedFile {
    /// Fills the file and gives it its name.
    ///
    /// # Errors
    /// [`StateDirError::Write`]; what stood under the name before is untouched then.
    pub fn complete(mut self, text: &str) -> Result<(), StateDirError> {
        self.fill(text).map_err(|source| StateDirError::Write {
            path: self.target.clone(),
            source,
        })
    }

    fn fill(&mut self, text: &str) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        File::open(&self.directory)?.sync_all()
    }
}

impl Drop for ReservedFile {
    fn drop(&mut self) {
        // Gone already where the file was completed; a leftover is removed by the next reservation.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn check_private(path: &Path, file: &File) -> Result<(), StateDirError> {
    let found = file.metadata().map_err(|source| StateDirError::Read { path: path.to_owned(), source })?;
    if !found.is_file() {
        return Err(StateDirError::WrongKind {
            path: path.to_owned(),
            wanted: "file",
        });
    }
    check_owner(path, &found)?;
    if found.mode() & 0o077 != 0 {
        return Err(StateDirError::TooOpen {
            path: path.to_owned(),
            mode: found.mode() & 0o7777,
            wanted: FILE_MODE,
        });
    }
    Ok(())
}

fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), StateDirError> {
    let user = nix::unistd::geteuid().as_raw();
    if found.uid() == user {
        return Ok(());
    }
    Err(StateDirError::ForeignOwner {
        path: path.to_owned(),
        owner: found.uid(),
        user,
    })
}

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Longest file that is read whole.
const FILE_BYTES: u64 = 256 * 1024;
/// What a reserved file holds on disk before it is filled; an identity is shorter.
const RESERVED_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn directory() -> (tempfile::TempDir, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("state")).unwrap();
        (root, state)
    }

    #[test]
    fn what_is_written_is_private_and_reads_back() {
        let (_root, state) = directory();
        state.write_private("a", "one").unwrap();
        state.write_private("a", "two").unwrap();
        assert_eq!(state.read_private("a").unwrap().as_deref(), Some("two"));
        assert_eq!(fs::metadata(state.file("a")).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(state.read_private("b").unwrap(), None);
        assert_eq!(fs::read_dir(&state.path).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn dsk_07_a_file_open_to_others_is_refused_with_the_command_that_mends_it() {
        let (_root, state) = directory();
        state.write_private("key", "secret").unwrap();
        fs::set_permissions(state.file("key"), fs::Permissions::from_mode(0o644)).unwrap();
        let refused = state.read_private("key").unwrap_err();
        assert!(matches!(refused, StateDirError::TooOpen { mode: 0o644, .. }));
        assert!(refused.to_string().contains("chmod 0600"), "{refused}");
    }

    #[test]
    fn dsk_07_a_file_of_another_owner_is_refused() {
        let (_root, state) = directory();
        state.write_private("key", "secret").unwrap();
        if nix::unistd::chown(&state.file("key"), Some(12_345.into()), None).is_err() {
            println!("SKIP dsk_07: only root can give a file away");
            return;
        }
        let refused = state.read_private("key").unwrap_err();
        assert!(matches!(refused, StateDirError::ForeignOwner { owner: 12_345, .. }), "{refused}");
        assert!(refused.to_string().contains("chown"), "{refused}");
    }

    #[test]
    fn dsk_06_a_symbolic_link_is_never_followed() {
        let (root, state) = directory();
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, "untouched").unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&elsewhere, state.file("key")).unwrap();
        assert!(matches!(state.read_private("key").unwrap_err(), StateDirError::WrongKind { .. }));
        assert!(matches!(state.ensure_private("key").unwrap_err(), StateDirError::WrongKind { .. }));
        assert!(matches!(state.check_if_present("key").unwrap_err(), StateDirError::WrongKind { .. }));
        // Writing replaces the link itself.
        state.write_private("key", "new").unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
        assert_eq!(state.read_private("key").unwrap().as_deref(), Some("new"));
    }

    #[test]
    fn dsk_06_a_directory_that_others_may_write_or_that_is_a_link_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(StateDir::open(&path).unwrap_err(), StateDirError::TooOpen { .. }));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let link = root.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(StateDir::open(&link).unwrap_err(), StateDirError::WrongKind { .. }));
        assert!(matches!(StateDir::open(&root.path().join("none")).unwrap_err(), StateDirError::Open { .. }));
    }
}
