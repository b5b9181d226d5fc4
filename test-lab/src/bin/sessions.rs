//! Bench: what an idle agent session costs the control plane in memory, over real TLS.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use test_lab::fleet::{News, Probes, SimulatedAgent};
use test_lab::process::resident_kib;
use test_lab::stand::Stand;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Arguments {
    /// Sessions whose cost is measured.
    #[arg(long, default_value_t = 1_000)]
    sessions: u32,
    /// Fewer sessions: the same ratio within a minute.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let sessions = if arguments.quick { arguments.sessions.min(200) } else { arguments.sessions };
    let stand = Stand::start().await?;
    let pid = stand.server_pid().context("the control plane is not running")?;
    let stop = CancellationToken::new();
    let (news, mut arrivals) = tokio::sync::mpsc::channel(64);
    let probes = Probes::new(Duration::ZERO..=Duration::ZERO, 4, 1_024);
    let mut tasks = JoinSet::new();
    let mut before = 0;
    let mut agents = Vec::new();
    for number in 1..=WARM_UP + sessions {
        agents.push(
            SimulatedAgent::enrol(&stand, number, probes.clone())
                .await
                .with_context(|| format!("enrol simulated agent {number}"))?,
        );
    }
    for (number, agent) in (1..).zip(agents) {
        tasks.spawn(agent.run(news.clone(), stop.clone()));
        while arrivals.recv().await.context("no session stands")? != News::Welcomed(number) {}
        if number == WARM_UP {
            before = resident_kib(pid)?;
        }
    }
    let after = resident_kib(pid)?;
    let mut alive = tasks.len();
    while let Ok(told) = arrivals.try_recv() {
        alive -= usize::from(matches!(told, News::Lost(_) | News::Stopped(_)));
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    let kib_per_session = f64::from(u32::try_from(after.saturating_sub(before))?) / f64::from(sessions);
    if arguments.json {
        println!(
            "{}",
            json!({"bench": "sessions", "sessions": sessions, "alive_at_the_end": alive, "resident_kib_before": before, "resident_kib_after": after, "kib_per_session": kib_per_session, "goal_kib_per_session": 28})
        );
    } else {
        println!("{sessions} idle sessions cost {kib_per_session:.1} KiB each ({before} KiB before, {after} KiB after; goal 28)");
    }
    Ok(())
}

/// Sessions that warm the process up before its memory is read.
const WARM_UP: u32 = 20;
