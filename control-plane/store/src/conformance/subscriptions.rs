//! Quotas, usage, and earlier answers to the same question.

use control_core::quota::{Counted, Quota, Span, Spans};

use super::*;
use crate::jobs::{CachedReport, JobState};
use crate::usage::Used;
use crate::{Page, quota, reports, usage};

async fn ask(world: &World, side: Side, seconds: i64, limits: Quota) -> Enqueued {
    let (mut measurement, jobs) = new_measurement(side.agent, Tier::Standard, 1);
    measurement.created_at = at(seconds);
    measurement.caps.quota = limits;
    world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs,
            idempotency: None,
        })
        .await
}

async fn used(world: &World, side: Side) -> Used {
    let days = usage::days(&mut world.reader().await, side.scope, 0, i64::MAX).await.unwrap();
    days.iter().fold(Used::default(), |sum, row| sum.plus(row.used))
}

#[tokio::test]
async fn api_09_a_quota_is_exact_in_each_of_its_spans_and_begins_anew_with_the_next() {
    let world = World::new().await;
    let ours = world.ours;
    let limits = |hour, day, month| Quota { hour, day, month };
    for _ in 0..3 {
        assert_eq!(ask(&world, ours, 0, limits(3, 9, 9)).await, QUEUED);
    }
    assert_eq!(ask(&world, ours, 0, limits(3, 9, 9)).await, Enqueued::OverQuota(Span::Hour));
    assert_eq!(ask(&world, world.theirs, 0, limits(3, 9, 9)).await, QUEUED, "another tenant has its own");
    let counted = quota::so_far(&world.store, ours.scope, Spans::of(at(0))).await.unwrap();
    assert_eq!(counted, Counted { hour: 3, day: 3, month: 3 });
    let next = Spans::of(at(3_600));
    for counted in [
        quota::so_far(&world.store, ours.scope, next).await.unwrap(),
        quota::on_disk(&mut world.reader().await, ours.scope, next).await.unwrap(),
    ] {
        assert_eq!(counted, Counted { hour: 0, day: 3, month: 3 }, "as of the next hour");
    }

    let next_hour = 3_600;
    assert_eq!(ask(&world, ours, next_hour, limits(3, 4, 9)).await, QUEUED);
    assert_eq!(ask(&world, ours, next_hour, limits(3, 4, 9)).await, Enqueued::OverQuota(Span::Day));
    assert_eq!(
        ask(&world, ours, 0, limits(1, 9, 9)).await,
        Enqueued::OverQuota(Span::Hour),
        "a clock that goes back frees nothing"
    );
    let next_day = 86_400;
    assert_eq!(ask(&world, ours, next_day, limits(3, 4, 5)).await, QUEUED);
    assert_eq!(ask(&world, ours, next_day, limits(3, 4, 5)).await, Enqueued::OverQuota(Span::Month));
    assert_eq!(ask(&world, ours, 31 * 86_400, limits(3, 4, 5)).await, QUEUED);
    assert_eq!(used(&world, ours).await.measurements, 6, "what is refused is not counted");
}

#[tokio::test]
async fn i5_the_usage_counters_are_the_counts_of_the_jobs_whatever_became_of_them() {
    let world = World::new().await;
    let side = world.ours;
    let (_, completed) = world.start(side).await;
    world.ingest(side, &report(completed, 1)).await;
    world.ingest(side, &report(completed, 1)).await;
    let (_, late) = world.start(side).await;
    world.end(late.job, None, End::Expired, Some("no_answer")).await;
    world.ingest(side, &report(late, 2)).await;
    let (_, bad) = world.start(side).await;
    let unreadable = IncomingReport {
        readable: Err("not a report".to_owned()),
        ..report(bad, 3)
    };
    world.ingest(side, &unreadable).await;
    let (_, queued) = world.accept(side).await;
    let cancelled = world
        .write(move |tx| Box::pin(async move { jobs::request_cancel(tx, side.scope, queued, at(60)).await }))
        .await;
    assert!(matches!(cancelled, jobs::CancelOutcome::Ended(_)));
    let (_, refused) = world.accept(side).await;
    assert!(world.end(refused, None, End::Refused, None).await.is_some());
    assert!(
        world.end(refused, None, End::Expired, None).await.is_none(),
        "an end never changes, nor is it counted again"
    );
    world.accept(side).await;

    let all = jobs::jobs(&mut world.reader().await, side.scope, jobs::JobFilter::default(), &Page::first(100))
        .await
        .unwrap();
    let ended = |end: End| u64::try_from(all.iter().filter(|job| job.state == JobState::Ended(end)).count()).unwrap();
    let of_others = used(&world, world.theirs).await;
    let used = used(&world, side).await;
    let bytes = u64::try_from(report(completed, 1).body.len()).unwrap();
    assert_eq!(
        used,
        Used {
            measurements: 6,
            jobs: u64::try_from(all.len()).unwrap(),
            cached_jobs: 0,
            cost: all.iter().map(|job| u64::from(job.cost)).sum(),
            completed: ended(End::Completed),
            failed: ended(End::Failed),
            expired: ended(End::Expired),
            cancelled: ended(End::Cancelled),
            refused: ended(End::Refused),
            agent_us: 3 * 1_500_000,
            report_bytes: 3 * bytes,
        }
    );
    assert_eq!((used.completed, used.failed, used.expired, used.cancelled, used.refused), (1, 1, 1, 1, 1));
    assert_eq!(of_others, Used::default());
}

