//! Series: each report's numbers once, roll-ups that can be computed again, samples that survive being sealed, tenants apart.

use std::collections::BTreeMap;

use control_core::series::{Contribution, Day, Detail, Good, Hour, Identity, Reading, Rollup, Sample, pack, series_max};
use shared_protocol::id::{AgentId, JobId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{Side, World, at, facts, random, report, system};
use crate::reports::Facts;
use crate::series::{self, Part, Registered, Roll, RolledUp, SeriesFilter, SeriesKey};
use crate::statement::Statement;
use crate::tx;

/// Registers and adds everything that is due, as the control plane does, at most `limit` reports at a time.
async fn roll_up(world: &World, limit: u32) -> u64 {
    let mut rolled = 0;
    let mut after = None;
    loop {
        let due = series::due(&mut world.reader().await, system(), after, limit).await.unwrap();
        if due.is_empty() {
            return rolled;
        }
        after = due.last().map(|row| row.job);
        let mut reports = Vec::new();
        for row in due {
            reports.push((row.job, resolved(world, &row.contribution).await));
        }
        rolled += world
            .write_series(move |tx| Box::pin(async move { series::roll(tx, system(), &reports).await }))
            .await
            .reports;
    }
}

async fn resolved(world: &World, contribution: &Contribution) -> Roll {
    let wanted = contribution.parts().map(|(identity, ..)| identity).collect();
    let registered = register(world, wanted).await;
    let parts = contribution.parts().filter_map(|(identity, value, detail)| {
        Some(Part {
            series: *registered.keys.get(&identity)?,
            identity,
            value,
            detail,
        })
    });
    Roll {
        at: contribution.at,
        good: contribution.good,
        parts: parts.collect(),
    }
}

async fn register(world: &World, wanted: Vec<Identity>) -> Registered {
    world
        .write_series(move |tx| Box::pin(async move { series::register(tx, system(), &wanted, at(0)).await }))
        .await
}

/// Runs a job and takes its report in, which counts at an instant and says so much.
async fn measured(world: &World, side: Side, seq: u64, measured_at: UnixMicros, loss: f64) -> JobId {
    let (_, job) = world.start(side).await;
    let mut incoming = report(job, seq);
    incoming.readable = Ok(Facts {
        readings: vec![Reading {
            name: "loss".into(),
            value: loss,
        }],
        ..facts(measured_at)
    });
    world.ingest(side, &incoming).await;
    job.job
}

fn own(side: Side) -> SeriesFilter {
    SeriesFilter {
        agent: Some(Some(side.agent)),
        ..SeriesFilter::default()
    }
}

async fn the_series(world: &World, side: Side, filter: &SeriesFilter) -> SeriesKey {
    let found = series::find(&mut world.reader().await, side.scope, filter, 9).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].key
}

async fn hours(world: &World, side: Side, key: SeriesKey) -> BTreeMap<Hour, Rollup> {
    let rows = series::rollups(&mut world.reader().await, side.scope, &[key], Hour(0), Hour(i64::MAX))
        .await
        .unwrap();
    rows.into_iter().map(|(_, hour, rollup)| (hour, rollup)).collect()
}

async fn samples(world: &World, side: Side, key: SeriesKey) -> Vec<Sample> {
    let rows = series::samples(&mut world.reader().await, side.scope, &[key], Day(0), Day(100_000))
        .await
        .unwrap();
    let mut all: Vec<Sample> = rows.into_iter().flat_map(|(_, samples)| samples).collect();
    all.sort_by_key(|sample| sample.at());
    all
}

#[tokio::test]
async fn a_reports_numbers_come_in_once_however_often_they_are_offered() {
    let world = World::new().await;
    let side = world.ours;
    measured(&world, side, 1, at(30), 0.25).await;
    let due = series::due(&mut world.reader().await, system(), None, 9).await.unwrap();
    assert_eq!(
        (due.len(), due[0].contribution.target.as_str(), due[0].contribution.probe.as_str()),
        (1, "127.0.0.1", "ping")
    );
    let reports = vec![(due[0].job, resolved(&world, &due[0].contribution).await)];
    for expected in [1, 0, 0] {
        let again = reports.clone();
        let rolled = world
            .write_series(move |tx| Box::pin(async move { series::roll(tx, system(), &again).await }))
            .await;
        assert_eq!(
            rolled,
            RolledUp {
                reports: expected,
                samples: expected * 3
            }
        );
    }
    let key = the_series(&world, side, &own(side)).await;
    let hours = hours(&world, side, key).await;
    assert_eq!(
        hours.values().map(|rollup| (rollup.n, rollup.ok, rollup.sum)).collect::<Vec<_>>(),
        [(1, 1, 0.25)]
    );
    assert_eq!(samples(&world, side, key).await, [Sample::new(at(30), 0.25)]);
}

