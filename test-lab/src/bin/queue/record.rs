//! The record of a run.

use std::time::Duration;

use serde_json::{Map, Value, json};
use test_lab::floor::Floor;
use test_lab::graphile_worker::Carried;
use test_lab::latency::{Latencies, milliseconds};

use crate::load::Round;
use crate::{Arguments, GENTLE_RATE, REPORT_BYTES, SPEC_BYTES};

/// Everything that was measured.
pub(crate) struct Measured {
    pub(crate) floors: Vec<Floor>,
    pub(crate) carried: Vec<Carried>,
    pub(crate) rounds: Vec<Round>,
    /// In the rounds.
    pub(crate) commits: u64,
    /// Statements and steps of transactions in the rounds.
    pub(crate) trips: u64,
    pub(crate) half: Latencies,
    pub(crate) gentle: Latencies,
    pub(crate) starts: Latencies,
}

/// As one document.
pub(crate) fn record(arguments: &Arguments, measured: &Measured, counted: &Value) -> Value {
    let Measured {
        floors,
        carried,
        rounds,
        commits,
        trips,
        half,
        gentle,
        starts,
    } = measured;
    let rate = rate_of(rounds);
    let jobs: u64 = rounds.iter().map(|round| round.jobs).sum();
    let mut acknowledged = Latencies::default();
    for round in rounds {
        acknowledged.absorb(round.acknowledged.clone());
    }
    let mut record = json!({
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
        "trips_a_job": per(*trips, jobs),
        "processor_us_a_job": microseconds_each(rounds.iter().map(|round| round.processor).sum(), jobs),
        "acknowledged_at_full_load": acknowledged.record(),
        "half_load_per_second": whole(rate / 2.0),
        "acknowledged_at_half_load": half.record(),
        "goal_acknowledged_at_half_load": {"p99_ms": 10},
        "gentle_load_per_second": GENTLE_RATE,
        "acknowledged_at_gentle_load": gentle.record(),
        "enqueue_to_start_at_gentle_load": starts.record(),
        "goal_enqueue_to_start": {"p99_ms": 5},
        "counted_back": counted,
    });
    if let (Some(members), Some(beside)) = (record.as_object_mut(), beside(floors, carried, rate)) {
        members.extend(beside);
    }
    record
}

/// What was measured in the same run, and how the queue compares with it.
fn beside(floors: &[Floor], carried: &[Carried], rate: f64) -> Option<Map<String, Value>> {
    let beside = if floors.is_empty() {
        let completed = median(carried.iter().map(Carried::completed_per_second).collect());
        let both = median(carried.iter().map(Carried::carried_per_second).collect());
        json!({
            "graphile_worker": {"completed_per_second": completed, "added_and_completed_per_second": both, "rounds": carried.len()},
            "share_of_graphile_worker_completing": rate / completed,
            "share_of_graphile_worker_adding_and_completing": rate / both,
            "goal_share_of_graphile_worker": 0.4,
        })
    } else {
        let floor = median(floors.iter().map(|floor| per_second(floor.rows, floor.took)).collect());
        json!({"floor": floor_record(floors, floor), "share_of_floor": rate / floor, "goal_share_of_floor": 0.38})
    };
    let measured = !(floors.is_empty() && carried.is_empty());
    beside.as_object().filter(|_| measured).cloned()
}

/// Jobs a second, over the rounds.
pub(crate) fn rate_of(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|round| per_second(round.jobs, round.took)).collect())
}

fn floor_record(floors: &[Floor], rate: f64) -> Value {
    let (rows, commits) = floors
        .iter()
        .fold((0, 0), |(rows, commits), floor| (rows + floor.rows, commits + floor.commits));
    let processor = microseconds_each(floors.iter().map(|floor| floor.processor).sum(), rows);
    json!({"rows": rows, "rows_per_second": rate, "commits": commits, "rows_a_commit": per(rows, commits), "processor_us_a_row": processor})
}

fn microseconds_each(took: Duration, of: u64) -> f64 {
    milliseconds(took) * 1_000.0 / per(of, 1)
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

/// A rate without its fraction.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small and not negative"
)]
pub(crate) const fn whole(rate: f64) -> u32 {
    rate as u32
}
