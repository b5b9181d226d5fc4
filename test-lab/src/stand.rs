//! A stand: a control plane and agents as real processes in a directory of their own, each of which can be killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

mod ask;

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

#[derive(Deserialize)]
struct Addresses {
    http: String,
    agent: String,
}

#[derive(Deserialize)]
struct Made {
    #[serde(default)]
    id: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    bundle: String,
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

    /// Enrols an agent and starts it; returns once the control plane sees it online.
    ///
    /// # Errors
    /// When it cannot enrol or does not come online.
    pub async fn add_agent(&mut self, name: &str) -> Result<()> {
        self.add_agents(&[name.to_owned()]).await
    }

    /// Enrols agents and starts them; returns once the control plane sees them online.
    ///
    /// # Errors
    /// When one cannot enrol or does not come online.
    pub async fn add_agents(&mut self, names: &[String]) -> Result<()> {
        self.open_way().await?;
        for name in names {
            let state = self.enrol(name).await?;
            self.agents.push(Agent {
                name: name.clone(),
                state,
                process: None,
            });
            self.start_agent(self.agents.len() - 1)?;
        }
        for name in names {
            self.until_online(name).await?;
        }
        Ok(())
    }

    /// Makes an agent's state directory by its own enrolment. One address may enrol five at once and then one a second: who is too fast waits.
    async fn enrol(&self, name: &str) -> Result<PathBuf> {
        let mut bundle = self
            .administer(&["join-token", "create", "--tenant", &self.tenant, "--name", name])
            .await?
            .bundle;
        if self.dials == Dials::Forwarded {
            bundle = bundle.replacen(&address_of(&bundle)?, &self.way()?.address().to_string(), 1);
        }
        let state = self.directory.path().join(name);
        std::fs::create_dir(&state)?;
        std::fs::write(state.join("agent.toml"), AGENT_CONFIG)?;
        let began = crate::clock::start();
        while !self.try_enrol(name, &state, &bundle).await? {
            ensure!(
                began.elapsed() < STARTS_WITHIN,
                "{name} cannot enrol; {}",
                self.last_words(&format!("{name}.enrol.log"))
            );
            tokio::time::sleep(ENROL_PAUSE).await;
        }
        Ok(state)
    }

    async fn try_enrol(&self, name: &str, state: &Path, bundle: &str) -> Result<bool> {
        let mut enrol = Command::new(self.binaries.join("probe-agent"))
            .args(["enrol", "--state-dir"])
            .arg(state)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(self.log(&format!("{name}.enrol.log"))?)
            .kill_on_drop(true)
            .spawn()?;
        let mut input = enrol.stdin.take().context("the enrolment's standard input")?;
        input.write_all(format!("{bundle}\n").as_bytes()).await?;
        drop(input);
        let status = tokio::time::timeout(STARTS_WITHIN, enrol.wait()).await.context("enrolment hangs")??;
        Ok(status.success())
    }

