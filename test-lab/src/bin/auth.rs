//! Bench: what it costs to know who asks. A request with a key is held against the same request without one, both refused before any
//! work, by the processor time of the server's process; and knowing a key is timed alone, by the processor time of the one thread that does it.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::json;
use test_lab::database::{Database, Kind};
use test_lab::fleet::House;
use test_lab::http::Tenant;
use test_lab::process::{processor_time, thread_processor_time};
use test_lab::stand::Stand;
use tokio::task::JoinSet;

#[derive(Parser)]
struct Arguments {
    /// Requests of each kind in a round.
    #[arg(long, default_value_t = 20_000)]
    requests: u32,
    /// Rounds of each kind, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Fewer requests, one round.
    #[arg(long)]
    quick: bool,
    /// The control plane's database.
    #[arg(long, value_enum, default_value_t)]
    database: Kind,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.requests, arguments.rounds) = (arguments.requests.min(5_000), 1);
    }
    let alone = alone(arguments.requests, arguments.database)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (with_key, without) = runtime.block_on(over_http(arguments.requests, arguments.rounds, arguments.database))?;
    let difference = micros(with_key) - micros(without);
    if arguments.json {
        println!(
            "{}",
            json!({
                "bench": "auth",
                "database": arguments.database.name(),
                "requests_of_each_kind": arguments.requests * arguments.rounds,
                "request": REQUEST,
                "processor_us_with_key": micros(with_key),
                "processor_us_without": micros(without),
                "processor_us_a_request_authenticated": difference,
                "processor_us_authenticate_alone": micros(alone),
                "goal_processor_us_a_request_authenticated": 20,
            })
        );
    } else {
        println!(
            "a request with a key {:.1} µs, without {:.1} µs: {difference:.1} µs (goal 20)",
            micros(with_key),
            micros(without)
        );
        println!("authenticating alone {:.1} µs", micros(alone));
    }
    Ok(())
}

/// Processor time of the server for one request with a key and one without, means over all rounds.
async fn over_http(requests: u32, rounds: u32, kind: Kind) -> Result<(Duration, Duration)> {
    let stand = Stand::start_straight(kind).await?;
    let pid = stand.server_pid().context("the control plane is not running")?;
    let known = Tenant::new(&stand.url(""), &stand.key);
    let stranger = Tenant::new(&stand.url(""), "nobody");
    // Connections stand and everything has run once.
    ask(&known, requests / 10, UNPROCESSABLE).await?;
    ask(&stranger, requests / 10, UNAUTHENTICATED).await?;
    let (mut with_key, mut without) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let began = processor_time(pid)?;
        ask(&known, requests, UNPROCESSABLE).await?;
        let between = processor_time(pid)?;
        ask(&stranger, requests, UNAUTHENTICATED).await?;
        with_key += between.saturating_sub(began);
        without += processor_time(pid)?.saturating_sub(between);
    }
    let all = requests * rounds;
    Ok((with_key / all, without / all))
}

async fn ask(tenant: &Tenant, requests: u32, expected: u16) -> Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let tenant = tenant.clone();
        clients.spawn(async move {
            for _ in 0..requests / CLIENTS {
                let answer = tenant.get(REQUEST).await?;
                ensure!(answer.status.as_u16() == expected, "answered {}", answer.status);
            }
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

/// Processor time of knowing a key, with nothing around it.
fn alone(times: u32, kind: Kind) -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let data_dir = directory.path().join("data");
        let database = Database::start(kind, &data_dir)?;
        let house = House::start(&data_dir, database.place()?, 0).await?;
        let identity = &house.services.identity;
        identity.authenticate(house.key()).await?;
        let before = thread_processor_time()?;
        for _ in 0..times {
            identity.authenticate(house.key()).await?;
        }
        let spent = thread_processor_time()?.saturating_sub(before);
        house.services.stop().await;
        Ok(spent / times)
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

/// Refused for its limit once it is known who asks, and before that for want of a key: neither reads the database.
const REQUEST: &str = "/api/v1/measurements?limit=0";
const UNPROCESSABLE: u16 = 422;
const UNAUTHENTICATED: u16 = 401;
/// Connections that ask at the same time.
const CLIENTS: u32 = 8;
