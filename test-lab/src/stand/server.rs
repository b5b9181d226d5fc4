//! The control plane of a stand: started, stopped, killed, frozen, and administered by its own commands.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::process::{Child, Command};

use super::{POLL, STARTS_WITHIN, Stand};

#[derive(Deserialize)]
struct Addresses {
    http: String,
    agent: String,
}

#[derive(Deserialize)]
pub(super) struct Made {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) bundle: String,
}

impl Stand {
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
        super::signal(self.server_pid(), Signal::SIGTERM)?;
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
        super::signal(self.server_pid(), signal)
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

    /// Runs a one-off command of the control plane against the running one.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn administer(&self, arguments: &[&str]) -> Result<Made> {
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
}
