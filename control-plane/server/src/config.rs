//! The configuration: flags before environment before file before defaults; a key nobody knows is refused.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use control_services::{Database, TARGET_PACKETS_PER_SECOND};
use serde::{Deserialize, Serialize};

mod database_url;

pub use database_url::DatabaseUrl;

/// What flags, environment and file may say; all of it optional.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Holds the database, the certificate authority and the administration socket; made where it is missing.
    #[arg(long, env = "PROBEOPS_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A PostgreSQL database instead of the SQLite file in the data directory: `postgres://user:password@host:5432/database`.
    /// Other users of the machine can read command lines: give a password by the environment or the configuration file.
    #[arg(long, env = "PROBEOPS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<DatabaseUrl>,
    /// Where the HTTP API listens; port 0 takes any free one. [default: 127.0.0.1:8080]
    #[arg(long, env = "PROBEOPS_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where agents connect; port 0 takes any free one. [default: 127.0.0.1:8443]
    #[arg(long, env = "PROBEOPS_AGENT_LISTEN")]
    agent_listen: Option<SocketAddr>,
    /// A name or address by which agents reach the agent port; may be given several times, the first goes into join bundles. [default: localhost, 127.0.0.1]
    #[arg(long = "agent-name", env = "PROBEOPS_AGENT_NAMES", value_delimiter = ',')]
    agent_names: Option<Vec<String>>,
    /// The trust domain in the agents' identities; cannot change later. [default: probeops]
    #[arg(long, env = "PROBEOPS_TRUST_DOMAIN")]
    trust_domain: Option<String>,
    /// Milliseconds between two keepalives of an agent's session, 100 to 60,000; three of them without a byte are its end. Shorter than
    /// half of what a firewall on the way forgets idle connections after. [default: 15000]
    #[arg(long, env = "PROBEOPS_KEEPALIVE_MS")]
    keepalive_ms: Option<u32>,
    /// Packets a second, 1 to 1,000,000, that all agents together send towards one public address or name at most, half of them on behalf of
    /// one tenant; what would be more is refused. Private addresses are not counted: each network has its own. [default: 10000]
    #[arg(long, env = "PROBEOPS_TARGET_PACKETS_PER_SECOND")]
    target_packets_per_second: Option<u32>,
    /// What is logged, for example `info` or `control_server=debug,info`. [default: info]
    #[arg(long, env = "PROBEOPS_LOG")]
    log: Option<String>,
    /// A TOML file with any of these as keys (`data_dir`, `database_url`, `listen`, `agent_listen`, `agent_names`, `trust_domain`, `keepalive_ms`, `target_packets_per_second`,
    /// `log`).
    #[arg(long, env = "PROBEOPS_CONFIG_FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
}

/// The configuration as it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Holds everything the control plane keeps.
    pub data_dir: PathBuf,
    /// The database, where it is not the file in the data directory; printed without its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_url: Option<DatabaseUrl>,
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
    /// Where agents connect.
    pub agent_listen: SocketAddr,
    /// Names and addresses by which agents reach the agent port.
    pub agent_names: Vec<String>,
    /// The trust domain in the agents' identities.
    pub trust_domain: String,
    /// Milliseconds between two keepalives of an agent's session.
    pub keepalive_ms: u32,
    /// Packets a second that one public target is sent by all agents together at most.
    pub target_packets_per_second: u32,
    /// What is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not what is expected.
    #[error("configuration file {path}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// There is no default for it.
    #[error("data_dir is not set; give --data-dir DIR, PROBEOPS_DATA_DIR, or `data_dir` in the configuration file")]
    NoDataDir,
    /// The database cannot be one.
    #[error("database_url: {0}")]
    DatabaseUrl(String),
    /// A name by which agents reach the control plane is not one.
    #[error("agent_names: `{0}` is neither an address nor a host name")]
    AgentName(String),
    /// Nobody could connect.
    #[error("agent_names: at least one name is needed")]
    NoAgentName,
    /// The trust domain is not one.
    #[error("trust_domain: `{0}` must be 1 to 63 characters of a-z, 0-9, `.` and `-`")]
    TrustDomain(String),
    /// Keepalives would be a flood, or nobody would notice who is gone.
    #[error("keepalive_ms: `{0}` must be 100 to 60000")]
    Keepalive(u32),
    /// Nothing could be measured, or nothing is bounded.
    #[error("target_packets_per_second: `{0}` must be 1 to 1000000")]
    TargetPackets(u32),
    /// Both sockets cannot be the same.
    #[error("listen and agent_listen are both {0}; give each its own port")]
    SameSocket(SocketAddr),
    /// It cannot be written as TOML.
    #[error("print the configuration: {0}")]
    Unprintable(#[from] toml::ser::Error),
}

impl Config {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and what is wrong with it.
    pub fn load(settings: Settings) -> Result<Self, ConfigError> {
        let file = settings.config.clone().map(read_file).transpose()?.unwrap_or_default();
        Self::checked(settings.over(file))
    }

    /// The database: the one that the URL names, or the file in the data directory.
    ///
    /// # Errors
    /// [`ConfigError::DatabaseUrl`] for a URL that names none.
    pub fn database(&self) -> Result<Database, ConfigError> {
        self.database_url.as_ref().map_or_else(
            || Ok(Database::file(self.data_dir.join(DATABASE_FILE))),
            |url| url.database().map_err(ConfigError::DatabaseUrl),
        )
    }

