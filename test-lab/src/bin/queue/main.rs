//! Bench: what the queue carries, through the control plane's own writer, dispatcher and ingest, beside the least that the same bytes
//! cost when one writer only appends them. Rounds of both alternate in one run, so that the machine is the same for both.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

mod fleet;
mod load;
mod record;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use control_core::authorize::Action;
use test_lab::database::{Database, Kind};
use test_lab::fleet::House;
use test_lab::{floor, graphile_worker};

use fleet::Fleet;
use load::{Bench, count_back};
use record::{Measured, rate_of, record, whole};

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
    /// The folder in which npm installed graphile-worker, to be measured beside on PostgreSQL.
    #[arg(long)]
    graphile_worker: Option<PathBuf>,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
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
    let database = Database::start_to_measure(arguments.database, &data_dir)?;
    let house = House::start(&data_dir, database.place()?, arguments.agents).await?;
    let mut fleet = Fleet::start(&house, REPORT_BYTES).await?;
    let bench = Bench {
        services: house.services.clone(),
        grant: house.grant(Action::MeasurementCreate).await?,
        agents: arguments.agents,
        accepted: Arc::default(),
    };
    let (mut floors, mut carried, mut rounds) = (Vec::new(), Vec::new(), Vec::new());
    bench.saturate(arguments.clients, Duration::from_secs(1)).await?;
    let before = house.services.store_metrics();
    for number in 0..arguments.rounds {
        match (arguments.database, &arguments.graphile_worker, database.url()) {
            (Kind::Sqlite, ..) => {
                let file = directory.path().join(format!("floor-{number}.db"));
                floors.push(floor::measure(&file, arguments.clients, SPEC_BYTES, REPORT_BYTES, lasting).await?);
            }
            (Kind::Postgresql, Some(folder), Some(url)) => {
                let jobs = if arguments.quick { QUICK_JOBS_BESIDE } else { JOBS_BESIDE };
                carried.push(graphile_worker::measure(folder, &url, jobs, SPEC_BYTES).await?);
            }
            (Kind::Postgresql, ..) => {}
        }
        rounds.push(bench.saturate(arguments.clients, lasting).await?);
    }
    let after = house.services.store_metrics();

    let paced = lasting * PACED_ROUNDS;
    let half = bench.paced(whole(rate_of(&rounds) / 2.0), paced, arguments.seed).await?;
    let (gentle, starts) = bench.starts(&mut fleet, GENTLE_RATE, paced, arguments.seed).await?;

    fleet.stop().await?;
    house.services.stop().await;
    let counted = count_back(&bench, &database.read().await?)?;
    let record = record(
        &arguments,
        &Measured {
            floors,
            carried,
            rounds,
            commits: after.commits - before.commits,
            trips: after.trips - before.trips,
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

const SPEC_BYTES: usize = 300;
const REPORT_BYTES: usize = 1_024;
/// Jobs that graphile-worker carries in a round.
const JOBS_BESIDE: u32 = 50_000;
const QUICK_JOBS_BESIDE: u32 = 5_000;
/// How many rounds long a load below the highest is kept up: a tail is told by what comes now and then, as a checkpoint of the database.
const PACED_ROUNDS: u32 = 4;
/// The rate at which a job should start at once.
const GENTLE_RATE: u32 = 200;
