//! A stand: a control plane and agents as real processes in a directory of their own, each of which can be killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::process::Child;

mod agents;
mod ask;
mod observer;
mod server;

use crate::database::{Database, Kind};
use crate::fault::{Proxy, Whom};
use crate::fleet::{self, Identity};

/// A control plane with one tenant, and its agents.
pub struct Stand {
    directory: tempfile::TempDir,
    binaries: PathBuf,
    server: Option<Child>,
    agents: Vec<Agent>,
    ports: Option<(String, String)>,
    way: Option<Proxy>,
    dials: Dials,
    keepalive: Option<Duration>,
    database: Database,
    /// The tenant's key, with every scope.
    pub key: String,
    tenant: String,
    client: reqwest::Client,
}

/// How agents reach the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dials {
    /// By a way on which everything can happen.
    Forwarded,
    /// Straight, so that nothing is measured but the product.
    Straight,
}

/// An agent's process; none while it is killed.
struct Agent {
    name: String,
    state: PathBuf,
    process: Option<Child>,
}

impl Stand {
    /// Starts a control plane on free ports and makes an enterprise tenant with a key.
    ///
    /// # Errors
    /// When a binary is not built, or does not come up.
    pub async fn start() -> Result<Self> {
        let mut stand = Self::prepare(Dials::Forwarded, Kind::Sqlite)?;
        stand.start_server().await?;
        stand.make_tenant().await?;
        Ok(stand)
    }

    /// The same on a database of choice, and with another time between keepalives, so that silence is noticed sooner.
    ///
    /// # Errors
    /// When a binary is not built, or does not come up.
    pub async fn start_with_keepalive(keepalive: Duration, kind: Kind) -> Result<Self> {
        let mut stand = Self::prepare(Dials::Forwarded, kind)?;
        stand.keepalive = Some(keepalive);
        stand.start_server().await?;
        stand.make_tenant().await?;
        Ok(stand)
    }

    /// The same without the way by which connections can be disturbed: agents dial the control plane itself.
    ///
    /// # Errors
    /// When a binary is not built, or does not come up.
    pub async fn start_straight(kind: Kind) -> Result<Self> {
        let mut stand = Self::prepare(Dials::Straight, kind)?;
        stand.start_server().await?;
        stand.make_tenant().await?;
        Ok(stand)
    }

    /// Starts a control plane whose tenant has so many agents enrolled already; their identities come with it.
    ///
    /// # Errors
    /// When a binary is not built, or does not come up.
    pub async fn start_founded(agents: u32, kind: Kind) -> Result<(Self, Vec<Identity>)> {
        let mut stand = Self::prepare(Dials::Forwarded, kind)?;
        let founded = fleet::found(&stand.data_dir(), stand.database.place()?, agents).await?;
        stand.tenant = founded.tenant;
        stand.key = founded.key;
        stand.start_server().await?;
        Ok((stand, founded.agents))
    }

    fn prepare(dials: Dials, kind: Kind) -> Result<Self> {
        let directory = tempfile::tempdir().context("make the stand's directory")?;
        let database = Database::start(kind, &directory.path().join("data"))?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self {
            directory,
            binaries: binaries()?,
            server: None,
            agents: Vec::new(),
            ports: None,
            way: None,
            dials,
            keepalive: None,
            database,
            key: String::new(),
            tenant: String::new(),
            client,
        })
    }

    async fn make_tenant(&mut self) -> Result<()> {
        self.tenant = self.administer(&["tenant", "create", "--name", "lab", "--tier", "enterprise"]).await?.id;
        let made = ["key", "create", "--tenant", &self.tenant, "--name", "lab", "--scope", "measure,read,admin"];
        self.key = self.administer(&made).await?.key;
        Ok(())
    }

    /// Cuts every connection between agents and control plane.
    pub fn cut_connections(&self) {
        if let Some(way) = &self.way {
            way.cut(Whom::Present);
        }
    }

    /// The way by which the agents reach the control plane, with all that can happen to it.
    ///
    /// # Errors
    /// Before the first agent was added.
    pub fn way(&self) -> Result<&Proxy> {
        self.way.as_ref().context("there is no way to the agent port yet")
    }

    async fn open_way(&mut self) -> Result<()> {
        if self.way.is_none() && self.dials == Dials::Forwarded {
            self.way = Some(Proxy::start(self.agent_address().parse()?).await?);
        }
        Ok(())
    }

    /// What the control plane keeps its data in.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Where the control plane keeps what it keeps.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The end of a log, for messages.
    pub fn last_words(&self, log: &str) -> String {
        let text = std::fs::read_to_string(self.directory.path().join(log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "the end of {log}: {}",
            lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default().join(" | ")
        )
    }

    /// The path of one of the product's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    fn log(&self, name: &str) -> Result<Stdio> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join(name))?;
        Ok(Stdio::from(file))
    }
}

fn signal(pid: Option<u32>, signal: Signal) -> Result<()> {
    let pid = pid.context("the process is not running")?;
    kill(Pid::from_raw(i32::try_from(pid)?), signal).with_context(|| format!("send {signal} to process {pid}"))
}

/// The items of a page.
pub fn items_of(page: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    page.get("items").and_then(serde_json::Value::as_array).into_iter().flatten()
}

/// A text member; empty where there is none.
pub fn text<'a>(object: &'a serde_json::Value, member: &str) -> &'a str {
    object.get(member).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// The product's binaries stand beside the test's own, one folder up.
/// The folder of the programs that were built with this one.
///
/// # Errors
/// When they were not.
pub(crate) fn binaries() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .take(3)
        .find(|folder| folder.join("control-plane").is_file() && folder.join("probe-agent").is_file());
    found.map(Path::to_owned).with_context(|| {
        format!(
            "control-plane and probe-agent are not built beside {}; run `cargo build --workspace` first",
            own.display()
        )
    })
}

/// Longest time a process may take to come up.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks at a process that comes up.
const POLL: Duration = Duration::from_millis(20);
/// Lines of a log that a message repeats.
const LINES_SHOWN: usize = 8;
