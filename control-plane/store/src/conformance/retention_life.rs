//! Reports found again by what they say, and let go in time.

use control_core::series::{Day, Hour, Retention};
use shared_protocol::fault::{Fault, Status};
use shared_protocol::id::{JobId, MeasurementId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{Side, World, at, facts, report, system};
use crate::jobs::{self, NewMeasurement};
use crate::reports::{self, Facts, ReportFilter};
use crate::{Page, retention};

/// A report of a new measurement of a target, at a time.
async fn reported(world: &World, side: Side, seq: u64, created_at: UnixMicros, target: &str, facts: Facts) -> (MeasurementId, JobId) {
    let (template, template_jobs) = super::new_measurement(side.agent, Tier::Free, 1);
    let measurement = NewMeasurement {
        id: MeasurementId::new(created_at, super::random()),
        spec: serde_json::json!({"probe": "ping", "target": target}),
        created_at,
        ..template
    };
    let job = jobs::NewJob {
        id: JobId::new(created_at, super::random()),
        ..template_jobs[0].clone()
    };
    let ids = (measurement.id, job.id);
    world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs: vec![job],
            idempotency: None,
        })
        .await;
    let leased = world.lease(side, ids.1).await.unwrap();
    let reference = shared_protocol::id::JobRef {
        job: ids.1,
        attempt: leased.attempt,
    };
    let mut incoming = report(reference, seq);
    incoming.readable = Ok(facts);
    world.ingest(side, &incoming).await;
    ids
}

fn saying(status: Status, fault: Fault) -> Facts {
    Facts {
        status,
        fault,
        ..facts(at(30))
    }
}

async fn found(world: &World, side: Side, filter: &ReportFilter) -> Vec<JobId> {
    let rows = reports::history(&mut world.reader().await, side.scope, filter, &Page::first(99)).await.unwrap();
    rows.into_iter().map(|row| row.report.job).collect()
}

