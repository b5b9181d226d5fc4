//! The observer beside an agent: its process, which can be killed, and an agent that asks it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use super::agents::AGENT_CONFIG;
use super::{POLL, STARTS_WITHIN, Stand};

/// An observer's process.
pub struct Observer {
    process: Child,
    socket: PathBuf,
}

impl Stand {
    /// Enrols an agent, starts an observer beside it and then itself, under these lines of the owner's table `observe`.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub async fn add_observed_agent(&mut self, name: &str, owner: &str) -> Result<Observer> {
        let index = self.prepare_agent(name).await?;
        let state = self.agents.get(index).context("no such agent")?.state.clone();
        let socket = state.join("observe.sock");
        let config = AGENT_CONFIG.replacen("allow_probes = [", "allow_probes = [\"observe\", ", 1);
        // Tests beside this one may keep the kernel busy: only one that says so is about a budget.
        let budget = if owner.contains("max_cpu_percent") { "" } else { "max_cpu_percent = 1000\n" };
        let config = format!("{config}\n[observe]\n{budget}socket = \"{}\"\n{owner}\n", socket.display());
        std::fs::write(state.join("agent.toml"), config)?;
        let observer = self.start_observer(name, &state.join("agent.toml"), socket).await?;
        self.start_agent(index)?;
        self.until_online(name).await?;
        Ok(observer)
    }

    /// Starts an observer again that was killed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn observe_again(&self, name: &str, observer: &mut Observer) -> Result<()> {
        let config = observer.socket.with_file_name("agent.toml");
        // What a killed one leaves is no sign of the next.
        std::fs::remove_file(&observer.socket).context("remove the socket of the observer that was killed")?;
        *observer = self.start_observer(name, &config, observer.socket.clone()).await?;
        Ok(())
    }

    async fn start_observer(&self, name: &str, config: &Path, socket: PathBuf) -> Result<Observer> {
        let log = format!("{name}.observe.log");
        let process = Command::new(self.program("probe-agent"))
            .args(["observe", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("start the observer")?;
        let began = crate::clock::start();
        while !socket.exists() {
            ensure!(began.elapsed() < STARTS_WITHIN, "the observer does not come up; {}", self.last_words(&log));
            tokio::time::sleep(POLL).await;
        }
        Ok(Observer { process, socket })
    }
}

impl Observer {
    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// When it was not running.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("kill the observer")
    }
}