    /// The configuration as TOML. It holds no secrets: a database's URL is shown without its password, and others lie in files of their own
    /// in the data directory.
    ///
    /// # Errors
    /// [`ConfigError::Unprintable`] for a path that is not text.
    pub fn to_text(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self)?)
    }

    fn checked(settings: Settings) -> Result<Self, ConfigError> {
        let config = Self {
            data_dir: settings.data_dir.ok_or(ConfigError::NoDataDir)?,
            database_url: settings.database_url,
            listen: settings.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            agent_listen: settings.agent_listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8443))),
            agent_names: settings.agent_names.unwrap_or_else(|| vec!["localhost".to_owned(), "127.0.0.1".to_owned()]),
            trust_domain: settings.trust_domain.unwrap_or_else(|| "probeops".to_owned()),
            keepalive_ms: settings.keepalive_ms.unwrap_or(KEEPALIVE_MS),
            target_packets_per_second: settings.target_packets_per_second.unwrap_or(TARGET_PACKETS_PER_SECOND),
            log: settings.log,
        };
        config.database()?;
        if config.listen == config.agent_listen && config.listen.port() != 0 {
            return Err(ConfigError::SameSocket(config.listen));
        }
        if !KEEPALIVE_MS_BOUNDS.contains(&config.keepalive_ms) {
            return Err(ConfigError::Keepalive(config.keepalive_ms));
        }
        if !TARGET_PACKETS_BOUNDS.contains(&config.target_packets_per_second) {
            return Err(ConfigError::TargetPackets(config.target_packets_per_second));
        }
        if config.agent_names.is_empty() {
            return Err(ConfigError::NoAgentName);
        }
        if let Some(bad) = config.agent_names.iter().find(|name| shared_protocol::target::Target::parse(name).is_err()) {
            return Err(ConfigError::AgentName(bad.clone()));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
        if config.trust_domain.is_empty() || config.trust_domain.len() > 63 || !config.trust_domain.bytes().all(plain) {
            return Err(ConfigError::TrustDomain(config.trust_domain));
        }
        Ok(config)
    }
}

impl Settings {
    fn over(self, file: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            database_url: self.database_url.or(file.database_url),
            listen: self.listen.or(file.listen),
            agent_listen: self.agent_listen.or(file.agent_listen),
            agent_names: self.agent_names.or(file.agent_names),
            trust_domain: self.trust_domain.or(file.trust_domain),
            keepalive_ms: self.keepalive_ms.or(file.keepalive_ms),
            target_packets_per_second: self.target_packets_per_second.or(file.target_packets_per_second),
            log: self.log.or(file.log),
            config: None,
        }
    }
}

fn read_file(path: PathBuf) -> Result<Settings, ConfigError> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    toml::from_str(&text).map_err(|source| ConfigError::Malformed {
        path,
        source: Box::new(source),
    })
}

const KEEPALIVE_MS: u32 = 15_000;
const KEEPALIVE_MS_BOUNDS: std::ops::RangeInclusive<u32> = 100..=60_000;
const TARGET_PACKETS_BOUNDS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// The embedded database's file in the data directory.
pub(crate) const DATABASE_FILE: &str = "probeops.db";

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Settings {
            config: Some(file.path().to_owned()),
            ..Settings::default()
        })
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file: Settings = toml::from_str("data_dir = \"/a\"\nlisten = \"127.0.0.1:1\"\nagent_names = [\"a.example\"]").unwrap();
        let flags = Settings {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ..Settings::default()
        };
        let config = Config::checked(flags.over(file)).unwrap();
        assert_eq!((config.listen.port(), config.agent_listen.port()), (2, 8443));
        assert_eq!(config.agent_names, ["a.example"]);
    }

    #[test]
    fn a_key_nobody_knows_is_refused_by_name() {
        let refused = from_file("data_dir = \"/a\"\nlisen = \"127.0.0.1:1\"").unwrap_err();
        assert!(refused.to_string().contains("lisen"), "{refused}");
    }

    #[test]
    fn what_is_not_usable_is_refused_with_its_key() {
        for (text, key) in [
            ("", "data_dir"),
            ("data_dir = \"d\"\nlisten = \"localhost\"", "listen"),
            ("data_dir = \"d\"\nagent_names = []", "agent_names"),
            ("data_dir = \"d\"\nagent_names = [\"a b\"]", "agent_names"),
            ("data_dir = \"d\"\ndatabase_url = \"mysql://hunter2@h/d\"", "database_url"),
            ("data_dir = \"d\"\ndatabase_url = \"postgres://u:hunter2@h\"", "database_url"),
            ("data_dir = \"d\"\ntrust_domain = \"A/b\"", "trust_domain"),
            ("data_dir = \"d\"\nkeepalive_ms = 99", "keepalive_ms"),
            ("data_dir = \"d\"\nkeepalive_ms = 60001", "keepalive_ms"),
            ("data_dir = \"d\"\ntarget_packets_per_second = 0", "target_packets_per_second"),
            ("data_dir = \"d\"\ntarget_packets_per_second = 1000001", "target_packets_per_second"),
            ("data_dir = \"d\"\nlisten = \"127.0.0.1:9\"\nagent_listen = \"127.0.0.1:9\"", "agent_listen"),
        ] {
            let refused = from_file(text).unwrap_err().to_string();
            assert!(refused.contains(key) && !refused.contains("hunter2"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_databases_password_is_shown_nowhere() {
        let config = from_file("data_dir = \"/a\"\ndatabase_url = \"postgres://u:hunter2@h/d\"").unwrap();
        let shown = format!("{config:?} {} {}", config.to_text().unwrap(), config.database().unwrap());
        assert!(shown.contains("postgres://u@h:5432/d") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_effective_configuration_reads_back_as_a_file() {
        let config = from_file("data_dir = \"/a\"").unwrap();
        assert_eq!(from_file(&config.to_text().unwrap()).unwrap(), config);
    }
}
