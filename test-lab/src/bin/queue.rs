//! Bench: what the queue carries, through the control plane's own writer, dispatcher and ingest, beside the least that the same bytes
//! cost when one writer only appends them. Rounds of both alternate in one run, so that the machine is the same for both.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use control_api::measurement::CreateMeasurement;
use control_core::authorize::{Action, Grant};
use control_services::metrics::EndLabel;
use control_services::{ServiceError, Services, clock};
use serde_json::{Value, json};
use shared_protocol::id::JobId;
use shared_protocol::time::MonotonicMicros;
use test_lab::arrivals::Arrivals;
use test_lab::database::{Database, Kind, Stored};
use test_lab::fleet::{House, MadeUp, PipedAgent, Probes};
use test_lab::floor::{self, Floor};
use test_lab::latency::{Latencies, milliseconds};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Arguments {
    /// Clients, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Agents that take the jobs.
    #[arg(long, default_value_t = 64)]
    agents: u32,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long a round lasts, seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Of the arrivals.
    #[arg(long, default_value_t = 20_261_126)]
    seed: u64,
    /// One short round.
    #[arg(long)]
    quick: bool,
    /// The control plane's database.
    #[arg(long, value_enum, default_value_t)]
    database: Kind,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// One round of the queue.
struct Round {
    jobs: u64,
    took: Duration,
    acknowledged: Latencies,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.rounds, arguments.seconds) = (1, arguments.seconds.min(2));
    }
    let lasting = Duration::from_secs(arguments.seconds);
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let database = Database::start(arguments.database, &data_dir)?;
    let house = House::start(&data_dir, database.place()?, arguments.agents).await?;
    let fleet = Fleet::start(&house).await?;
    let bench = Bench {
        services: house.services.clone(),
        grant: house.grant(Action::MeasurementCreate).await?,
        agents: arguments.agents,
        accepted: Arc::default(),
    };
    let (mut floors, mut rounds) = (Vec::new(), Vec::new());
    bench.saturate(arguments.clients, Duration::from_secs(1)).await?;
    let before = house.services.store_metrics();
    for number in 0..arguments.rounds {
        let file = directory.path().join(format!("floor-{number}.db"));
        floors.push(floor::measure(&file, arguments.clients, SPEC_BYTES, REPORT_BYTES, lasting).await?);
        rounds.push(bench.saturate(arguments.clients, lasting).await?);
    }
    let after = house.services.store_metrics();
    let commits = after.commits - before.commits;

    let half = bench.paced(whole(rate_of(&rounds) / 2.0), lasting, arguments.seed).await?;
    let mut fleet = fleet;
    let (gentle, starts) = bench.starts(&mut fleet, GENTLE_RATE, lasting, arguments.seed).await?;

    fleet.stop().await?;
    house.services.stop().await;
    let counted = count_back(&bench, &database.read().await?)?;
    let record = record(
        &arguments,
        &Measured {
            floors,
            rounds,
            commits,
            half,
            gentle,
            starts,
        },
        &counted,
    );
    if arguments.json {
        println!("{record}");
    } else {
        println!("{}", serde_json::to_string_pretty(&record)?);
    }
    Ok(())
}

/// Everything that was measured.
struct Measured {
    floors: Vec<Floor>,
    rounds: Vec<Round>,
    commits: u64,
    half: Latencies,
    gentle: Latencies,
    starts: Latencies,
}

fn record(arguments: &Arguments, measured: &Measured, counted: &Value) -> Value {
    let Measured {
        floors,
        rounds,
        commits,
        half,
        gentle,
        starts,
    } = measured;
    let rate = rate_of(rounds);
    let jobs: u64 = rounds.iter().map(|round| round.jobs).sum();
    let floor_rate = median(floors.iter().map(|floor| per_second(floor.rows, floor.took)).collect());
    let mut acknowledged = Latencies::default();
    for round in rounds {
        acknowledged.absorb(round.acknowledged.clone());
    }
    json!({
        "bench": "queue",
        "database": arguments.database.name(),
        "clients": arguments.clients,
        "agents": arguments.agents,
        "spec_bytes": SPEC_BYTES,
        "report_bytes": REPORT_BYTES,
        "rounds": arguments.rounds,
        "round_s": arguments.seconds,
        "jobs": jobs,
        "jobs_per_second": rate,
        "commits": commits,
        "jobs_a_commit": per(jobs, *commits),
        "acknowledged_at_full_load": acknowledged.record(),
        "floor": floor_record(floors, floor_rate),
        "share_of_floor": rate / floor_rate,
        "goal_share_of_floor": 0.38,
        "half_load_per_second": whole(rate / 2.0),
        "acknowledged_at_half_load": half.record(),
        "goal_acknowledged_at_half_load": {"p99_ms": 10},
        "gentle_load_per_second": GENTLE_RATE,
        "acknowledged_at_gentle_load": gentle.record(),
        "enqueue_to_start_at_gentle_load": starts.record(),
        "goal_enqueue_to_start": {"p99_ms": 5},
        "counted_back": counted,
    })
}

