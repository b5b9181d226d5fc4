//! Sets: what is applied together comes to what it would have come to one after the other, and one bad member takes nobody with it.

use control_core::quota::{Counted, Quota, Span, Spans};

use super::*;
use crate::jobs::{Enqueue, JobState, OpenState};
use crate::reports::DiscardReason;
use crate::{Kind, Page, quota, usage};

fn asked(side: Side, tier: Tier) -> Enqueue {
    let (measurement, jobs) = new_measurement(side.agent, tier, 1);
    Enqueue {
        scope: side.scope,
        measurement,
        jobs,
        idempotency: None,
    }
}

/// Applies all in one set, whatever the writer's batches are.
async fn enqueue(world: &World, all: Vec<Enqueue>) -> Vec<Enqueued> {
    world.write(move |tx| Box::pin(async move { jobs::enqueue(tx, &all).await })).await
}

async fn ingest_all(world: &World, all: Vec<Ingest>) -> Vec<Vec<IngestOutcome>> {
    world.write(move |tx| Box::pin(async move { crate::reports::ingest(tx, &all).await })).await
}

/// Holds the writer until so many operations wait, which then are one batch; the commits before.
async fn in_one_batch(world: &World, operations: u64, submit: impl FnOnce()) -> u64 {
    let (started, has_started) = tokio::sync::oneshot::channel::<()>();
    let (go_on, goes_on) = tokio::sync::oneshot::channel::<()>();
    let store = world.store.clone();
    let mut holding = tokio::task::JoinSet::new();
    holding.spawn(async move {
        store
            .write(|_| {
                Box::pin(async move {
                    let _ = started.send(());
                    let _ = goes_on.await;
                    Ok(())
                })
            })
            .await
    });
    has_started.await.unwrap();
    submit();
    while world.store.metrics().queue_depth < operations {
        tokio::task::yield_now().await;
    }
    let commits = world.store.metrics().commits;
    go_on.send(()).unwrap();
    assert!(holding.join_all().await.iter().all(Result::is_ok));
    commits
}

#[tokio::test]
async fn a_key_a_cap_and_a_quota_count_within_a_set() {
    let world = World::new().await;
    let side = world.ours;
    let keyed = |body| Enqueue {
        idempotency: Some(idempotency("k", body, at(99_999))),
        ..asked(side, Tier::Free)
    };
    let (first, again, other) = (keyed(1), keyed(1), keyed(2));
    let made = first.measurement.id;
    let answers = enqueue(&world, vec![first, again, other]).await;
    assert_eq!(answers, [QUEUED, Enqueued::Replayed(made), Enqueued::Mismatch]);

    let capped = |open_jobs, hour| {
        let mut one = asked(side, Tier::Free);
        one.measurement.caps = Caps {
            open_jobs,
            quota: Quota { hour, day: 99, month: 99 },
        };
        one
    };
    let answers = enqueue(&world, vec![capped(2, 9), capped(2, 9), capped(9, 3), capped(9, 3)]).await;
    assert_eq!(answers, [QUEUED, Enqueued::TooManyOpen, QUEUED, Enqueued::OverQuota(Span::Hour)]);
    let counted = quota::so_far(&world.store, side.scope, Spans::of(at(10))).await.unwrap();
    assert_eq!(counted, Counted { hour: 3, day: 3, month: 3 }, "what is refused is not counted");
    let on_disk = quota::on_disk(&mut world.reader().await, side.scope, Spans::of(at(10))).await.unwrap();
    assert_eq!(on_disk, counted);
    let used = usage::days(&mut world.reader().await, side.scope, 0, i64::MAX).await.unwrap();
    assert_eq!(used.iter().map(|day| day.used.measurements).sum::<u64>(), 3);
}

