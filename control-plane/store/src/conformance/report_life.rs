//! Reports: once each, fenced, late, discarded, set aside.

use shared_protocol::end::End;
use shared_protocol::id::{Attempt, Epoch, IncarnationId, JobId, JobRef, Sequence};
use shared_protocol::tier::Tier;
use tokio::task::JoinSet;

use super::{Side, World, at, ingest, new_measurement, random, report, system};
use crate::jobs::{self, JobState, OpenState};
use crate::reports::{self, DiscardReason, IncomingReport, Ingest, IngestOutcome};
use crate::{Page, sessions};

async fn up_to(world: &World, side: Side) -> u64 {
    let outbox = sessions::outbox(&mut world.reader().await, system(), side.agent).await.unwrap();
    outbox.map_or(0, |(_, up_to)| up_to.value())
}

async fn whys(world: &World, side: Side) -> Vec<String> {
    let rows = reports::discarded(&mut world.reader().await, system(), side.agent, 99).await.unwrap();
    rows.into_iter().rev().map(|row| format!("{}-{} {}", row.seq, row.last_seq, row.why)).collect()
}

#[tokio::test]
async fn a_report_is_stored_with_the_end_of_its_job_and_read_by_its_tenant_only() {
    let world = World::new().await;
    let side = world.ours;
    let (measurement, job) = world.start(side).await;
    let outcome = world.ingest(side, &report(job, 1)).await;
    assert!(
        matches!(&outcome, IngestOutcome::Stored(ended) if ended.end == End::Completed && ended.measurement == measurement),
        "{outcome:?}"
    );
    assert_eq!(up_to(&world, side).await, 1);

    let mut reader = world.reader().await;
    let row = jobs::job(&mut reader, side.scope, job.job).await.unwrap().unwrap();
    assert_eq!((row.state, row.ended_at), (JobState::Ended(End::Completed), Some(at(40))));
    let stored = reports::of_job(&mut reader, side.scope, job.job).await.unwrap().unwrap();
    assert_eq!((stored.body.get(), stored.late, stored.attempt), (r#"{"status":"ok"}"#, false, Attempt(1)));
    assert_eq!((stored.started_at, stored.received_at, stored.measurement), (at(30), at(40), measurement));
    assert_eq!(
        reports::of_measurement(&mut reader, side.scope, measurement, &Page::first(9))
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(reports::of_job(&mut reader, world.theirs.scope, job.job).await.unwrap().is_none());
    assert!(
        reports::of_measurement(&mut reader, world.theirs.scope, measurement, &Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn frm_12_kil_02_a_report_sent_again_is_a_duplicate() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.start(side).await;
    let first = report(job, 1);
    world.ingest(side, &first).await;
    assert_eq!(world.ingest(side, &first).await, IngestOutcome::Duplicate);
    let other = IncomingReport {
        body: r#"{"status":"error"}"#.to_owned(),
        ..first
    };
    assert_eq!(world.ingest(side, &other).await, IngestOutcome::Duplicate, "what is on disk stays");
    let stored = reports::of_job(&mut world.reader().await, side.scope, job.job).await.unwrap().unwrap();
    assert_eq!(stored.body.get(), r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn a_report_at_once_from_many_sides_is_stored_once() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.start(side).await;
    let mut racing = JoinSet::new();
    for seq in 1..=10 {
        let (store, report) = (world.store.clone(), report(job, seq));
        racing.spawn(async move { store.submit(ingest(side, vec![report])).await.unwrap().remove(0) });
    }
    let stored = racing
        .join_all()
        .await
        .into_iter()
        .filter(|one| matches!(one, IngestOutcome::Stored(_)))
        .count();
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn frm_13_a_report_for_another_agents_job_is_discarded_and_changes_nothing() {
    let world = World::new().await;
    let (_, job) = world.start(world.ours).await;
    let unknown = JobRef {
        job: JobId::new(at(1), random()),
        attempt: Attempt(1),
    };
    for (seq, job) in [(1, job), (2, unknown)] {
        let outcome = world.ingest(world.theirs, &report(job, seq)).await;
        assert_eq!(outcome, IngestOutcome::Discarded(DiscardReason::UnknownJob), "the same answer for both");
    }
    assert_eq!(up_to(&world, world.theirs).await, 2, "acknowledged, so that the outbox drains");
    assert_eq!(whys(&world, world.theirs).await, ["1-1 unknown_job", "2-2 unknown_job"]);
    assert!(matches!(world.ingest(world.ours, &report(job, 1)).await, IngestOutcome::Stored(_)));
}

#[tokio::test]
async fn frm_14_a_report_after_expired_or_agent_lost_is_kept_once_as_late() {
    let world = World::new().await;
    let side = world.ours;
    let mut seq = 0;
    for (end, reason) in [(End::Expired, None), (End::Failed, Some("agent_lost"))] {
        let (_, job) = world.start(side).await;
        world.end(job.job, Some(job.attempt), end, reason).await.unwrap();
        seq += 1;
        assert_eq!(world.ingest(side, &report(job, seq)).await, IngestOutcome::Late);
        seq += 1;
        assert_eq!(
            world.ingest(side, &report(job, seq)).await,
            IngestOutcome::Discarded(DiscardReason::AlreadyReported)
        );
        let mut reader = world.reader().await;
        let row = jobs::job(&mut reader, side.scope, job.job).await.unwrap().unwrap();
        assert_eq!(row.state, JobState::Ended(end), "an end never changes");
        assert!(reports::of_job(&mut reader, side.scope, job.job).await.unwrap().unwrap().late);
    }
}

#[tokio::test]
async fn frm_14_reports_that_nobody_waits_for_are_discarded_with_the_reason() {
    let world = World::new().await;
    let side = world.ours;
    let mut seq = 0;
    for (end, reason, expected) in [
        (End::Cancelled, None, DiscardReason::Cancelled),
        (End::Refused, Some("policy_denied"), DiscardReason::AlreadyEnded),
        (End::Failed, Some("internal"), DiscardReason::AlreadyEnded),
    ] {
        let (_, job) = world.start(side).await;
        world.end(job.job, None, end, reason).await.unwrap();
        seq += 1;
        assert_eq!(world.ingest(side, &report(job, seq)).await, IngestOutcome::Discarded(expected));
        assert!(reports::of_job(&mut world.reader().await, side.scope, job.job).await.unwrap().is_none());
    }
    let (_, job) = world.start(side).await;
    let fenced = JobRef { attempt: Attempt(7), ..job };
    assert_eq!(
        world.ingest(side, &report(fenced, 4)).await,
        IngestOutcome::Discarded(DiscardReason::FencedAttempt)
    );
    let (_, queued) = world.accept(side).await;
    let never_leased = JobRef {
        job: queued,
        attempt: Attempt(0),
    };
    assert_eq!(
        world.ingest(side, &report(never_leased, 5)).await,
        IngestOutcome::Discarded(DiscardReason::FencedAttempt)
    );
    world.end(job.job, None, End::Expired, None).await.unwrap();
    assert_eq!(
        world.ingest(side, &report(fenced, 6)).await,
        IngestOutcome::Discarded(DiscardReason::FencedAttempt),
        "late, of another attempt"
    );
}

#[tokio::test]
async fn frm_09_a_report_that_cannot_be_read_is_set_aside_and_its_job_fails() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.start(side).await;
    let bad = IncomingReport {
        readable: Err("status: missing".to_owned()),
        body: "{".to_owned(),
        ..report(job, 1)
    };
    let outcome = world.ingest(side, &bad).await;
    assert!(
        matches!(&outcome, IngestOutcome::Quarantined(Some(ended)) if ended.reason.as_deref() == Some("bad_report")),
        "{outcome:?}"
    );
    let aside = reports::quarantined(&mut world.reader().await, system(), side.agent, 9).await.unwrap();
    assert_eq!((aside.len(), aside[0].why.as_str(), aside[0].body.as_str()), (1, "status: missing", "{"));
    let again = IncomingReport {
        seq: Sequence::new(2).unwrap(),
        ..bad
    };
    assert_eq!(world.ingest(side, &again).await, IngestOutcome::Quarantined(None), "its job has its end");
    assert_eq!(up_to(&world, side).await, 2, "one bad report does not block the rest");
}

#[tokio::test]
async fn a_job_whose_report_cannot_be_read_is_queued_again_as_often_as_its_policy_says() {
    let world = World::new().await;
    let side = world.ours;
    let (mut measurement, new) = new_measurement(side.agent, Tier::Free, 1);
    measurement.retry = "always:1".parse().unwrap();
    let (id, asked) = (measurement.id, measurement.retry);
    let job = new[0].id;
    world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs: new,
            idempotency: None,
        })
        .await;
    let kept = jobs::measurement(&mut world.reader().await, side.scope, id).await.unwrap().unwrap();
    assert_eq!(kept.retry, asked);
    let mut outcomes = Vec::new();
    for seq in 1..=2 {
        let attempt = world.lease(side, job).await.unwrap().attempt;
        let bad = IncomingReport {
            readable: Err("status: missing".to_owned()),
            ..report(JobRef { job, attempt }, seq)
        };
        outcomes.push(world.ingest(side, &bad).await);
    }
    assert!(
        matches!(&outcomes[0], IngestOutcome::Retried(open) if open.state == OpenState::Queued && open.not_before == Some(at(41))),
        "{outcomes:?}"
    );
    assert!(
        matches!(&outcomes[1], IngestOutcome::Quarantined(Some(ended)) if ended.attempt.0 == 2),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_cancelled_jobs_report_ends_it_as_cancelled() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.start(side).await;
    let stopped = IncomingReport {
        end: End::Cancelled,
        ..report(job, 1)
    };
    assert!(matches!(world.ingest(side, &stopped).await, IngestOutcome::Stored(ended) if ended.end == End::Cancelled));
}

#[tokio::test]
async fn a_gap_in_the_numbers_is_recorded_and_a_new_outbox_counts_from_one_again() {
    let world = World::new().await;
    let side = world.ours;
    let (_, first) = world.start(side).await;
    let (_, second) = world.start(side).await;
    assert!(matches!(world.ingest(side, &report(first, 4)).await, IngestOutcome::Stored(_)));
    assert_eq!(whys(&world, side).await, ["1-3 gap"]);
    let incarnation = IncarnationId::from_uuid(uuid::Uuid::from_u128(2));
    let fresh = Ingest {
        incarnation,
        ..ingest(side, vec![report(second, 1)])
    };
    assert!(matches!(world.submit(fresh).await[..], [IngestOutcome::Stored(_)]));
    let outbox = sessions::outbox(&mut world.reader().await, system(), side.agent).await.unwrap();
    assert_eq!(outbox, Some((incarnation, Sequence::new(1).unwrap())));
}

#[tokio::test]
async fn a_session_that_was_replaced_stores_nothing() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.start(side).await;
    let replaced = Side { epoch: Epoch(0), ..side };
    assert_eq!(world.ingest(replaced, &report(job, 1)).await, IngestOutcome::Fenced);
    world
        .write(move |tx| Box::pin(async move { crate::agents::suspend(tx, system(), side.agent, at(41)).await }))
        .await;
    assert_eq!(world.ingest(side, &report(job, 1)).await, IngestOutcome::Fenced, "an agent that may not work");
    assert_eq!(up_to(&world, side).await, 0);
}
