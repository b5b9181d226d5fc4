//! `addresses.json`: where this process listens, for whoever started it with port 0.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The file while it stands; gone once this is dropped.
#[derive(Debug)]
pub(crate) struct AddressFile {
    path: PathBuf,
}

#[derive(Serialize)]
struct Addresses {
    http: SocketAddr,
    agent: SocketAddr,
    pid: u32,
}

impl AddressFile {
    /// Writes it so that no reader ever sees half of it.
    pub(crate) fn write(data_dir: &Path, http: SocketAddr, agent: SocketAddr) -> std::io::Result<Self> {
        let path = data_dir.join("addresses.json");
        let unfinished = data_dir.join("addresses.json.new");
        let addresses = Addresses {
            http,
            agent,
            pid: std::process::id(),
        };
        std::fs::write(&unfinished, serde_json::to_vec(&addresses)?)?;
        std::fs::rename(&unfinished, &path)?;
        Ok(Self { path })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "could not remove the address file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_where_and_goes_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let file = AddressFile::write(directory.path(), "127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()).unwrap();
        let text = std::fs::read_to_string(directory.path().join("addresses.json")).unwrap();
        assert_eq!(text, format!(r#"{{"http":"127.0.0.1:1","agent":"127.0.0.1:2","pid":{}}}"#, std::process::id()));
        drop(file);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