#[tokio::test]
async fn one_bad_member_of_a_set_is_refused_alone() {
    let world = World::new().await;
    let side = world.ours;
    let good: Vec<Enqueue> = (0..3).map(|_| asked(side, Tier::Free)).collect();
    let mut bad = asked(side, Tier::Free);
    // The same job twice breaks the primary key, after the measurement was written.
    bad.jobs.push(bad.jobs[0].clone());
    let (ids, bad_id): (Vec<MeasurementId>, MeasurementId) = (good.iter().map(|one| one.measurement.id).collect(), bad.measurement.id);
    let mut waiting = tokio::task::JoinSet::new();
    let commits = in_one_batch(&world, 4, || {
        for one in good.into_iter().chain([bad]) {
            let store = world.store.clone();
            waiting.spawn(async move { (one.measurement.id, store.submit(one).await) });
        }
    })
    .await;
    for (id, answer) in waiting.join_all().await {
        if id == bad_id {
            assert!(matches!(answer, Err(StoreError::Statement(_))), "{answer:?}");
        } else {
            assert!(ids.contains(&id) && matches!(answer, Ok(Enqueued::Fresh(_))), "{answer:?}");
        }
    }
    assert_eq!(world.store.metrics().commits - commits, 2, "the one that held, then all others together");
    let page = jobs::measurements(&mut world.reader().await, side.scope, &Page::first(9)).await.unwrap();
    assert_eq!(page.len(), 3, "nothing of the bad one is left");
    assert_eq!(jobs::count_open(&mut world.reader().await, side.scope).await.unwrap(), 3);
    let used = usage::days(&mut world.reader().await, side.scope, 0, i64::MAX).await.unwrap();
    assert_eq!(used.iter().map(|day| day.used.jobs).sum::<u64>(), 3, "nor in the usage");
    let room = |open_jobs| {
        let mut one = asked(side, Tier::Free);
        one.measurement.caps.open_jobs = open_jobs;
        one
    };
    assert_eq!(
        enqueue(&world, vec![room(3)]).await,
        [Enqueued::TooManyOpen],
        "nor in the count that caps are held against"
    );
    assert_eq!(enqueue(&world, vec![room(4)]).await, [QUEUED]);
}

/// What becomes of a running job's report, a queued job's lease and enqueues that share a batch; how many trips that took.
async fn of_all_kinds(world: &World, bad: Option<Enqueue>) -> (u64, Option<Result<Enqueued, StoreError>>) {
    let side = world.ours;
    let (_, reported) = world.start(side).await;
    let (_, queued) = world.accept(side).await;
    let good = asked(side, Tier::Free);
    let lease = jobs::Lease {
        scope: system(),
        agent: side.agent,
        epoch: side.epoch,
        jobs: vec![queued],
        at: at(20),
    };
    let running = jobs::Running {
        scope: system(),
        accepted: vec![(side.agent, reported)],
    };
    let (_, before) = sessions::outbox(&mut world.reader().await, system(), side.agent).await.unwrap().unzip();
    let next = before.map_or(1, |seq: Sequence| seq.value() + 1);
    let (mut ran, mut stored) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    let (mut accepted, mut leased, mut refused) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    let trips = world.store.metrics().trips;
    let operations = 4 + u64::from(bad.is_some());
    let commits = in_one_batch(world, operations, || {
        let (one, two, three, four) = (world.store.clone(), world.store.clone(), world.store.clone(), world.store.clone());
        ran.spawn(async move { one.submit(running).await });
        stored.spawn(async move { two.submit(ingest(side, vec![report(reported, next)])).await });
        accepted.spawn(async move { three.submit(good).await });
        leased.spawn(async move { four.submit(lease).await });
        if let Some(bad) = bad {
            let five = world.store.clone();
            refused.spawn(async move { five.submit(bad).await });
        }
    })
    .await;
    assert!(matches!(ran.join_all().await[..], [Ok(())]));
    let stored = stored.join_all().await.remove(0).unwrap();
    assert!(matches!(stored[..], [IngestOutcome::Stored(_)]), "{stored:?}");
    assert!(matches!(accepted.join_all().await[..], [Ok(Enqueued::Fresh(_))]));
    assert_eq!(leased.join_all().await.remove(0).unwrap().len(), 1);
    let refused = refused.join_all().await.into_iter().next();
    assert_eq!(world.store.metrics().commits - commits, 2, "the one that held, then all others together");
    (world.store.metrics().trips - trips, refused)
}

#[tokio::test]
async fn sets_of_all_kinds_travel_together_and_a_bad_member_of_one_takes_no_other_kind_with_it() {
    let world = World::new().await;
    let side = world.ours;
    let (trips, _) = of_all_kinds(&world, None).await;
    assert_eq!(trips, 3, "sessions and gate, the rest with the leases, commit");
    let mut bad = asked(side, Tier::Free);
    bad.jobs.push(bad.jobs[0].clone());
    let (_, refused) = of_all_kinds(&world, Some(bad)).await;
    assert!(matches!(refused, Some(Err(StoreError::Statement(_)))), "{refused:?}");

    let used = usage::days(&mut world.reader().await, side.scope, 0, i64::MAX).await.unwrap();
    let (jobs, completed) = used
        .iter()
        .fold((0, 0), |(jobs, completed), day| (jobs + day.used.jobs, completed + day.used.completed));
    assert_eq!((jobs, completed), (6, 2), "counted once, though the sets were applied twice");
    assert_eq!(jobs::count_open(&mut world.reader().await, side.scope).await.unwrap(), 4);
}