fn rate_of(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|round| per_second(round.jobs, round.took)).collect())
}

struct Bench {
    services: Services,
    grant: Grant,
    agents: u32,
    /// Every job that a client was promised.
    accepted: Arc<std::sync::Mutex<HashSet<String>>>,
}

impl Bench {
    /// Closed loop; the round ends when every job that was accepted in it has its end.
    async fn saturate(&self, clients: usize, lasting: Duration) -> Result<Round> {
        let before = self.ended();
        let began = test_lab::clock::start();
        let over = Arc::new(AtomicBool::new(false));
        let mut asking = JoinSet::new();
        for client in 0..clients {
            let (services, grant, over, accepted) = (self.services.clone(), self.grant.clone(), Arc::clone(&over), Arc::clone(&self.accepted));
            let agent = u32::try_from(client)? % self.agents.max(1);
            asking.spawn(async move {
                let mut latencies = Latencies::default();
                while !over.load(Ordering::Relaxed) {
                    let asked = test_lab::clock::start();
                    match services.jobs.create(&grant, wanted(agent)?, None).await {
                        Ok(measurement) => {
                            latencies.add(asked.elapsed());
                            keep(&accepted, measurement.jobs.into_iter().map(|job| job.id));
                        }
                        Err(ServiceError::TooManyOpenJobs { .. } | ServiceError::CannotStartInTime { .. }) => tokio::time::sleep(FULL_PAUSE).await,
                        Err(error) => return Err(anyhow::Error::from(error)),
                    }
                }
                Ok(latencies)
            });
        }
        tokio::time::sleep(lasting).await;
        over.store(true, Ordering::Relaxed);
        let mut acknowledged = Latencies::default();
        while let Some(client) = asking.join_next().await {
            acknowledged.absorb(client??);
        }
        let jobs = u64::try_from(acknowledged.len())?;
        self.until_ended(before + jobs).await?;
        Ok(Round {
            jobs,
            took: began.elapsed(),
            acknowledged,
        })
    }

    /// Open loop at a rate; how long each waited for its acknowledgement.
    async fn paced(&self, rate: u32, lasting: Duration, seed: u64) -> Result<Latencies> {
        let before = self.ended();
        let began = test_lab::clock::start();
        let mut asking = JoinSet::new();
        for (number, at) in Arrivals::new(rate, seed).take_while(|at| *at < lasting).enumerate() {
            tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            let (services, grant, accepted) = (self.services.clone(), self.grant.clone(), Arc::clone(&self.accepted));
            let agent = u32::try_from(number)? % self.agents.max(1);
            asking.spawn(async move {
                let asked = test_lab::clock::start();
                let measurement = services.jobs.create(&grant, wanted(agent)?, None).await?;
                let took = asked.elapsed();
                keep(&accepted, measurement.jobs.into_iter().map(|job| job.id));
                anyhow::Ok(took)
            });
        }
        let mut acknowledged = Latencies::default();
        while let Some(took) = asking.join_next().await {
            acknowledged.add(took??);
        }
        self.until_ended(before + u64::try_from(acknowledged.len())?).await?;
        Ok(acknowledged)
    }

    /// Open loop at a rate; how long until the acknowledgement, and until the agent has the job in its hands.
    async fn starts(&self, fleet: &mut Fleet, rate: u32, lasting: Duration, seed: u64) -> Result<(Latencies, Latencies)> {
        while fleet.started.try_recv().is_ok() {}
        let began = test_lab::clock::start();
        let mut asking = JoinSet::new();
        let (mut sent, mut acknowledged, mut starts) = (HashMap::new(), Latencies::default(), HashMap::new());
        for (number, at) in Arrivals::new(rate, seed).take_while(|at| *at < lasting).enumerate() {
            tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            let (services, grant) = (self.services.clone(), self.grant.clone());
            let agent = u32::try_from(number)? % self.agents.max(1);
            asking.spawn(async move {
                let asked = clock::monotonic();
                let measurement = services.jobs.create(&grant, wanted(agent)?, None).await?;
                anyhow::Ok((measurement, asked, clock::monotonic()))
            });
            while let Ok((job, at)) = fleet.started.try_recv() {
                starts.insert(job, at);
            }
        }
        while let Some(answer) = asking.join_next().await {
            let (measurement, asked, answered) = answer??;
            acknowledged.add(answered.since(asked));
            for job in measurement.jobs {
                sent.insert(job.id.parse::<JobId>()?, asked);
                keep(&self.accepted, [job.id]);
            }
        }
        while starts.len() < sent.len() {
            let (job, at) = tokio::time::timeout(DRAINS_WITHIN, fleet.started.recv()).await?.context("the fleet is gone")?;
            starts.insert(job, at);
        }
        let mut waited = Latencies::default();
        waited.extend(sent.iter().filter_map(|(job, asked)| Some(starts.get(job)?.since(*asked))));
        ensure!(waited.len() == sent.len(), "{} of {} jobs were begun", waited.len(), sent.len());
        Ok((acknowledged, waited))
    }

