//! Bench: how long the questions of dashboards take over 30 days of 10,000 series that the store's own functions wrote.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use control_core::authorize::{Action, Principal, Resource, Scopes, SystemScope, TenantScope, authorize};
use control_core::series::{Day, Detail, Good, Hour, Identity, Plan, Source, of_rollups, of_samples, pack, unpack};
use control_store::series::{self, Part, Roll, SeriesFilter, SeriesKey};
use control_store::tenants::{self, NewTenant};
use control_store::{Store, StoreOptions};
use serde_json::{Value, json};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;
use test_lab::clock;

#[derive(Parser)]
struct Arguments {
    /// 600 series of 5 days.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// How much is loaded and asked.
struct Size {
    /// Agents of the one large tenant, each with [`METRICS`].
    fleet: usize,
    /// Tenants with ten agents each.
    tenants: usize,
    days: i64,
    questions: usize,
}

/// One tenant and its series.
struct Loaded {
    scope: TenantScope,
    keys: Vec<SeriesKey>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let size = if arguments.quick {
        Size {
            fleet: 60,
            tenants: 6,
            days: 5,
            questions: 200,
        }
    } else {
        Size {
            fleet: 1_000,
            tenants: 100,
            days: 30,
            questions: 1_000,
        }
    };
    let directory = tempfile::tempdir().context("make a directory for the database")?;
    let file = directory.path().join("query.db");
    let store = Store::open(&file, StoreOptions::default()).await.context("open the database")?;
    let begun = clock::start();
    let fleet = load(&store, 0, size.fleet, size.days).await?;
    let mut others = Vec::new();
    for n in 0..size.tenants {
        others.push(load(&store, n + 1, AGENTS_OF_A_TENANT, size.days).await?);
    }
    let loaded = begun.elapsed();
    let result = measure(&store, &size, &fleet, &others).await?;
    let bytes = std::fs::metadata(&file).context("read the size of the database")?.len();
    store.close().await;
    let document = json!({
        "bench": "query",
        "database": "sqlite",
        "series": fleet.keys.len() + others.iter().map(|tenant| tenant.keys.len()).sum::<usize>(),
        "days": size.days,
        "samples_an_hour": SAMPLES_AN_HOUR,
        "loaded_in_s": loaded.as_secs(),
        "goal_p99_us": GOAL.as_micros().to_string().parse::<u64>()?,
        "one_series_all_days_from_hours_us": result.hours,
        "one_series_one_day_from_samples_us": result.samples,
        "overview_of_a_tenant_us": result.overview,
        "latest_state_of_the_fleet_us": result.state,
        "latest_state_agents": size.fleet,
        "every_latest_value_of_the_fleet_us": result.everything,
        "every_latest_value_count": fleet.keys.len(),
        "bytes_a_sample_of_packed_minutes": packed_minutes(),
        "database_bytes_an_hour_of_a_series": bytes / u64::try_from((fleet.keys.len() + others.len() * AGENTS_OF_A_TENANT * METRICS.len()).max(1))? / u64::try_from(size.days * 24)?,
    });
    if arguments.json {
        println!("{document}");
    } else {
        println!("{document:#}");
    }
    Ok(())
}

/// Times of each kind of question.
struct Times {
    hours: Value,
    samples: Value,
    overview: Value,
    state: Value,
    everything: Value,
}

async fn measure(store: &Store, size: &Size, fleet: &Loaded, others: &[Loaded]) -> Result<Times> {
    let (first, last) = (Hour(FIRST_HOUR), Hour(FIRST_HOUR + size.days * 24));
    let month = Plan {
        from: first.start(),
        to: last.start(),
        step: Duration::from_hours(6),
        source: Source::Hours,
    };
    let day = Plan {
        from: Hour(FIRST_HOUR + 24).start(),
        to: Hour(FIRST_HOUR + 48).start(),
        step: Duration::from_mins(15),
        source: Source::Samples,
    };
    let (mut hours, mut samples, mut overview, mut state, mut everything) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut dice = 1_usize;
    for n in 0..size.questions {
        dice = dice.wrapping_mul(25_214_903_917).wrapping_add(11);
        let key = *fleet.keys.get((dice >> 16) % fleet.keys.len()).context("a series")?;
        let tenant = others.get((dice >> 20) % others.len()).context("a tenant")?;
        // A question takes a reading connection each time, as a request does.
        let begun = clock::start();
        let rows = series::rollups(&mut store.reader().await?, fleet.scope, &[key], first, last).await?;
        let rollups: Vec<_> = rows.into_iter().map(|(_, hour, rollup)| (hour, rollup)).collect();
        let points = of_rollups(&month, &rollups);
        hours.push(begun.elapsed());
        anyhow::ensure!(points.len() == usize::try_from(size.days * 4)?, "{} points", points.len());

        let begun = clock::start();
        let rows = series::samples(&mut store.reader().await?, fleet.scope, &[key], Day::of(day.from), Day::of(day.from)).await?;
        let mut found: Vec<_> = rows.into_iter().flat_map(|(_, samples)| samples).collect();
        found.sort_by_key(|sample| sample.at());
        let points = of_samples(&day, &found);
        samples.push(begun.elapsed());
        anyhow::ensure!(!points.is_empty(), "no samples");

        let begun = clock::start();
        let rows = series::latest(&mut store.reader().await?, tenant.scope, &SeriesFilter::default(), None, 1_000).await?;
        overview.push(begun.elapsed());
        anyhow::ensure!(rows.len() == AGENTS_OF_A_TENANT * METRICS.len(), "{} values", rows.len());

        if n % 5 == 0 {
            let one = SeriesFilter {
                name: Some("ok".to_owned()),
                ..SeriesFilter::default()
            };
            let begun = clock::start();
            let rows = series::latest(&mut store.reader().await?, fleet.scope, &one, None, u32::try_from(size.fleet)?).await?;
            state.push(begun.elapsed());
            anyhow::ensure!(rows.len() == size.fleet, "{} agents", rows.len());
            let begun = clock::start();
            series::latest(&mut store.reader().await?, fleet.scope, &SeriesFilter::default(), None, 100_000).await?;
            everything.push(begun.elapsed());
        }
    }
    Ok(Times {
        hours: percentiles(hours),
        samples: percentiles(samples),
        overview: percentiles(overview),
        state: percentiles(state),
        everything: percentiles(everything),
    })
}

/// Makes a tenant with agents whose metrics have samples each hour of all days, and seals them.
async fn load(store: &Store, n: usize, agents: usize, days: i64) -> Result<Loaded> {
    let start = Hour(FIRST_HOUR).start();
    let tenant = TenantId::new(start, seed(1, n));
    let new = NewTenant {
        id: tenant,
        name: format!("tenant {n}"),
        tier: Tier::Enterprise,
        created_at: start,
    };
    store.write(move |tx| Box::pin(async move { tenants::create(tx, SYSTEM, &new).await })).await?;
    let identities: Vec<Identity> = (0..agents)
        .flat_map(|agent| {
            METRICS.map(|name| Identity {
                tenant,
                agent: Some(AgentId::new(start, seed(2, n * 100_000 + agent))),
                target: "service.example".to_owned(),
                probe: "ping".to_owned(),
                name: name.to_owned(),
            })
        })
        .collect();
    let mut keys = Vec::with_capacity(identities.len());
    for slice in identities.chunks(SERIES_PER_COMMIT) {
        let wanted = slice.to_vec();
        let registered = store
            .write(move |tx| Box::pin(async move { series::register(tx, SYSTEM, &wanted, start).await }))
            .await?;
        let mut parts = Vec::with_capacity(slice.len());
        for (row, identity) in slice.iter().enumerate() {
            let series = *registered.keys.get(identity).context("a series found no room")?;
            keys.push(series);
            parts.push((series, identity.clone(), row));
        }
        for hour in 0..days * 24 {
            let rolls: Vec<Roll> = (0..SAMPLES_AN_HOUR).map(|sample| roll(hour, sample, &parts)).collect();
            store.write(move |tx| Box::pin(async move { series::add(tx, SYSTEM, &rolls).await })).await?;
            if hour % 24 == 23 {
                while store
                    .write(|tx| Box::pin(async move { series::seal(tx, SYSTEM, Hour(i64::MAX), 500).await }))
                    .await?
                    == 500
                {}
            }
        }
    }
    let principal = Principal::Key {
        key: "bench".to_owned(),
        tenant,
        tier: Tier::Enterprise,
        scopes: Scopes::ALL,
    };
    let grant = authorize(&principal, Action::MeasurementRead, Resource::OwnTenant)?;
    Ok(Loaded { scope: grant.scope()?, keys })
}

/// One sample of each series, with values as networks have them: near the one before.
fn roll(hour: i64, sample: i64, parts: &[(SeriesKey, Identity, usize)]) -> Roll {
    let at_us = Hour(FIRST_HOUR + hour).start().micros() + sample * (3_600_000_000 / SAMPLES_AN_HOUR) + (hour * 7_919 % 40) * 1_000;
    let part = |(series, identity, row): &(SeriesKey, Identity, usize)| {
        let noise = u32::try_from((row * 131 + usize::try_from(hour * 4 + sample).unwrap_or(0) * 7_919) % 400).unwrap_or(0);
        Part {
            series: *series,
            identity: identity.clone(),
            value: if identity.name == "ok" { 1.0 } else { f64::from(20_000 + noise) },
            detail: Detail::Samples,
        }
    };
    Roll {
        at: UnixMicros::from_micros(at_us),
        good: Good::Yes,
        parts: parts.iter().map(part).collect(),
    }
}

/// What a sample takes in a day of minute samples of a round-trip time, bytes.
fn packed_minutes() -> f64 {
    let samples: Vec<_> = (0..1_440_i64)
        .map(|minute| {
            let at = UnixMicros::from_micros(minute * 60_000_000 + minute * 7_919 % 40 * 1_000);
            control_core::series::Sample::new(at, f64::from(20_000 + u32::try_from(minute * 131 % 400).unwrap_or(0)))
        })
        .collect();
    let bytes = pack(&samples);
    let read = unpack(&bytes).map_or(1, |samples| samples.len());
    f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX)) / f64::from(u32::try_from(read).unwrap_or(1))
}

fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
            .map(|time| time.as_micros().to_string().parse::<u64>().unwrap_or(u64::MAX))
    };
    json!({"p50": at(50), "p99": at(99), "max": at(100), "n": times.len()})
}

fn seed(kind: u8, n: usize) -> [u8; 10] {
    let mut bytes = [kind; 10];
    for (byte, of_n) in bytes.iter_mut().zip(n.to_be_bytes()) {
        *byte = of_n;
    }
    bytes
}

const SYSTEM: SystemScope = SystemScope::for_own_work();
const METRICS: [&str; 5] = ["ok", "loss", "rtt_avg_us", "rtt_p95_us", "jitter_us"];
const AGENTS_OF_A_TENANT: usize = 10;
/// Samples of each series an hour; dashboards read hours, so more of them change the load, not the answers.
const SAMPLES_AN_HOUR: i64 = 4;
const SERIES_PER_COMMIT: usize = 500;
/// Some midnight.
const FIRST_HOUR: i64 = 24 * 20_000;
const GOAL: Duration = Duration::from_millis(10);