#[tokio::test]
async fn leases_of_one_set_go_to_their_own_sessions() {
    let world = World::new().await;
    let (_, ours) = world.accept(world.ours).await;
    let (_, theirs) = world.accept(world.theirs).await;
    let lease = |side: Side, jobs: &[JobId]| jobs::Lease {
        scope: system(),
        agent: side.agent,
        epoch: side.epoch,
        jobs: jobs.to_vec(),
        at: at(20),
    };
    let all = vec![lease(world.theirs, &[ours]), lease(world.ours, &[ours]), lease(world.theirs, &[theirs])];
    let leased = world.write(move |tx| Box::pin(async move { jobs::lease(tx, &all).await })).await;
    let leased: Vec<Vec<JobId>> = leased.into_iter().map(|of| of.into_iter().map(|job| job.job).collect()).collect();
    assert_eq!(leased, [vec![], vec![ours], vec![theirs]]);
}

#[tokio::test]
async fn a_job_that_was_accepted_is_running_only_in_that_attempt_and_with_that_agent() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.accept(side).await;
    let attempt = world.lease(side, job).await.unwrap().attempt;
    let state = async || {
        let row = jobs::job(&mut world.reader().await, side.scope, job).await.unwrap().unwrap();
        row.state
    };
    let running = |agent, attempt| jobs::Running {
        scope: system(),
        accepted: vec![(agent, JobRef { job, attempt })],
    };
    world.submit(running(world.theirs.agent, attempt)).await;
    world.submit(running(side.agent, Attempt(attempt.0 + 1))).await;
    assert_eq!(state().await, JobState::Open(OpenState::Leased));
    world.submit(running(side.agent, attempt)).await;
    assert_eq!(state().await, JobState::Open(OpenState::Running));
}