    fn ended(&self) -> u64 {
        self.services.metrics.jobs_ended.get_or_create(&EndLabel { end: "completed" }).get()
    }

    async fn until_ended(&self, jobs: u64) -> Result<()> {
        let began = test_lab::clock::start();
        while self.ended() < jobs {
            ensure!(began.elapsed() < DRAINS_WITHIN, "{} of {jobs} jobs have ended", self.ended());
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(())
    }
}

/// The agents of the house, mouth to ear.
struct Fleet {
    tasks: JoinSet<Result<MadeUp>>,
    stop: CancellationToken,
    started: mpsc::Receiver<(JobId, MonotonicMicros)>,
}

impl Fleet {
    async fn start(house: &House) -> Result<Self> {
        let probes = Probes::new(Duration::ZERO..=Duration::ZERO, CAPACITY, REPORT_BYTES);
        let (welcomed, mut arrivals) = mpsc::channel(64);
        let (telling, started) = mpsc::channel(STARTS);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for number in 0..u32::try_from(house.agents())? {
            let made_up = MadeUp::new(probes.clone(), number);
            let agent = PipedAgent::new(house.services.fleet.clone(), house.agent(number)?, made_up, number).telling(telling.clone());
            tasks.spawn(agent.run(welcomed.clone(), stop.clone()));
        }
        for _ in 0..house.agents() {
            arrivals.recv().await.context("no session stands")?;
        }
        Ok(Self { tasks, stop, started })
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(agent) = self.tasks.join_next().await {
            let (finished, unacknowledged) = agent??.done();
            ensure!(unacknowledged == 0, "an agent that finished {finished} jobs holds {unacknowledged} reports");
        }
        Ok(())
    }
}

/// A ping whose spec has about 300 bytes on the wire and on disk.
fn wanted(agent: u32) -> Result<CreateMeasurement> {
    let label = "a".repeat(49);
    Ok(serde_json::from_value(json!({
        "spec": {"probe": "ping", "target": format!("{label}.{label}.{label}.{label}.example"), "count": 1},
        "selection": {"agents": [format!("simulated-{agent}")]},
        "deadline_s": 600,
    }))?)
}

fn keep(accepted: &std::sync::Mutex<HashSet<String>>, jobs: impl IntoIterator<Item = String>) {
    accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(jobs);
}

/// Holds what the clients were promised against what stands in the database of a control plane that is stopped.
fn count_back(bench: &Bench, stored: &Stored) -> Result<Value> {
    let promised: HashSet<String> = {
        let accepted = bench.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        accepted.iter().map(|id| id.replace('-', "")).collect()
    };
    let completed = stored.jobs.iter().filter(|(_, end)| end.as_deref() == Some("completed"));
    let completed: HashSet<String> = completed.map(|(job, _)| job.clone()).collect();
    let reported: HashSet<String> = stored.reports.keys().cloned().collect();
    ensure!(stored.reports.values().all(|reports| *reports == 1), "a job has two reports");
    ensure!(completed == promised, "{} jobs were promised, {} completed", promised.len(), completed.len());
    ensure!(reported == promised, "{} jobs were promised, {} have a report", promised.len(), reported.len());
    Ok(json!({"promised": promised.len(), "completed": completed.len(), "reports": reported.len()}))
}

fn floor_record(floors: &[Floor], rate: f64) -> Value {
    let (rows, commits) = floors
        .iter()
        .fold((0, 0), |(rows, commits), floor| (rows + floor.rows, commits + floor.commits));
    json!({"rows": rows, "rows_per_second": rate, "commits": commits, "rows_a_commit": per(rows, commits)})
}

fn per_second(count: u64, took: Duration) -> f64 {
    per(count * 1_000, 1) / milliseconds(took)
}

fn per(count: u64, of: u64) -> f64 {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    float(count) / float(of.max(1))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small and not negative"
)]
const fn whole(rate: f64) -> u32 {
    rate as u32
}

const SPEC_BYTES: usize = 300;
const REPORT_BYTES: usize = 1_024;
/// Jobs an agent takes at a time.
const CAPACITY: u32 = 64;
/// The rate at which a job should start at once.
const GENTLE_RATE: u32 = 200;
/// Starts that wait to be counted.
const STARTS: usize = 1 << 20;
/// Rest of a client that is told to come back.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Longest time for what was accepted to come to its end.
const DRAINS_WITHIN: Duration = Duration::from_mins(2);
