//! The owner's configuration file: TOML with the tables `[policy]`, `[probes]`, `[observe]`, `[known]`, `[link]`, `[outbox]` and `[place]`; a key that is not known is refused.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::host::place::{InvalidPlace, PlaceSettings};
use crate::link::backoff::BackoffSettings;
use crate::outbox::OutboxSettings;
use crate::policy::{InvalidPolicy, PolicyRules};

mod known;
mod observe;
mod paths;
mod probes;

pub use known::KnownSettings;
pub use observe::ObserveSettings;
pub use probes::ProbeSettings;

/// Everything an owner can set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the agent may do.
    pub policy: PolicyRules,
    /// What probes are measured with.
    pub probes: ProbeSettings,
    /// What may be observed on this host.
    pub observe: ObserveSettings,
    /// What is known of addresses.
    pub known: KnownSettings,
    /// How it dials again.
    pub link: BackoffSettings,
    /// What it keeps.
    pub outbox: OutboxSettings,
    /// Where the host is.
    pub place: PlaceSettings,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could change what the owner allows.
    #[error("the configuration {path} may be written by others (mode {mode:04o}); run: chmod go-w {path}")]
    Writable {
        /// The file.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
    },
    /// It belongs to somebody who is neither root nor the agent's user.
    #[error("the configuration {path} belongs to user {owner}; it must belong to root or to the user the agent runs as")]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It is not TOML, or holds an unknown key or a value of the wrong kind.
    #[error("the configuration {path} is not usable: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// Its words for the host's place cannot have been meant.
    #[error("the configuration {path} is not usable: [place] {source}")]
    Place {
        /// The file.
        path: PathBuf,
        /// The key.
        source: InvalidPlace,
    },
    /// Its policy cannot have been meant.
    #[error("the configuration {path} is not usable: {source}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// The key and what it must be.
        source: InvalidPolicy,
    },
}

impl Config {
    /// Reads the owner's file; without one the defaults hold.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if found.mode() & 0o022 != 0 {
            return Err(ConfigError::Writable {
                path: path.to_owned(),
                mode: found.mode() & 0o7777,
            });
        }
        if found.uid() != 0 && found.uid() != nix::unistd::geteuid().as_raw() {
            return Err(ConfigError::ForeignOwner {
                path: path.to_owned(),
                owner: found.uid(),
            });
        }
        let mut text = String::new();
        file.take(FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(error),
        })?;
        let policy = config
            .policy
            .validated()
            .map_err(|source| ConfigError::Policy { path: path.to_owned(), source })?;
        let placed = config.place.clone().validated();
        placed.map_err(|source| ConfigError::Place { path: path.to_owned(), source })?;
        Ok(Self { policy, ..config })
    }
}

/// Longest file read.
const FILE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str, mode: u32) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Config::load(Some(&path))
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        assert_eq!(Config::load(None).unwrap(), Config::default());
        assert_eq!(load("", 0o600).unwrap(), Config::default());
    }

    #[test]
    fn the_tables_are_read() {
        let config = load(
            "[policy]\nallow_loopback = true\n[link]\nbackoff_base_ms = 10\nbackoff_cap_ms = 200\nstable_after_ms = 500\n[outbox]\nmax_bytes = 1048576\n[place]\nregion = \"eu\"\n",
            0o644,
        )
        .unwrap();
        assert!(config.policy.allow_loopback);
        assert_eq!(
            (config.link.backoff_base_ms, config.link.backoff_cap_ms, config.link.stable_after_ms),
            (10, 200, 500)
        );
        assert_eq!(config.outbox.max_bytes, 1_048_576);
        assert_eq!(config.place.region.as_deref(), Some("eu"));
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        for mode in [0o666, 0o664, 0o602] {
            let refused = load("", mode).unwrap_err();
            assert!(matches!(refused, ConfigError::Writable { .. }), "{refused}");
            assert!(refused.to_string().contains("chmod go-w"));
        }
    }

    #[test]
    fn an_unknown_key_or_a_wrong_value_is_refused_by_name() {
        for (text, named) in [
            ("[polcy]\n", "polcy"),
            ("[policy]\nallow_loopbak = true\n", "allow_loopbak"),
            ("[policy]\nallow_loopback = \"yes\"\n", "allow_loopback"),
            ("[policy]\nmax_concurrency = 0\n", "max_concurrency"),
            ("[link]\nbackoff_base_ms = -1\n", "backoff_base_ms"),
            ("[outbox]\nmax_age = 1\n", "max_age"),
            ("[observe]\nalow = []\n", "alow"),
            ("[known]\nvendors = [\"oui.txt\"]\n", "whole paths"),
            ("[place]\nregoin = \"eu\"\n", "regoin"),
            ("[place]\nzone = \"a b\"\n", "zone"),
            ("proxy = 1", "proxy"),
            ("[policy", "policy"),
        ] {
            let refused = load(text, 0o600).unwrap_err().to_string();
            assert!(refused.contains(named), "{text}: {refused}");
        }
        assert!(matches!(Config::load(Some(Path::new("/nonexistent"))), Err(ConfigError::Read { .. })));
    }
}