#[tokio::test]
async fn frm_12_reports_of_several_sessions_in_one_set_keep_the_order_of_each() {
    let world = World::new().await;
    let (ours, theirs) = (world.ours, world.theirs);
    let (_, first) = world.start(ours).await;
    let (_, second) = world.start(ours).await;
    let (_, other) = world.start(theirs).await;
    let replaced = Side { epoch: Epoch(0), ..theirs };
    let all = vec![
        // A gap, then the same job again, then the same number again.
        ingest(ours, vec![report(first, 2), report(first, 3), report(second, 3), report(second, 4)]),
        ingest(replaced, vec![report(other, 1)]),
        ingest(theirs, vec![report(other, 1)]),
        ingest(ours, vec![report(second, 5)]),
    ];
    let outcomes = ingest_all(&world, all).await;
    assert!(
        matches!(
            &outcomes[0][..],
            [
                IngestOutcome::Stored(_),
                IngestOutcome::Discarded(DiscardReason::AlreadyEnded),
                IngestOutcome::Duplicate,
                IngestOutcome::Stored(_)
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[1], [IngestOutcome::Fenced]);
    assert!(matches!(outcomes[2][..], [IngestOutcome::Stored(_)]), "{outcomes:?}");
    assert_eq!(outcomes[3], [IngestOutcome::Discarded(DiscardReason::AlreadyEnded)]);
    let (_, up_to) = sessions::outbox(&mut world.reader().await, system(), ours.agent).await.unwrap().unwrap();
    assert_eq!(up_to.value(), 5);
    let noted = crate::reports::discarded(&mut world.reader().await, system(), ours.agent, 9).await.unwrap();
    let mut noted: Vec<String> = noted.iter().map(|row| format!("{} {}", row.seq, row.why)).collect();
    noted.sort_unstable();
    assert_eq!(noted, ["1 gap", "3 already_ended", "5 already_ended"]);
}

/// The jobs of reports that are no news stay open, though the rows of news are taken out before anybody has looked at sessions and outboxes.
#[tokio::test]
async fn frm_12_a_report_that_is_no_news_takes_no_job_with_it() {
    let world = World::new().await;
    let side = world.ours;
    let (_, first) = world.start(side).await;
    let (_, second) = world.start(side).await;
    let is_open = async || {
        let row = jobs::job(&mut world.reader().await, side.scope, second.job).await.unwrap().unwrap();
        row.state == JobState::Open(OpenState::Running)
    };
    let outcomes = ingest_all(&world, vec![ingest(side, vec![report(first, 2), report(second, 1)])]).await;
    assert!(
        matches!(outcomes[0][..], [IngestOutcome::Stored(_), IngestOutcome::Duplicate]),
        "behind one of the same set: {outcomes:?}"
    );
    assert!(is_open().await);
    assert_eq!(world.ingest(side, &report(second, 2)).await, IngestOutcome::Duplicate, "behind what is on disk");
    assert!(is_open().await);
    let replaced = Side { epoch: Epoch(0), ..side };
    assert_eq!(world.ingest(replaced, &report(second, 9)).await, IngestOutcome::Fenced);
    assert!(is_open().await);
    let earlier = Ingest {
        incarnation: IncarnationId::from_uuid(uuid::Uuid::from_u128(2)),
        ..ingest(side, vec![report(first, 1)])
    };
    let all = vec![ingest(side, vec![report(first, 9)]), earlier, ingest(side, vec![report(second, 9)])];
    let outcomes = ingest_all(&world, all).await;
    assert!(
        matches!(outcomes[2][..], [IngestOutcome::Stored(_)]),
        "the outbox began anew between the two: {outcomes:?}"
    );
}

#[tokio::test]
async fn frm_09_a_bad_report_and_a_good_one_of_the_same_job_in_one_set_leave_the_first_ones_end() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.start(side).await;
    let bad = IncomingReport {
        readable: Err("holds \0 nothing".to_owned()),
        body: "\0".to_owned(),
        ..report(job, 1)
    };
    let outcomes = ingest_all(&world, vec![ingest(side, vec![bad, report(job, 2)])]).await;
    assert!(
        matches!(
            &outcomes[0][..],
            [IngestOutcome::Quarantined(Some(_)), IngestOutcome::Discarded(DiscardReason::AlreadyEnded)]
        ),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn i5_open_jobs_are_counted_from_the_rows_again_after_a_restart() {
    let world = World::new().await;
    let side = world.ours;
    let (_, first) = world.accept(side).await;
    world.accept(side).await;
    world.end(first, None, End::Expired, None).await.unwrap();
    let open = |open_jobs| {
        let mut one = asked(side, Tier::Free);
        one.measurement.caps.open_jobs = open_jobs;
        one
    };
    assert_eq!(enqueue(&world, vec![open(1)]).await, [Enqueued::TooManyOpen]);
    world.store.close().await;
    let store = Store::open(world.made.database(), StoreOptions::default()).await.unwrap();
    assert_eq!(store.submit(open(1)).await.unwrap(), Enqueued::TooManyOpen);
    assert_eq!(store.submit(open(2)).await.unwrap(), QUEUED);
    store.close().await;
}

#[tokio::test]
async fn what_nobody_needs_an_answer_of_travels_with_what_comes_next() {
    let world = World::new().await;
    let side = world.ours;
    world.accept(side).await;
    let before = world.store.metrics();
    let (_, job) = world.accept(side).await;
    let accepted = world.store.metrics();
    let of_an_enqueue = match world.store.kind() {
        Kind::Sqlite => 1,
        // Everything up to the number of the transaction, which must be known before the commit is sent.
        Kind::Postgres => 2,
    };
    assert_eq!(accepted.trips - before.trips, of_an_enqueue);
    let leased = world.lease(side, job).await.unwrap();
    assert_eq!(world.store.metrics().trips - accepted.trips, 2);
    world.ingest(side, &report(JobRef { job, attempt: leased.attempt }, 1)).await;
    let ingested = world.store.metrics();
    assert_eq!(
        ingested.trips - accepted.trips,
        4,
        "the lease and its commit, sessions and gate, the rest with the commit"
    );
    world.ingest(side, &report(JobRef { job, attempt: leased.attempt }, 1)).await;
    assert_eq!(world.store.metrics().trips - ingested.trips, 2, "one that was taken in before");
    // An operation that asks nothing of the database does not go there.
    world.write(|_| Box::pin(async { Ok(()) })).await;
    assert_eq!(world.store.metrics().trips - ingested.trips, 2);
    assert_eq!(world.store.metrics().commits - before.commits, 5);
}

#[tokio::test]
async fn text_is_kept_as_it_is_however_it_is_written() {
    let world = World::new().await;
    for name in [
        "it's'' \\' \\\\",
        "$1 $$ {rows} %s :a ?1",
        "'); DROP TABLE tenant; --",
        "line\nline\t\u{1f980} \u{202e}",
        "",
    ] {
        let new = tenants::NewTenant {
            id: TenantId::new(at(0), random()),
            name: name.to_owned(),
            tier: Tier::Free,
            created_at: UnixMicros::from_micros(i64::MIN),
        };
        let id = new.id;
        let found = world
            .write(move |tx| {
                Box::pin(async move {
                    tenants::create(tx, system(), &new).await?;
                    tenants::find(tx, system(), id).await
                })
            })
            .await;
        assert_eq!(found.unwrap().name, name);
        let read = tenants::find(&mut world.reader().await, system(), id).await.unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.created_at), (name, UnixMicros::from_micros(i64::MIN)));
    }
}
