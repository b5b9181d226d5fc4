//! The agents of a stand: enrolled by their own program, started, killed, frozen.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::{Agent, Dials, STARTS_WITHIN, Stand};

impl Stand {
    /// Enrols an agent and starts it; returns once the control plane sees it online.
    ///
    /// # Errors
    /// When it cannot enrol or does not come online.
    pub async fn add_agent(&mut self, name: &str) -> Result<()> {
        self.add_agents(&[name.to_owned()]).await
    }

    /// Enrols an agent, adds these tables to its owner's configuration, and starts it; returns once the control plane sees it online.
    ///
    /// # Errors
    /// When it cannot enrol or does not come online.
    pub async fn add_agent_with(&mut self, name: &str, tables: &str) -> Result<()> {
        let index = self.prepare_agent(name).await?;
        let state = &self.agents.get(index).context("no such agent")?.state;
        std::fs::write(state.join("agent.toml"), format!("{AGENT_CONFIG}\n{tables}\n"))?;
        self.start_agent(index)?;
        self.until_online(name).await
    }

    /// Enrols agents and starts them; returns once the control plane sees them online.
    ///
    /// # Errors
    /// When one cannot enrol or does not come online.
    pub async fn add_agents(&mut self, names: &[String]) -> Result<()> {
        for name in names {
            let index = self.prepare_agent(name).await?;
            self.start_agent(index)?;
        }
        for name in names {
            self.until_online(name).await?;
        }
        Ok(())
    }

    /// Enrols an agent and does not start it yet; says which one it is.
    pub(super) async fn prepare_agent(&mut self, name: &str) -> Result<usize> {
        self.open_way().await?;
        let state = self.enrol(name).await?;
        self.agents.push(Agent {
            name: name.to_owned(),
            state,
            process: None,
        });
        Ok(self.agents.len() - 1)
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

    /// Freezes an agent, or lets it go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal_agent(&self, index: usize, signal: Signal) -> Result<()> {
        super::signal(self.agent_pid(index), signal)
    }

    /// The process id of an agent, while it runs.
    pub fn agent_pid(&self, index: usize) -> Option<u32> {
        self.agents.get(index).and_then(|agent| agent.process.as_ref()).and_then(Child::id)
    }

    /// How many agents were added.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }
}

/// The `host:port` of a join bundle.
fn address_of(bundle: &str) -> Result<String> {
    let (_, rest) = bundle.split_once("://").context("a join bundle")?;
    let (address, _) = rest.split_once('?').context("a join bundle")?;
    Ok(address.to_owned())
}

/// The backoff of the kill test: base, cap, time after which a session counts as stable.
pub(super) const AGENT_CONFIG: &str = "[policy]\nallow_loopback = true\nallow_probes = [\"ping\", \"tcp\", \"udp\", \"traceroute\", \"mtr\", \"pmtu\", \"dns\", \"http\", \"port\", \"neighbor\"]\n\n[link]\nbackoff_base_ms = 10\nbackoff_cap_ms = 200\nstable_after_ms = 500\n";
/// Rest before an enrolment that was refused is tried again.
const ENROL_PAUSE: Duration = Duration::from_millis(1_050);
