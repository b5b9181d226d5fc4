//! graphile-worker (MIT, of npm) beside our own queue on the same server: how many jobs it carries in its batched mode. It is only measured.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long it took to carry jobs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Carried {
    /// How many; the same number twice.
    pub jobs: u32,
    /// Completing those that were added before, milliseconds.
    pub complete_ms: f64,
    /// Adding as many, 64 at a time by four callers, while they are completed.
    pub add_ms: f64,
    /// Until the last of these was completed.
    pub both_ms: f64,
}

/// Carries so many jobs with payloads of so many bytes; the folder holds what npm installed.
///
/// # Errors
/// When node is missing, or the program fails.
pub async fn measure(folder: &Path, url: &str, jobs: u32, payload_bytes: usize) -> Result<Carried> {
    let mut node = Command::new("node")
        .current_dir(folder)
        .args(["--input-type=module", "-", url, &jobs.to_string(), &payload_bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("start node")?;
    let mut input = node.stdin.take().context("the standard input of node")?;
    input.write_all(include_bytes!("graphile_worker/bench.mjs")).await?;
    drop(input);
    let output = tokio::time::timeout(WITHIN, node.wait_with_output())
        .await
        .context("graphile-worker does not come to an end")??;
    ensure!(output.status.success(), "graphile-worker ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("read what graphile-worker did")
}

impl Carried {
    /// Jobs completed a second, of those that waited.
    pub fn completed_per_second(&self) -> f64 {
        f64::from(self.jobs) * 1_000.0 / self.complete_ms
    }

    /// Jobs added and completed a second, both at the same time.
    pub fn carried_per_second(&self) -> f64 {
        f64::from(self.jobs) * 1_000.0 / self.both_ms
    }
}

/// Longest time for a round.
const WITHIN: Duration = Duration::from_mins(5);
