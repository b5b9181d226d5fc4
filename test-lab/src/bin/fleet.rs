//! Bench: a large fleet of simulated agents over real TLS. What a session costs in memory, what an idle fleet costs in processor time,
//! and how long it takes after a crash of the control plane until everybody is back.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use probe_agent::link::backoff::BackoffSettings;
use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::fleet::{MadeUp, News, Probes, SimulatedAgent};
use test_lab::latency::Latencies;
use test_lab::process::{processor_time, resident_kib};
use test_lab::stand::Stand;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Arguments {
    /// Agents, each with a session.
    #[arg(long, default_value_t = 10_000)]
    agents: u32,
    /// How long the idle fleet is watched, seconds.
    #[arg(long, default_value_t = 45)]
    idle: u64,
    /// How long the control plane stays away after it was killed, seconds.
    #[arg(long, default_value_t = 3)]
    away: u64,
    /// 500 agents, watched for a shorter time.
    #[arg(long)]
    quick: bool,
    /// The control plane's database.
    #[arg(long, value_enum, default_value_t)]
    database: Kind,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.agents, arguments.idle) = (arguments.agents.min(500), 5);
    }
    let (mut stand, identities) = Stand::start_founded(arguments.agents, arguments.database).await?;
    let pid = stand.server_pid().context("the control plane is not running")?;
    let address = stand.agent_address().parse()?;
    let probes = Probes::new(Duration::ZERO..=Duration::ZERO, 4, 1_024);
    let mut fleet = Watched::default();
    let own_before = resident_kib(std::process::id())?;
    let server_before = resident_kib(pid)?;
    let began = test_lab::clock::start();
    for (number, identity) in (0..).zip(&identities) {
        let agent = SimulatedAgent::of(identity, number, address, probes.clone(), BackoffSettings::default())?;
        fleet.spawn(agent);
        // As many at once as an honest fleet that grows; the storm comes later.
        while fleet.dialling() > AT_ONCE {
            fleet.hear().await?;
        }
    }
    fleet.until_all(arguments.agents).await?;
    let came = began.elapsed();
    let (server, own) = (resident_kib(pid)?, resident_kib(std::process::id())?);

    let idle_cost = fleet.idle(pid, Duration::from_secs(arguments.idle)).await?;
    let lost_while_idle = fleet.lost;

    let storm = fleet.storm(&mut stand, arguments.agents, Duration::from_secs(arguments.away)).await?;
    let after = resident_kib(stand.server_pid().context("the control plane is not running")?)?;
    fleet.stop.cancel();
    while let Some(agent) = fleet.tasks.join_next().await {
        agent?;
    }
    let record = json!({
        "bench": "fleet",
        "database": stand.database().name(),
        "agents": arguments.agents,
        "first_arrival_s": came.as_secs_f64(),
        "server_resident_kib_before": server_before,
        "server_resident_kib": server,
        "server_resident_kib_after_the_storm": after,
        "server_kib_a_session": each(server_before, server, arguments.agents),
        "simulator_kib_an_agent": each(own_before, own, arguments.agents),
        "idle_watched_s": arguments.idle,
        "idle_share_of_a_core": idle_cost,
        "lost_while_idle": lost_while_idle,
        "storm": storm,
        "goal": {"server_kib_a_session": 32, "idle_share_of_a_core": 0.05, "all_back_s": 20},
    });
    if arguments.json {
        println!("{record}");
    } else {
        println!("{}", serde_json::to_string_pretty(&record)?);
    }
    Ok(())
}

fn each(before: u64, after: u64, agents: u32) -> f64 {
    f64::from(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX)) / f64::from(agents.max(1))
}

/// The fleet, and what is known of it.
struct Watched {
    tasks: JoinSet<MadeUp>,
    stop: CancellationToken,
    news: mpsc::Receiver<News>,
    teller: mpsc::Sender<News>,
    here: HashSet<u32>,
    started: usize,
    dials: u64,
    lost: u64,
}

impl Default for Watched {
    fn default() -> Self {
        let (teller, news) = mpsc::channel(NEWS);
        Self {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            news,
            teller,
            here: HashSet::new(),
            started: 0,
            dials: 0,
            lost: 0,
        }
    }
}

impl Watched {
    fn spawn(&mut self, agent: SimulatedAgent) {
        self.started += 1;
        self.tasks.spawn(agent.run(self.teller.clone(), self.stop.clone()));
    }

    fn dialling(&self) -> usize {
        self.started - self.here.len()
    }

    async fn hear(&mut self) -> Result<()> {
        let news = tokio::time::timeout(SILENCE_MAX, self.news.recv()).await;
        let news = news.with_context(|| format!("{} of {} agents are here, and no news", self.here.len(), self.started))?;
        self.note(news.context("the fleet is gone")?);
        Ok(())
    }

    async fn hear_until(&mut self, until: Instant) -> Result<()> {
        let rest = until.saturating_duration_since(test_lab::clock::start());
        match tokio::time::timeout(rest, self.news.recv()).await {
            Ok(news) => self.note(news.context("the fleet is gone")?),
            Err(_over) => {}
        }
        Ok(())
    }

    fn note(&mut self, news: News) {
        match news {
            News::Dials(_) => self.dials += 1,
            News::Welcomed(number) => {
                self.here.insert(number);
            }
            News::Lost(number) | News::Stopped(number) => {
                self.here.remove(&number);
                self.lost += 1;
            }
        }
    }

    async fn until_all(&mut self, agents: u32) -> Result<()> {
        while self.here.len() < usize::try_from(agents)? {
            self.hear().await?;
        }
        Ok(())
    }

    /// Share of a core that the control plane uses while nobody wants anything.
    async fn idle(&mut self, server: u32, lasting: Duration) -> Result<f64> {
        let before = processor_time(server)?;
        let watched = test_lab::clock::start();
        while watched.elapsed() < lasting {
            self.hear_until(watched + lasting).await?;
        }
        Ok(processor_time(server)?.saturating_sub(before).as_secs_f64() / watched.elapsed().as_secs_f64())
    }

    /// Kills the control plane, starts it again, and waits until everybody is back. Times are from the moment it was ready again.
    async fn storm(&mut self, stand: &mut Stand, agents: u32, away: Duration) -> Result<Value> {
        let dials = self.dials;
        stand.kill_server().await?;
        let killed = test_lab::clock::start();
        // Everybody hears of it from the kernel.
        while !self.here.is_empty() {
            self.hear().await?;
        }
        while killed.elapsed() < away {
            self.hear_until(killed + away).await?;
        }
        stand.start_server().await?;
        let down = killed.elapsed();
        let ready = test_lab::clock::start();
        let mut back = Latencies::default();
        while self.here.len() < usize::try_from(agents)? {
            let before = self.here.len();
            self.hear().await?;
            if self.here.len() > before {
                back.add(ready.elapsed());
            }
        }
        ensure!(back.len() >= self.here.len(), "{} came back", back.len());
        Ok(json!({
            "down_s": down.as_secs_f64(),
            "back": back.record(),
            "all_back_s": ready.elapsed().as_secs_f64(),
            "dials": self.dials - dials,
        }))
    }
}

/// Agents that dial for the first time at once.
const AT_ONCE: usize = 200;
/// News that wait to be heard; agents wait when there are more.
const NEWS: usize = 65_536;
/// Longest time without news while some are missing: longer than the longest backoff.
const SILENCE_MAX: Duration = Duration::from_secs(90);
