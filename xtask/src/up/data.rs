//! The folder with everything `up` keeps.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// The folder, by its absolute path.
#[derive(Debug)]
pub(super) struct DataDir(PathBuf);

/// What `up` itself remembers between runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The first tenant.
    pub(super) tenant: Option<String>,
    /// Whether the folder `agent` holds an identity.
    #[serde(default)]
    pub(super) enrolled: bool,
    /// The port the agent was told to dial.
    #[serde(default)]
    pub(super) agent_port: Option<u16>,
}

/// What the control plane writes once it listens.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Addresses {
    pub(super) http: String,
    pub(super) agent: String,
    pub(super) pid: u32,
}

impl DataDir {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let make = |path: &Path| {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("making {}", path.display()))
        };
        make(path)?;
        let path = path.canonicalize().with_context(|| format!("finding {}", path.display()))?;
        make(&path.join("logs"))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(super) fn agent_state(&self) -> PathBuf {
        self.0.join("agent")
    }

    pub(super) fn agent_config(&self) -> PathBuf {
        self.0.join("agent.toml")
    }

    /// Where agent and observer meet.
    pub(super) fn observer_socket(&self) -> PathBuf {
        self.0.join("observe.sock")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.0.join("api-key")
    }

    pub(super) fn probectl_config(&self) -> PathBuf {
        self.0.join("probectl.toml")
    }

    /// Refuses a folder whose control plane is running.
    pub(super) fn refuse_if_running(&self) -> Result<()> {
        let Some(addresses) = self.addresses() else { return Ok(()) };
        let name = std::fs::read_to_string(format!("/proc/{}/comm", addresses.pid)).unwrap_or_default();
        if name.trim_end() == "control-plane" {
            bail!(
                "it is up already: a control plane uses {} (process {}, http://{})",
                self.0.display(),
                addresses.pid,
                addresses.http
            );
        }
        Ok(())
    }

    /// What the control plane wrote, if it did and the file is whole.
    pub(super) fn addresses(&self) -> Option<Addresses> {
        let text = std::fs::read_to_string(self.0.join("addresses.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        let file = self.0.join("up.json");
        match std::fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("reading {}", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Memory::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    pub(super) fn remember(&self, memory: &Memory) -> Result<()> {
        self.write("up.json", &serde_json::to_string_pretty(memory)?)
    }

    /// Writes a file only its owner can read, whole or not at all.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.0.join(name);
        let draft = self.0.join(format!("{name}.new"));
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let mut written = open.open(&draft).with_context(|| format!("writing {}", draft.display()))?;
        written.set_permissions(Permissions::from_mode(0o600)).context("closing a file to others")?;
        written
            .write_all(text.as_bytes())
            .and_then(|()| written.sync_all())
            .with_context(|| format!("writing {}", draft.display()))?;
        std::fs::rename(&draft, &file).with_context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_found_again_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("a/b")).unwrap();
        assert!(data.memory().unwrap().tenant.is_none());
        let memory = Memory {
            tenant: Some("t".to_owned()),
            enrolled: true,
            agent_port: Some(1),
        };
        data.remember(&memory).unwrap();
        let again = DataDir::open(&folder.path().join("a/b")).unwrap();
        assert_eq!(again.memory().unwrap().tenant.as_deref(), Some("t"));
        let mode = std::fs::metadata(data.path().join("up.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn addresses_of_a_process_that_is_gone_do_not_stop_a_second_start() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        data.write("addresses.json", r#"{"http":"127.0.0.1:1","agent":"127.0.0.1:2","pid":4294967295}"#)
            .unwrap();
        data.refuse_if_running().unwrap();
        assert_eq!(data.addresses().unwrap().agent, "127.0.0.1:2");
    }
}
