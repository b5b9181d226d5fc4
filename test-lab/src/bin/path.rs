//! Bench: how long a tenant waits for what it asked, through real processes: request, queue, lease, agent, probe, and all the way back.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use test_lab::arrivals::Arrivals;
use test_lab::database::Kind;
use test_lab::http::Tenant;
use test_lab::latency::{Latencies, milliseconds};
use test_lab::process::processor_time;
use test_lab::stand::{Stand, items_of, text};
use tokio::task::JoinSet;

#[derive(Parser)]
struct Arguments {
    /// Agents, each a process with a session.
    #[arg(long, default_value_t = 16)]
    agents: usize,
    /// Measurements a second, in the mean.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// How long it is measured, seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Of the arrivals.
    #[arg(long, default_value_t = 20_261_126)]
    seed: u64,
    /// A few seconds only.
    #[arg(long)]
    quick: bool,
    /// The control plane's database.
    #[arg(long, value_enum, default_value_t)]
    database: Kind,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// What one measurement took, from the moment its request was sent.
struct Story {
    accepted: Duration,
    first_event: Duration,
    first_finding: Duration,
    report: Duration,
    readable: Duration,
}

#[derive(Default)]
struct Figures {
    accepted: Latencies,
    first_event: Latencies,
    first_finding: Latencies,
    report: Latencies,
    readable: Latencies,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seconds = if arguments.quick {
        arguments.seconds.min(QUICK_SECONDS)
    } else {
        arguments.seconds
    };
    let mut stand = Stand::start_straight(arguments.database).await?;
    let names: Vec<String> = (0..arguments.agents).map(|number| format!("agent-{number}")).collect();
    stand.add_agents(&names).await?;
    let tenant = Tenant::new(&stand.url(""), &stand.key);
    run(&tenant, &names, arguments.rate, WARM_UP, arguments.seed + 1).await?;
    let costs = Costs::read(&stand)?;
    let began = test_lab::clock::start();
    let figures = run(&tenant, &names, arguments.rate, Duration::from_secs(seconds), arguments.seed).await?;
    let took = began.elapsed();
    let costs = Costs::read(&stand)?.since(&costs, figures.report.len());
    if arguments.json {
        println!(
            "{}",
            json!({
                "bench": "path",
                "database": stand.database().name(),
                "agents": names.len(),
                "asked_per_second": arguments.rate,
                "seconds": seconds,
                "seed": arguments.seed,
                "measurements": figures.report.len(),
                "took_s": took.as_secs_f64(),
                "post_to_accepted": figures.accepted.record(),
                "post_to_first_event": figures.first_event.record(),
                "post_to_first_finding": figures.first_finding.record(),
                "post_to_report": figures.report.record(),
                "post_to_report_readable": figures.readable.record(),
                "processor_ms_a_measurement": costs,
                "goal_post_to_first_finding": {"p50_ms": 5, "p99_ms": 20},
            })
        );
    } else {
        println!("post to accepted       {}", figures.accepted.record());
        println!("post to first event    {}", figures.first_event.record());
        println!("post to first finding  {}", figures.first_finding.record());
        println!("post to report         {}", figures.report.record());
        println!("post to readable       {}", figures.readable.record());
        println!("processor time a measurement, ms: {costs}");
    }
    Ok(())
}

/// Open loop: a request is sent when its time has come, however many are under way.
async fn run(tenant: &Tenant, names: &[String], rate: u32, lasting: Duration, seed: u64) -> Result<Figures> {
    let began = test_lab::clock::start();
    let mut asking = JoinSet::new();
    let mut figures = Figures::default();
    for (number, at) in Arrivals::new(rate, seed).take_while(|at| *at < lasting).enumerate() {
        tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
        let agent = names.get(number % names.len().max(1)).context("no agent")?.clone();
        asking.spawn(ask(tenant.clone(), agent));
        while let Some(story) = asking.try_join_next() {
            figures.add(&story??);
        }
    }
    while let Some(story) = asking.join_next().await {
        figures.add(&story??);
    }
    Ok(figures)
}

async fn ask(tenant: Tenant, agent: String) -> Result<Story> {
    let body = json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": 1}, "selection": {"agents": [agent]}, "deadline_s": 60});
    let sent = test_lab::clock::start();
    let measurement = tenant.post("/api/v1/measurements", None, &body).await?.granted()?;
    let accepted = sent.elapsed();
    let path = format!("/api/v1/measurements/{}", text(&measurement, "id"));
    let (first_event, first_finding, report) = follow(&tenant, &path, sent).await?;
    let reports = tenant.get(&format!("{path}/reports")).await?.granted()?;
    let readable = sent.elapsed();
    let status = items_of(&reports)
        .next()
        .and_then(|report| report.get("report"))
        .map(|report| text(report, "status"));
    ensure!(status == Some("ok"), "the report of {path} is {reports}");
    Ok(Story {
        accepted,
        first_event,
        first_finding,
        report,
        readable,
    })
}

/// When the first event after the snapshot came, the first finding, and the report.
async fn follow(tenant: &Tenant, path: &str, sent: Instant) -> Result<(Duration, Duration, Duration)> {
    let mut events = tenant.follow(&format!("{path}/events")).await?;
    let (mut first_event, mut first_finding, mut report) = (None, None, None);
    while let Some((name, data)) = events.next().await? {
        let at = sent.elapsed();
        if name != "snapshot" {
            first_event = first_event.or(Some(at));
        }
        match name.as_str() {
            "finding" => first_finding = first_finding.or(Some(at)),
            // Who asks for the events after the end hears no finding any more: the report is the first they hear of one.
            "report" => {
                report = report.or(Some(at));
                first_finding = first_finding.or(Some(at));
            }
            "snapshot" => {
                let snapshot: Value = serde_json::from_str(&data)?;
                ensure!(text(&snapshot, "id").len() == 36, "a snapshot without an id: {data}");
            }
            _ => {}
        }
    }
    Ok((
        first_event.context("no event came")?,
        first_finding.context("no finding came")?,
        report.context("no report came")?,
    ))
}

/// Processor time used so far.
struct Costs {
    server: Duration,
    agents: Duration,
    client: Duration,
}

impl Costs {
    fn read(stand: &Stand) -> Result<Self> {
        let server = stand.server_pid().context("the control plane is not running")?;
        let agents = (0..stand.agents()).filter_map(|agent| stand.agent_pid(agent)).map(processor_time);
        Ok(Self {
            server: processor_time(server)?,
            agents: agents.sum::<Result<Duration>>()?,
            client: processor_time(std::process::id())?,
        })
    }

    fn since(&self, before: &Self, measurements: usize) -> Value {
        let measurements = u32::try_from(measurements.max(1)).unwrap_or(u32::MAX);
        let each = |now: Duration, before: Duration| milliseconds(now.saturating_sub(before) / measurements);
        json!({
            "server": each(self.server, before.server),
            "agents": each(self.agents, before.agents),
            "client": each(self.client, before.client),
        })
    }
}

impl Figures {
    fn add(&mut self, story: &Story) {
        self.accepted.add(story.accepted);
        self.first_event.add(story.first_event);
        self.first_finding.add(story.first_finding);
        self.report.add(story.report);
        self.readable.add(story.readable);
    }
}

const WARM_UP: Duration = Duration::from_secs(3);
const QUICK_SECONDS: u64 = 5;