#[tokio::test]
async fn reports_are_found_by_what_they_are_about_and_what_they_say() {
    let world = World::new().await;
    let side = world.ours;
    let (measurement, first) = reported(&world, side, 1, at(0), "a.example", saying(Status::Ok, Fault::None)).await;
    let (_, second) = reported(&world, side, 2, at(100), "b.example", saying(Status::Timeout, Fault::Path)).await;
    let (_, third) = reported(&world, side, 3, at(200), "a.example", saying(Status::Failed, Fault::Target)).await;
    reported(&world, world.theirs, 1, at(150), "a.example", saying(Status::Ok, Fault::None)).await;
    let all = ReportFilter::default();
    assert_eq!(found(&world, side, &all).await, [third, second, first], "newest first");
    let agent = Some(side.agent);
    for (filter, expected) in [
        (ReportFilter { agent, ..all.clone() }, vec![third, second, first]),
        (
            ReportFilter {
                agent: Some(world.theirs.agent),
                ..all.clone()
            },
            vec![],
        ),
        (
            ReportFilter {
                measurement: Some(measurement),
                ..all.clone()
            },
            vec![first],
        ),
        (
            ReportFilter {
                target: Some("a.example".to_owned()),
                ..all.clone()
            },
            vec![third, first],
        ),
        (
            ReportFilter {
                target: Some("%".to_owned()),
                ..all.clone()
            },
            vec![],
        ),
        (
            ReportFilter {
                probe: Some("ping".to_owned()),
                ..all.clone()
            },
            vec![third, second, first],
        ),
        (
            ReportFilter {
                probe: Some("dns".to_owned()),
                ..all.clone()
            },
            vec![],
        ),
        (
            ReportFilter {
                status: Some(Status::Timeout),
                ..all.clone()
            },
            vec![second],
        ),
        (
            ReportFilter {
                status: Some(Status::Ok),
                ..all.clone()
            },
            vec![first],
        ),
        (
            ReportFilter {
                fault: Some(Fault::Target),
                ..all.clone()
            },
            vec![third],
        ),
        (
            ReportFilter {
                late: Some(true),
                ..all.clone()
            },
            vec![],
        ),
        (
            ReportFilter {
                late: Some(false),
                ..all.clone()
            },
            vec![third, second, first],
        ),
        (
            ReportFilter {
                from: Some(at(100)),
                ..all.clone()
            },
            vec![third, second],
        ),
        (
            ReportFilter {
                to: Some(at(100)),
                ..all.clone()
            },
            vec![first],
        ),
        (
            ReportFilter {
                from: Some(at(1)),
                to: Some(at(200)),
                agent,
                target: Some("b.example".to_owned()),
                ..all.clone()
            },
            vec![second],
        ),
    ] {
        assert_eq!(found(&world, side, &filter).await, expected, "{filter:?}");
    }
    let page = Page { after: Some(second), limit: 9 };
    let rows = reports::history(&mut world.reader().await, side.scope, &all, &page).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.report.job).collect::<Vec<_>>(), [first]);
    assert_eq!((rows[0].target.as_str(), rows[0].measured_at, rows[0].skewed), ("a.example", at(30), false));
    let one = reports::of_job_with_facts(&mut world.reader().await, side.scope, third).await.unwrap().unwrap();
    assert_eq!(one.target, "a.example");
    assert!(
        reports::of_job_with_facts(&mut world.reader().await, world.theirs.scope, third)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn dbf_13_reports_leave_in_small_commits_and_others_write_between() {
    let world = World::new().await;
    let side = world.ours;
    for seq in 1..=25 {
        reported(&world, side, seq, at(i64::try_from(seq).unwrap()), "a.example", saying(Status::Ok, Fault::None)).await;
    }
    let (_, kept) = reported(&world, side, 26, at(1_000), "a.example", saying(Status::Ok, Fault::None)).await;
    let (_, open) = world.accept(side).await;
    // Seven days after the twenty-fifth was accepted, and then some.
    let below = Retention::of(Tier::Free, 7).cutoff(at(7 * 86_400 + 500)).jobs_below;
    let mut seen = Vec::new();
    loop {
        let gone = world
            .write(move |tx| Box::pin(async move { retention::reports(tx, system(), Tier::Free, below, 10).await }))
            .await;
        seen.push(gone);
        world.accept(side).await;
        if gone < 10 {
            break;
        }
    }
    assert_eq!(seen, [10, 10, 5], "never more than asked for at once");
    let gone = world
        .write(move |tx| Box::pin(async move { retention::jobs(tx, system(), Tier::Free, below, 100).await }))
        .await;
    assert_eq!(gone, 25, "an open job is not touched, however old");
    let untouched = world
        .write(move |tx| Box::pin(async move { retention::reports(tx, system(), Tier::Enterprise, uuid::Uuid::max(), 10).await }))
        .await;
    assert_eq!(untouched, 0, "another class has its own time");
    assert_eq!(found(&world, side, &ReportFilter::default()).await, [kept]);
    let mut reader = world.reader().await;
    assert!(jobs::job(&mut reader, side.scope, open).await.unwrap().is_some());
    let measurements = jobs::measurements(&mut reader, side.scope, &Page::first(99)).await.unwrap();
    assert_eq!(measurements.len(), 5, "the kept one's, the open one's, and the three accepted meanwhile");
    world.write(|tx| Box::pin(async move { retention::vacuum(tx, system()).await })).await;
}

#[tokio::test]
async fn series_leave_by_their_tenants_tier_and_the_dead_ones_for_good() {
    let world = World::new().await;
    for side in [world.ours, world.theirs] {
        reported(&world, side, 1, at(0), "a.example", saying(Status::Ok, Fault::None)).await;
    }
    let due = crate::series::due(&mut world.reader().await, system(), None, 9).await.unwrap();
    for row in due {
        let contribution = row.contribution.clone();
        world
            .write_series(move |tx| {
                Box::pin(async move {
                    let wanted: Vec<_> = contribution.parts().map(|(identity, ..)| identity).collect();
                    let keys = crate::series::register(tx, system(), &wanted, at(0)).await?.keys;
                    let parts = contribution.parts().map(|(identity, value, detail)| crate::series::Part {
                        series: keys[&identity],
                        identity,
                        value,
                        detail,
                    });
                    let roll = crate::series::Roll {
                        at: contribution.at,
                        good: contribution.good,
                        parts: parts.collect(),
                    };
                    crate::series::roll(tx, system(), &[(row.job, roll)]).await?;
                    crate::series::seal(tx, system(), Hour(i64::MAX), 99).await
                })
            })
            .await;
    }
    let first = crate::series::SeriesKey(0);
    let last = retention::series_after(&mut world.reader().await, system(), first, 99).await.unwrap().unwrap();
    assert_eq!(retention::series_after(&mut world.reader().await, system(), last, 99).await.unwrap(), None);
    let (days, hours, dead) = world
        .write_series(move |tx| {
            Box::pin(async move {
                let days = retention::days(tx, system(), Tier::Free, (first, last), Day(i64::MAX), 99).await?;
                let hours = retention::hours(tx, system(), Tier::Free, (first, last), Hour(i64::MAX), 99).await?;
                let dead = crate::series::forget_dead(tx, system(), at(1), 99).await?;
                Ok((days, hours, dead.len()))
            })
        })
        .await;
    assert_eq!(
        (days, hours, dead),
        (1, 3, 3),
        "one series holds samples, the target's and the tenant's hours only"
    );
    let filter = crate::series::SeriesFilter::default();
    assert!(
        crate::series::latest(&mut world.reader().await, world.ours.scope, &filter, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        crate::series::find(&mut world.reader().await, world.theirs.scope, &filter, 9)
            .await
            .unwrap()
            .len(),
        3
    );
}