#[tokio::test]
async fn an_equal_question_of_the_same_tenant_and_agent_is_answered_from_its_last_report() {
    let world = World::new().await;
    let side = world.ours;
    let (_, first) = world.start(side).await;
    let (asked, _) = new_measurement(side.agent, Tier::Free, 1);
    let find = async |scope, hash: u8, agent: AgentId, since: i64| {
        let question = (&asked.spec, [hash; 32]);
        jobs::cached(&mut world.reader().await, scope, question, &[agent, agent], at(since))
            .await
            .unwrap()
    };
    assert_eq!(find(side.scope, 1, side.agent, 0).await, [], "nothing is reported yet");
    world.ingest(side, &report(first, 1)).await;
    let found = find(side.scope, 1, side.agent, 40).await;
    assert_eq!(
        found,
        [CachedReport {
            agent: side.agent,
            job: first.job,
            retention_class: Tier::Free
        }]
    );
    assert_eq!(find(side.scope, 1, side.agent, 41).await, [], "too old");
    assert_eq!(find(side.scope, 2, side.agent, 40).await, [], "another question");
    assert_eq!(find(side.scope, 1, world.theirs.agent, 40).await, [], "another agent");
    assert_eq!(find(world.theirs.scope, 1, side.agent, 40).await, [], "another tenant");

    let (mut measurement, mut new) = new_measurement(side.agent, Tier::Standard, 1);
    measurement.created_at = at(45);
    new[0].cached_from = found.first().copied();
    let (id, job) = (measurement.id, new[0].id);
    world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs: new,
            idempotency: None,
        })
        .await;
    let row = jobs::job(&mut world.reader().await, side.scope, job).await.unwrap().unwrap();
    assert_eq!((row.state, row.cached, row.ended_at), (JobState::Ended(End::Completed), true, Some(at(45))));
    assert!(!jobs::has_open_jobs(&mut world.reader().await, system(), id).await.unwrap());
    let reports = reports::of_measurement(&mut world.reader().await, side.scope, id, &Page::first(9))
        .await
        .unwrap();
    assert_eq!(
        (reports.len(), reports[0].job, reports[0].cached, reports[0].received_at),
        (1, job, true, at(40))
    );
    assert!(reports::of_job(&mut world.reader().await, side.scope, job).await.unwrap().is_some());
    assert!(!reports::of_job(&mut world.reader().await, side.scope, first.job).await.unwrap().unwrap().cached);

    let used = used(&world, side).await;
    assert_eq!((used.measurements, used.jobs, used.cached_jobs, used.completed), (2, 2, 1, 2));
    assert_eq!((used.cost, used.agent_us), (2, 1_500_000), "only what was run costs");
    let conserved = jobs::conservation(&mut world.reader().await, system()).await.unwrap();
    assert_eq!((conserved.accepted, conserved.open, conserved.ended), (2, 0, 2));
    let again = find(side.scope, 1, side.agent, 40).await;
    assert_eq!(
        again.first().map(|cached| cached.job),
        Some(first.job),
        "an answer from an earlier report is no report"
    );
}

#[tokio::test]
async fn a_tenant_that_changes_its_tier_finds_its_open_jobs_under_the_new_one_after_a_restart() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.accept(side).await;
    let tenant = side.tenant;
    let moved = world
        .write(move |tx| Box::pin(async move { tenants::set_tier(tx, system(), tenant, Tier::Standard).await }))
        .await;
    assert_eq!(moved.map(|row| row.tier), Some(Tier::Standard));
    let waiting = jobs::open_jobs(&mut world.reader().await, system(), None, 9).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].job, waiting[0].tier), (1, job, Tier::Standard));
    let ended = world.end(job, None, End::Expired, None).await.unwrap();
    assert_eq!(ended.tier, Tier::Free, "its class of retention stays that of its creation");
    let nobody = TenantId::new(at(0), random());
    let missing = world
        .write(move |tx| Box::pin(async move { tenants::set_tier(tx, system(), nobody, Tier::Standard).await }))
        .await;
    assert_eq!(missing, None);
}
