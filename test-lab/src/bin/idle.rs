//! Bench: what an idle agent's process holds in memory, after it has run a ping.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use test_lab::process::resident_kib;
use test_lab::stand::Stand;

#[derive(Parser)]
struct Arguments {
    /// As it is: the bench is quick.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut stand = Stand::start().await?;
    stand.add_agent("idle").await?;
    let body = json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": 4, "interval_ms": 10}, "selection": {"agents": ["idle"]}});
    stand.post("/api/v1/measurements?wait=30s", &body).await?;
    let settle = if arguments.quick { SETTLE / 4 } else { SETTLE };
    tokio::time::sleep(settle).await;
    let resident = resident_kib(stand.agent_pid(0).context("the agent is not running")?)?;
    let server = resident_kib(stand.server_pid().context("the control plane is not running")?)?;
    if arguments.json {
        println!(
            "{}",
            json!({"bench": "idle", "agent_resident_kib": resident, "goal_agent_resident_kib": 15 * 1_024, "server_resident_kib": server})
        );
    } else {
        println!("an idle agent holds {resident} KiB (goal 15360); the control plane with one agent {server} KiB");
    }
    Ok(())
}

/// How long the agent is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(20);