    /// Starts the control plane, on the ports it had before, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_server(&mut self) -> Result<()> {
        let data = self.data_dir();
        let (http, agent) = self.ports.clone().unwrap_or_else(|| ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()));
        let addresses = data.join("addresses.json");
        if addresses.exists() {
            std::fs::remove_file(&addresses)?;
        }
        let mut server = Command::new(self.binaries.join("control-plane"))
            .args(["run", "--listen", &http, "--agent-listen", &agent, "--data-dir"])
            .arg(&data)
            .args(self.database.url().iter().flat_map(|url| ["--database-url", url.as_str()]))
            .args(
                self.keepalive
                    .iter()
                    .flat_map(|time| ["--keepalive-ms".to_owned(), time.as_millis().to_string()]),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log("server.log")?)
            .kill_on_drop(true)
            .spawn()
            .context("start the control plane")?;
        let began = crate::clock::start();
        loop {
            if let Some(status) = server.try_wait()? {
                bail!("the control plane ended with {status}; {}", self.last_words("server.log"));
            }
            ensure!(
                began.elapsed() < STARTS_WITHIN,
                "the control plane does not come up; {}",
                self.last_words("server.log")
            );
            if let Some(found) = std::fs::read(&addresses)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Addresses>(&bytes).ok())
            {
                self.ports = Some((found.http, found.agent));
                if self
                    .client
                    .get(self.url("/readyz"))
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
                {
                    break;
                }
            }
            tokio::time::sleep(POLL).await;
        }
        self.server = Some(server);
        Ok(())
    }

    /// Kills the control plane at once, without a chance to write anything.
    ///
    /// # Errors
    /// When it was not running.
    pub async fn kill_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the control plane is not running")?;
        server.kill().await.context("kill the control plane")
    }

    /// Asks the control plane to stop, and waits until it has.
    ///
    /// # Errors
    /// When it was not running, or does not stop in order.
    pub async fn stop_server(&mut self) -> Result<()> {
        signal(self.server_pid(), Signal::SIGTERM)?;
        let mut server = self.server.take().context("the control plane is not running")?;
        let status = tokio::time::timeout(STARTS_WITHIN, server.wait())
            .await
            .context("the control plane does not stop")??;
        ensure!(status.success(), "the control plane ended with {status}; {}", self.last_words("server.log"));
        Ok(())
    }

    /// Freezes the control plane, or lets it go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal_server(&self, signal: Signal) -> Result<()> {
        self::signal(self.server_pid(), signal)
    }

    /// Freezes an agent, or lets it go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal_agent(&self, index: usize, signal: Signal) -> Result<()> {
        self::signal(self.agent_pid(index), signal)
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

    /// Kills an agent at once.
    ///
    /// # Errors
    /// When it was not running.
    pub async fn kill_agent(&mut self, index: usize) -> Result<()> {
        let agent = self.agents.get_mut(index).context("no such agent")?;
        agent.process.take().context("the agent is not running")?.kill().await.context("kill the agent")
    }

    /// Starts an agent that was enrolled before.
    ///
    /// # Errors
    /// When its process cannot be started.
    pub fn start_agent(&mut self, index: usize) -> Result<()> {
        let agent = self.agents.get(index).context("no such agent")?;
        let process = Command::new(self.binaries.join("probe-agent"))
            .args(["run", "--state-dir"])
            .arg(&agent.state)
            .arg("--config")
            .arg(agent.state.join("agent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log(&format!("{}.log", agent.name))?)
            .kill_on_drop(true)
            .spawn()
            .context("start the agent")?;
        self.agents.get_mut(index).context("no such agent")?.process = Some(process);
        Ok(())
    }

    /// The address of a resource.
    pub fn url(&self, path: &str) -> String {
        let http = self.ports.as_ref().map_or("127.0.0.1:0", |(http, _)| http.as_str());
        format!("http://{http}{path}")
    }

    /// Where the agents dial to.
    pub fn agent_address(&self) -> &str {
        self.ports.as_ref().map_or("127.0.0.1:0", |(_, agent)| agent.as_str())
    }

    /// The process id of the control plane, while it runs.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Child::id)
    }

    /// The process id of an agent, while it runs.
    pub fn agent_pid(&self, index: usize) -> Option<u32> {
        self.agents.get(index).and_then(|agent| agent.process.as_ref()).and_then(Child::id)
    }

    /// How many agents were added.
    pub fn agents(&self) -> usize {
        self.agents.len()
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

    /// Runs a one-off command of the control plane against the running one.
    ///
    /// # Errors
    /// When it fails.
    async fn administer(&self, arguments: &[&str]) -> Result<Made> {
        let output = Command::new(self.binaries.join("control-plane"))
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .stdin(Stdio::null())
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "control-plane {arguments:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("read what the control plane made")
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

/// The `host:port` of a join bundle.
fn address_of(bundle: &str) -> Result<String> {
    let (_, rest) = bundle.split_once("://").context("a join bundle")?;
    let (address, _) = rest.split_once('?').context("a join bundle")?;
    Ok(address.to_owned())
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

/// The backoff of the kill test: base, cap, time after which a session counts as stable.
const AGENT_CONFIG: &str = "[policy]\nallow_loopback = true\n\n[link]\nbackoff_base_ms = 10\nbackoff_cap_ms = 200\nstable_after_ms = 500\n";
/// Rest before an enrolment that was refused is tried again.
const ENROL_PAUSE: Duration = Duration::from_millis(1_050);
/// Longest time a process may take to come up.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks at a process that comes up.
const POLL: Duration = Duration::from_millis(20);
/// Lines of a log that a message repeats.
const LINES_SHOWN: usize = 8;