/// A small generator: the test's own, so that a failure repeats.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[tokio::test]
async fn i9_roll_ups_equal_what_the_stored_reports_come_to() {
    let world = World::new().await;
    let side = world.ours;
    let mut dice = 7_u64;
    let mut expected: BTreeMap<Hour, Rollup> = BTreeMap::new();
    let mut raw = Vec::new();
    for seq in 1..=60 {
        // Some come late, for an hour that was sealed long ago.
        let measured_at = at(i64::try_from(next(&mut dice) % 40_000).unwrap());
        let loss = f64::from(u32::try_from(next(&mut dice) % 101).unwrap()) / 100.0;
        measured(&world, side, seq, measured_at, loss).await;
        expected.entry(Hour::of(measured_at)).or_default().add(loss, Good::Yes);
        raw.push(Sample::new(measured_at, loss));
        match next(&mut dice) % 6 {
            0 => {
                roll_up(&world, 4).await;
            }
            1 => {
                roll_up(&world, 50).await;
                let before = Hour::of(at(i64::try_from(next(&mut dice) % 40_000).unwrap()));
                world
                    .write_series(move |tx| Box::pin(async move { series::seal(tx, system(), before, 3).await }))
                    .await;
            }
            2 => {
                // The control plane falls over between two commits: what was not rolled up is still due.
                let due = series::due(&mut world.reader().await, system(), None, 2).await.unwrap();
                for row in due {
                    resolved(&world, &row.contribution).await;
                }
            }
            _ => {}
        }
    }
    roll_up(&world, 7).await;
    let key = the_series(&world, side, &own(side)).await;
    let stored = hours(&world, side, key).await;
    assert_eq!(stored.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (hour, rollup) in &expected {
        let found = &stored[hour];
        assert!((found.sum - rollup.sum).abs() < 1e-9, "{hour:?}: {} for {}", found.sum, rollup.sum);
        assert_eq!(
            Rollup {
                sum: rollup.sum,
                ..found.clone()
            },
            *rollup,
            "{hour:?}"
        );
    }
    raw.sort_by(|left, right| (left.at(), left.value()).partial_cmp(&(right.at(), right.value())).unwrap());
    for before in [Hour(0), Hour(i64::MAX)] {
        world
            .write_series(move |tx| Box::pin(async move { series::seal(tx, system(), before, 999).await }))
            .await;
        let mut kept = samples(&world, side, key).await;
        kept.sort_by(|left, right| (left.at(), left.value()).partial_cmp(&(right.at(), right.value())).unwrap());
        assert_eq!(kept, raw);
    }
    let all = SeriesFilter {
        agent: Some(None),
        target: Some(String::new()),
        ..SeriesFilter::default()
    };
    let tenant_wide = hours(&world, side, the_series(&world, side, &all).await).await;
    assert_eq!(
        tenant_wide.values().map(|rollup| rollup.n).sum::<u64>(),
        60,
        "the tenant's own roll-up holds them as well"
    );
}

#[tokio::test]
async fn the_latest_value_is_the_latest_measured_not_the_latest_received() {
    let world = World::new().await;
    let side = world.ours;
    for (seq, second, loss) in [(1, 100, 0.1), (2, 200, 0.2), (3, 150, 0.3)] {
        measured(&world, side, seq, at(second), loss).await;
        roll_up(&world, 9).await;
    }
    let latest = series::latest(&mut world.reader().await, side.scope, &SeriesFilter::default(), None, 9)
        .await
        .unwrap();
    let seen: Vec<_> = latest
        .iter()
        .map(|row| (row.series.identity.target.as_str(), row.at, row.value, row.good))
        .collect();
    assert_eq!(seen, [("127.0.0.1", at(200), 0.2, Good::Yes)]);
    let after = series::latest(&mut world.reader().await, side.scope, &SeriesFilter::default(), Some(latest[0].series.key), 9)
        .await
        .unwrap();
    assert!(after.is_empty());
}

#[tokio::test]
async fn aut_02_series_are_their_tenants_alone() {
    let world = World::new().await;
    measured(&world, world.ours, 1, at(30), 0.25).await;
    roll_up(&world, 9).await;
    let key = the_series(&world, world.ours, &own(world.ours)).await;
    let foreign = world.theirs;
    assert!(
        series::find(&mut world.reader().await, foreign.scope, &SeriesFilter::default(), 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        series::latest(&mut world.reader().await, foreign.scope, &SeriesFilter::default(), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(hours(&world, foreign, key).await.is_empty());
    assert!(samples(&world, foreign, key).await.is_empty());
}

#[tokio::test]
async fn res_09_a_tenant_has_as_many_series_as_its_tier_allows() {
    let world = World::new().await;
    let side = world.ours;
    let identity = |n: u32| Identity {
        tenant: side.tenant,
        agent: Some(AgentId::new(at(0), random())),
        target: format!("host-{n}.example"),
        probe: "ping".to_owned(),
        name: "loss".to_owned(),
    };
    let max = series_max(Tier::Free);
    let wanted: Vec<_> = (0..max + 5).map(&identity).collect();
    let first = wanted[0].clone();
    let registered = register(&world, wanted).await;
    assert_eq!((registered.keys.len(), registered.refused), (usize::try_from(max).unwrap(), 5));
    let again = register(&world, vec![first.clone(), identity(9_999)]).await;
    assert_eq!((again.keys.len(), again.refused), (1, 1), "those there are stay");
    assert_eq!(again.keys[&first], registered.keys[&first]);
    let theirs = Identity {
        tenant: world.theirs.tenant,
        ..identity(1)
    };
    assert_eq!(register(&world, vec![theirs]).await.refused, 0, "another tenant's room is its own");
}

/// Nothing, in a series of what the agent sees of its own host.
async fn of_the_host(world: &World, side: Side) -> Part {
    let identity = Identity {
        tenant: side.tenant,
        agent: Some(side.agent),
        target: String::new(),
        probe: Contribution::AGENT.to_owned(),
        name: "cpu_percent".to_owned(),
    };
    Part {
        series: register(world, vec![identity.clone()]).await.keys[&identity],
        identity,
        value: 0.0,
        detail: Detail::Samples,
    }
}

#[tokio::test]
async fn numbers_of_every_size_come_back_as_they_were() {
    let world = World::new().await;
    let side = world.ours;
    let part = of_the_host(&world, side).await;
    let values = [0.1 + 0.2, 1.0 / 3.0, -1e-7, 1e300, f64::MIN_POSITIVE, 12_345_678.901_234_5, 2.0_f64.powi(60)];
    let rolls: Vec<Roll> = (0_i64..)
        .zip(values)
        .map(|(hour, value)| Roll {
            at: at(hour * 3_600),
            good: Good::No,
            parts: vec![Part { value, ..part.clone() }],
        })
        .collect();
    world
        .write_series(move |tx| Box::pin(async move { series::add(tx, system(), &rolls).await }))
        .await;
    let stored: Vec<f64> = hours(&world, side, part.series).await.into_values().map(|rollup| rollup.max).collect();
    assert_eq!(stored, values);
    let samples: Vec<f64> = samples(&world, side, part.series).await.into_iter().map(Sample::value).collect();
    assert_eq!(samples, values);
}

#[tokio::test]
async fn samples_that_come_a_few_at_a_time_are_all_there_open_and_sealed() {
    let world = World::new().await;
    let side = world.ours;
    let part = of_the_host(&world, side).await;
    // More than are left one behind the other before they are packed anew, every tenth of them later than the next, bytes of all kinds among them.
    let mut state = 7;
    let all: Vec<(UnixMicros, f64)> = (0_i64..1_000)
        .map(|second| {
            let value = f64::from(u32::try_from(next(&mut state) % 1_000).unwrap());
            (at(if second % 10 == 0 { second + 15 } else { second }), value / 7.0)
        })
        .collect();
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let (few, later) = rest.split_at(rest.len().min(1 + usize::try_from(next(&mut state) % 9).unwrap()));
        rest = later;
        let rolls: Vec<Roll> = few
            .iter()
            .map(|(at, value)| Roll {
                at: *at,
                good: Good::Yes,
                parts: vec![Part { value: *value, ..part.clone() }],
            })
            .collect();
        world
            .write_series(move |tx| Box::pin(async move { series::add(tx, system(), &rolls).await }))
            .await;
    }
    assert_eq!(hours(&world, side, part.series).await.into_values().map(|rollup| rollup.n).sum::<u64>(), 1_000);
    let ordered = |mut samples: Vec<Sample>| {
        samples.sort_by(|one, other| (one.at(), one.value()).partial_cmp(&(other.at(), other.value())).unwrap());
        samples
    };
    let expected = ordered(all.iter().map(|(at, value)| Sample::new(*at, *value)).collect());
    assert_eq!(ordered(samples(&world, side, part.series).await), expected);
    let bytes = tx::all(
        &mut world.reader().await,
        Statement::own("SELECT CAST(length(samples) AS BIGINT) AS bytes FROM rollup_1h"),
        |row| row.number::<i64>("bytes"),
    )
    .await
    .unwrap();
    let packed = i64::try_from(pack(&expected).len()).unwrap();
    assert!(
        bytes[0] > packed && bytes[0] < packed + 1_000,
        "{bytes:?}: the last come loose, the others packed, as {packed}"
    );
    let sealed = world
        .write_series(|tx| Box::pin(async move { series::seal(tx, system(), Hour(i64::MAX), 100).await }))
        .await;
    assert_eq!(sealed, 1);
    assert_eq!(ordered(samples(&world, side, part.series).await), expected);
}
