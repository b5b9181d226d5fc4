//! Our own agent: the real program, running one probe without a control plane, through the same engine, policy, runner of probes and report.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use shared_protocol::report::Report;
use tempfile::TempDir;

use super::ran::{Ran, run};
use crate::network::Namespace;
use crate::{clock, stand};

/// The program and a configuration.
#[derive(Debug)]
pub struct Agent {
    program: PathBuf,
    configuration: PathBuf,
    _folder: TempDir,
}

impl Agent {
    /// An agent with these lines in its table `[policy]`.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn with_policy(policy: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the agent's configuration")?;
        let configuration = folder.path().join("agent.toml");
        std::fs::write(&configuration, format!("[policy]\n{policy}\n")).context("write the agent's configuration")?;
        Ok(Self {
            program: stand::binaries()?.join("probe-agent"),
            configuration,
            _folder: folder,
        })
    }

    /// An agent as [`Agent::open`] has it, with these further tables.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn with_tables(tables: &str) -> Result<Self> {
        Self::with_policy(&format!("{OPEN}\n{tables}"))
    }

    /// An agent whose owner lets it at every address that worlds have, as fast as it can.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn open() -> Result<Self> {
        Self::with_policy(OPEN)
    }

    /// Lets it check its configuration and the way to its control plane, with what this state directory holds.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn check(&self, observer: &Namespace, state: &Path) -> Result<Ran> {
        let (configuration, state) = (self.configuration.display().to_string(), state.display().to_string());
        run(observer, &self.program, &["check", "--state-dir", &state, "--config", &configuration])
    }

    /// Runs one probe. A probe that found trouble has a report all the same; one that was refused has none.
    ///
    /// # Errors
    /// When it cannot be started, or its report cannot be read.
    pub fn probe(&self, observer: &Namespace, spec: &str) -> Result<(Option<Report>, Ran)> {
        #[derive(Deserialize)]
        struct Line {
            report: Report,
        }
        let configuration = self.configuration.display().to_string();
        let ran = run(observer, &self.program, &["probe", spec, "--config", &configuration, "--output", "json"])?;
        let last = ran.out.lines().last().filter(|line| line.starts_with("{\"report\""));
        let report = last.map(|line| serde_json::from_str::<Line>(line).map(|line| line.report)).transpose();
        let report = report.with_context(|| format!("the agent said: {}{}", ran.out, ran.err))?;
        Ok((report, ran))
    }

    /// Runs one probe and gives its report as the document that it is: for benchmarks, which time what the agent does and not what reads it.
    ///
    /// # Errors
    /// When there is none.
    pub fn document(&self, observer: &Namespace, spec: &str) -> Result<(Value, Ran)> {
        let configuration = self.configuration.display().to_string();
        let ran = run(observer, &self.program, &["probe", spec, "--config", &configuration, "--output", "json"])?;
        let last = ran.out.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let report = last.as_ref().and_then(|line| line.get("report")).cloned();
        Ok((report.with_context(|| format!("no report: {}", ran.err))?, ran))
    }

    /// Runs one probe and gives every document it prints, with the time at which it was read: since the first, which says that it has begun.
    ///
    /// # Errors
    /// When it cannot be started, or prints something else.
    pub fn documents(&self, observer: &Namespace, spec: &str) -> Result<Vec<(Duration, Value)>> {
        let mut child = observer
            .within(|| {
                Command::new(&self.program)
                    .args(["probe", spec, "--output", "json", "--config"])
                    .arg(&self.configuration)
                    .stdout(Stdio::piped())
                    .spawn()
            })?
            .context("start the agent")?;
        let mut documents = Vec::new();
        let mut began = None;
        for line in BufReader::new(child.stdout.take().context("no standard output")?).lines() {
            let read = clock::start();
            let began = *began.get_or_insert(read);
            documents.push((read.saturating_duration_since(began), serde_json::from_str(&line?)?));
        }
        child.wait().context("wait for the agent")?;
        Ok(documents)
    }

    /// The same where there has to be a report.
    ///
    /// # Errors
    /// When there is none.
    pub fn report(&self, observer: &Namespace, spec: &str) -> Result<(Report, Ran)> {
        let (report, ran) = self.probe(observer, spec)?;
        Ok((report.with_context(|| format!("no report: {}{}", ran.out, ran.err))?, ran))
    }
}

const OPEN: &str = r#"allow_probes = ["ping", "traceroute", "mtr", "pmtu", "tcp", "udp", "port", "neighbor", "http", "dns"]
allow_cidrs = ["10.0.0.0/8", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "2001:db8::/32"]
max_pps = 1000000
per_target_pps = 1000000
max_targets_per_job = 65536
max_bytes_per_job = "64MiB""#;
