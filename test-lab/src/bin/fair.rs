//! Bench: fairness of the queue. Simulated on the same arrivals beside first come, first served and strict priority; and live, the same sources against
//! the control plane itself.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};
use shared_protocol::tier::Tier;
use test_lab::database::{Database, Kind};
use test_lab::fair::live::{self, Live};
use test_lab::fair::{CAPACITY, Order, Outcome, Source, flood, saturation, simulate};
use test_lab::latency::milliseconds;

#[derive(Parser)]
struct Arguments {
    /// A shorter time and fewer seeds.
    #[arg(long)]
    quick: bool,
    /// How long each live run lasts, seconds.
    #[arg(long, default_value_t = 90)]
    live_seconds: u64,
    /// The live control plane's database.
    #[arg(long, value_enum, default_value_t)]
    database: Kind,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (seconds, seeds) = if arguments.quick { (600.0, 3) } else { (3_600.0, 20) };
    let orders = [("ours", Order::Ours), ("fifo", Order::Fifo), ("strict", Order::Strict)];
    let floods: Vec<Value> = Tier::ALL
        .into_iter()
        .map(|by| {
            let waits = orders.map(|(name, order)| {
                let worst = worst(order, &flood(by), seconds, seeds, |outcome| {
                    outcome.first().map_or(0.0, |quiet| quiet.wait(990))
                });
                (name.to_owned(), json!(worst))
            });
            json!({"flooded_by": by.as_str(), "quiet_enterprise_wait_p99_s": Value::Object(waits.into_iter().collect())})
        })
        .collect();
    let saturated: Vec<Value> = orders
        .into_iter()
        .map(|(name, order)| {
            let (off, free_wait) = shares(order, seconds, seeds);
            json!({"order": name, "share_off_by_at_most": off, "free_longest_time_between_starts_s": free_wait})
        })
        .collect();
    let record = json!({
        "bench": "fair",
        "simulated": {"agent_capacity": CAPACITY, "seconds": seconds, "seeds": seeds, "flood": "1.5 x capacity", "weights": "16:4:1"},
        "goals": {"quiet_enterprise_wait_p99_s": 1.0, "share_off_by_at_most": 0.05},
        "flood": floods,
        "saturation": saturated,
        "live": live_runs(&arguments).await?,
    });
    if arguments.json {
        println!("{record}");
    } else {
        println!("{record:#}");
    }
    Ok(())
}

/// A flood by a standard tenant, then every tier asking for more than there is.
async fn live_runs(arguments: &Arguments) -> Result<Value> {
    let lasting = Duration::from_secs(if arguments.quick {
        arguments.live_seconds.min(5)
    } else {
        arguments.live_seconds
    });
    let flooded = live(arguments.database, &flood(Tier::Standard), lasting).await?;
    let all = live(arguments.database, &saturation(), lasting).await?;
    let starts: f64 = all.iter().map(|one| count(one.starts_under_load)).sum();
    let shares: Vec<f64> = all.iter().map(|one| count(one.starts_under_load) / starts * 21.0).collect();
    let off = shares.iter().zip([1.0, 4.0, 16.0]).map(|(share, weight)| (share / weight - 1.0).abs());
    Ok(json!({
        "database": arguments.database.name(),
        "seconds": lasting.as_secs(),
        "flooded_by": "standard",
        "quiet_enterprise_wait": flooded.first().map(|quiet| quiet.waits.record()),
        "flood_refused": flooded.get(1).map(|flood| flood.refused),
        "saturated_shares_free_standard_enterprise": shares,
        "share_off_by_at_most": off.fold(0.0, f64::max),
        "free_longest_time_between_starts_ms": all.first().map(|free| milliseconds(free.longest_gap)),
    }))
}

async fn live(database: Kind, sources: &[Source], lasting: Duration) -> Result<Vec<Live>> {
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let database = Database::start(database, &data_dir)?;
    live::run(sources, &data_dir, database.place()?, lasting).await
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The worst figure of all seeds.
fn worst(order: Order, sources: &[Source], seconds: f64, seeds: u64, figure: impl Fn(&[Outcome]) -> f64) -> f64 {
    (0..seeds).map(|seed| figure(&simulate(order, sources, seconds, seed))).fold(0.0, f64::max)
}

/// How far a tier's share of what was spent is from 16:4:1 at most, and how long a free job waited at most.
fn shares(order: Order, seconds: f64, seeds: u64) -> (f64, f64) {
    let sources = saturation();
    let off = |outcome: &[Outcome]| {
        let total: f64 = outcome.iter().map(|one| one.spent).sum();
        let off = outcome
            .iter()
            .zip([1.0, 4.0, 16.0])
            .map(|(one, weight)| (one.spent / total * 21.0 / weight - 1.0).abs());
        off.fold(0.0, f64::max)
    };
    // A tier that asks for more than its share has a growing backlog whatever the order: what is bounded is the time between two starts.
    let between = |outcome: &[Outcome]| outcome.first().map_or(0.0, |free| free.longest_gap(seconds));
    (worst(order, &sources, seconds, seeds, off), worst(order, &sources, seconds, seeds, between))
}
