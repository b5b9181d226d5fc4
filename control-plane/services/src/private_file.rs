//! Files that only the control plane's own user may read: keys and the pepper. Written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Makes a directory that only its owner enters, unless it is there.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a private file; `None` if there is none. Refuses one that others may read, and symbolic links.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        let message = format!("{} must be a file of mode 0600: others may read it", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a private file in place, replacing one that is there: a crash leaves either the old or the new.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_extension("new");
    // A crash may have left one behind.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

/// No private file is longer.
const FILE_BYTES: u64 = 64 * 1024;
const O_NOFOLLOW: i32 = 0o400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dsk_06_a_symbolic_link_is_never_followed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        create(&file, b"one").unwrap();
        create(&file, b"two").unwrap();
        assert_eq!(read(&file).unwrap().unwrap(), b"two");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read(&link).is_err());
        assert!(read(&directory.path().join("none")).unwrap().is_none());
    }
}
