//! Jobs from acceptance to their one end.

use shared_protocol::end::{End, RefuseReason};
use shared_protocol::id::{AgentId, Attempt, Epoch, InstanceId, JobId, JobRef, MeasurementId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;
use tokio::task::JoinSet;

use super::{QUEUED, Side, World, at, idempotency, new_measurement, random, system};
use crate::agents::AgentState;
use crate::jobs::{self, CancelOutcome, Enqueued, JobFilter, JobState, NewIdempotency, OpenState, Requeue};
use crate::{Page, agents, sessions};

fn again(agent: AgentId, job: JobRef, not_before: Option<UnixMicros>) -> Requeue {
    Requeue { agent, job, not_before }
}

#[tokio::test]
async fn an_accepted_measurement_is_read_back_with_its_jobs() {
    let world = World::new().await;
    let side = world.ours;
    let (measurement, job) = world.accept(side).await;
    let mut reader = world.reader().await;
    let row = jobs::measurement(&mut reader, side.scope, measurement).await.unwrap().unwrap();
    assert_eq!((row.spec["target"].as_str(), row.deadline_at), (Some("127.0.0.1"), at(610)));
    let rows = jobs::jobs_of(&mut reader, side.scope, &[measurement]).await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].id, rows[0].state, rows[0].attempt),
        (1, job, JobState::Open(OpenState::Queued), Attempt(0))
    );
    assert_eq!((rows[0].agent_name.as_str(), rows[0].cost), ("first", 2));
    assert!(jobs::has_open_jobs(&mut reader, system(), measurement).await.unwrap());
}

#[tokio::test]
async fn aut_02_measurements_and_jobs_of_another_tenant_do_not_exist() {
    let world = World::new().await;
    let (measurement, job) = world.accept(world.ours).await;
    let theirs = world.theirs.scope;
    let mut reader = world.reader().await;
    assert_eq!(jobs::measurement(&mut reader, theirs, measurement).await.unwrap(), None);
    assert_eq!(jobs::measurements(&mut reader, theirs, &Page::first(9)).await.unwrap(), []);
    assert_eq!(jobs::job(&mut reader, theirs, job).await.unwrap(), None);
    assert_eq!(jobs::jobs_of(&mut reader, theirs, &[measurement]).await.unwrap(), []);
    for filter in [
        JobFilter::default(),
        JobFilter {
            measurement: Some(measurement),
            agent: None,
        },
        JobFilter {
            measurement: None,
            agent: Some(world.ours.agent),
        },
    ] {
        assert_eq!(jobs::jobs(&mut reader, theirs, filter, &Page::first(9)).await.unwrap(), []);
        assert_eq!(jobs::jobs(&mut reader, world.ours.scope, filter, &Page::first(9)).await.unwrap().len(), 1);
    }
    assert_eq!(cancel(&world, world.theirs, job).await, CancelOutcome::NotFound);
    let cancelled = world
        .write(move |tx| Box::pin(async move { jobs::cancel_measurement(tx, theirs, measurement, at(30)).await }))
        .await;
    assert_eq!(cancelled, None);
    assert!(jobs::has_open_jobs(&mut reader, system(), measurement).await.unwrap());
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let world = World::new().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(world.accept(world.ours).await);
    }
    all.reverse();
    let mut reader = world.reader().await;
    let (mut measurements, mut ids) = (Page::first(2), Page::first(2));
    let (mut seen, mut seen_jobs) = (Vec::<MeasurementId>::new(), Vec::<JobId>::new());
    for _ in 0..3 {
        seen.extend(
            jobs::measurements(&mut reader, world.ours.scope, &measurements)
                .await
                .unwrap()
                .iter()
                .map(|row| row.id),
        );
        measurements.after = seen.last().copied();
        let page = jobs::jobs(&mut reader, world.ours.scope, JobFilter::default(), &ids).await.unwrap();
        seen_jobs.extend(page.iter().map(|row| row.id));
        ids.after = seen_jobs.last().copied();
    }
    assert_eq!(seen.into_iter().zip(seen_jobs).collect::<Vec<_>>(), all);
    let open = jobs::open_jobs(&mut reader, system(), Some(all[2].1), 9).await.unwrap();
    assert_eq!(
        open.iter().map(|job| job.job).collect::<Vec<_>>(),
        [all[1].1, all[0].1],
        "oldest first, after the one given"
    );
}

async fn enqueue(world: &World, key: NewIdempotency, created: i64) -> (Enqueued, MeasurementId) {
    let side = world.ours;
    let (mut measurement, jobs) = new_measurement(side.agent, Tier::Free, 1);
    measurement.created_at = at(created);
    let id = measurement.id;
    let enqueued = world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs,
            idempotency: Some(key),
        })
        .await;
    (enqueued, id)
}

#[tokio::test]
async fn api_07_an_idempotency_key_makes_one_measurement_for_a_day() {
    let world = World::new().await;
    let day = 24 * 3_600;
    let (first, id) = enqueue(&world, idempotency("k", 1, at(10 + day)), 10).await;
    assert_eq!(first, QUEUED);
    assert_eq!(enqueue(&world, idempotency("k", 1, at(20 + day)), 20).await.0, Enqueued::Replayed(id));
    assert_eq!(enqueue(&world, idempotency("k", 2, at(20 + day)), 20).await.0, Enqueued::Mismatch);
    assert_eq!(enqueue(&world, idempotency("other", 2, at(20 + day)), 20).await.0, QUEUED);
    assert_eq!(
        enqueue(&world, idempotency("k", 2, at(10 + 2 * day)), 10 + day).await.0,
        QUEUED,
        "a day later it is forgotten"
    );
    let side = world.theirs;
    let (measurement, jobs) = new_measurement(side.agent, Tier::Free, 1);
    let key = idempotency("k", 9, at(day));
    let theirs = world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs,
            idempotency: Some(key),
        })
        .await;
    assert_eq!(theirs, QUEUED, "another tenant's key is another key");
    let forgotten = world
        .write(move |tx| Box::pin(async move { jobs::forget_idempotency(tx, system(), at(3 * day), 2).await }))
        .await;
    assert_eq!(forgotten, 2);
}

#[tokio::test]
async fn api_07_the_same_key_at_once_makes_one_measurement() {
    let world = World::new().await;
    let side = world.ours;
    let mut racing = JoinSet::new();
    for _ in 0..50 {
        let store = world.store.clone();
        let (measurement, jobs) = new_measurement(side.agent, Tier::Free, 1);
        let key = idempotency("k", 1, at(1_000));
        racing.spawn(async move {
            store
                .submit(jobs::Enqueue {
                    scope: side.scope,
                    measurement,
                    jobs,
                    idempotency: Some(key),
                })
                .await
                .unwrap()
        });
    }
    let fresh = racing.join_all().await.into_iter().filter(|one| *one == QUEUED).count();
    assert_eq!(fresh, 1);
}

#[tokio::test]
async fn api_09_two_thousand_creates_at_once_against_a_cap_of_a_hundred_leave_a_hundred() {
    let world = World::new().await;
    let side = world.ours;
    let mut racing = JoinSet::new();
    for _ in 0..2_000 {
        let store = world.store.clone();
        let (measurement, jobs) = new_measurement(side.agent, Tier::Free, 1);
        racing.spawn(async move {
            store
                .submit(jobs::Enqueue {
                    scope: side.scope,
                    measurement,
                    jobs,
                    idempotency: None,
                })
                .await
                .unwrap()
        });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|one| **one == QUEUED).count(), 100);
    assert_eq!(answers.iter().filter(|one| **one == Enqueued::TooManyOpen).count(), 1_900);
    let open = jobs::open_jobs(&mut world.reader().await, system(), None, 5_000).await.unwrap();
    assert_eq!(open.len(), 100);
    world.end(open[0].job, None, End::Expired, None).await.unwrap();
    world.accept(side).await;
}

#[tokio::test]
async fn a_measurement_that_passes_the_cap_leaves_nothing_behind() {
    let world = World::new().await;
    let side = world.ours;
    let (measurement, new) = new_measurement(side.agent, Tier::Free, 101);
    let enqueued = world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs: new,
            idempotency: None,
        })
        .await;
    assert_eq!(enqueued, Enqueued::TooManyOpen);
    assert_eq!(jobs::measurements(&mut world.reader().await, side.scope, &Page::first(9)).await.unwrap(), []);
}

#[tokio::test]
async fn a_lease_needs_a_queued_job_of_this_agent_and_its_latest_session() {
    let world = World::new().await;
    let side = world.ours;
    let (_, job) = world.accept(side).await;
    let foreign = Side {
        agent: world.theirs.agent,
        ..side
    };
    assert_eq!(world.lease(foreign, job).await, None, "another agent's job");
    let replaced = Side { epoch: Epoch(0), ..side };
    assert_eq!(world.lease(replaced, job).await, None, "a session that was replaced");
    let leased = world.lease(side, job).await.unwrap();
    assert_eq!((leased.attempt, leased.cost, leased.deadline_at), (Attempt(1), 2, at(610)));
    assert_eq!(leased.spec["probe"], "ping");
    assert_eq!(world.lease(side, job).await, None, "leased already");

    let (_, other) = world.accept(side).await;
    let state = AgentState::Suspended;
    world
        .write(move |tx| Box::pin(async move { agents::set_state(tx, side.scope, side.agent, state, at(5)).await }))
        .await;
    assert_eq!(world.lease(side, other).await, None, "an agent that may not work");
}

#[tokio::test]
async fn a_job_is_leased_in_the_step_that_stores_it_to_its_agents_latest_session_only() {
    let world = World::new().await;
    let side = world.ours;
    let enqueue = |leases: [Option<Epoch>; 2]| {
        let (measurement, mut jobs) = new_measurement(side.agent, Tier::Free, 2);
        for (job, lease) in jobs.iter_mut().zip(leases) {
            job.lease = lease;
        }
        let ids = [jobs[0].id, jobs[1].id];
        let scope = side.scope;
        (
            jobs::Enqueue {
                scope,
                measurement,
                jobs,
                idempotency: None,
            },
            ids,
        )
    };
    let (asked, [leased, queued]) = enqueue([Some(side.epoch), None]);
    let reference = JobRef {
        job: leased,
        attempt: Attempt(1),
    };
    assert_eq!(world.submit(asked).await, Enqueued::Fresh(vec![reference]));
    assert_eq!(world.lease(side, leased).await, None, "leased already");
    assert_eq!(world.lease(side, queued).await.unwrap().attempt, Attempt(1));
    let open = jobs::handed_out(&mut world.reader().await, system(), side.agent, reference)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((open.state, open.attempt), (OpenState::Leased, Attempt(1)));

    let replaced = Epoch(side.epoch.0 - 1);
    let (asked, [one, other]) = enqueue([Some(replaced), Some(side.epoch)]);
    let leased = JobRef {
        job: other,
        attempt: Attempt(1),
    };
    assert_eq!(world.submit(asked).await, Enqueued::Fresh(vec![leased]));
    assert_eq!(world.lease(side, one).await.unwrap().attempt, Attempt(1), "it waited");

    world
        .write(move |tx| Box::pin(async move { agents::set_state(tx, side.scope, side.agent, AgentState::Suspended, at(5)).await }))
        .await;
    let (asked, _) = enqueue([Some(side.epoch), None]);
    assert_eq!(world.submit(asked).await, QUEUED, "an agent that may not work");
}

#[tokio::test]
async fn a_job_queued_again_is_leased_with_the_next_attempt() {
    let world = World::new().await;
    let side = world.ours;
    let (_, first) = world.start(side).await;
    let foreign = world.theirs.agent;
    let stolen = world
        .write(move |tx| Box::pin(async move { jobs::requeue(tx, system(), &[again(foreign, first, None)]).await }))
        .await;
    assert_eq!(stolen, []);
    let requeued = world
        .write(move |tx| Box::pin(async move { jobs::requeue(tx, system(), &[again(side.agent, first, Some(at(90)))]).await }))
        .await;
    assert_eq!(
        (requeued.len(), requeued[0].state, requeued[0].not_before),
        (1, OpenState::Queued, Some(at(90)))
    );
    let second = world.lease(side, first.job).await.unwrap();
    assert_eq!(second.attempt, Attempt(2));
    assert_eq!(
        world.end(first.job, Some(first.attempt), End::Failed, None).await,
        None,
        "the first attempt is fenced"
    );
    assert!(world.end(first.job, Some(second.attempt), End::Failed, None).await.is_some());
}

#[tokio::test]
async fn of_two_ends_at_once_one_counts() {
    let world = World::new().await;
    for _ in 0..20 {
        let (_, job) = world.start(world.ours).await;
        let mut racing = JoinSet::new();
        for end in [End::Failed, End::Expired, End::Cancelled, End::Refused] {
            let store = world.store.clone();
            let ending = jobs::Ending {
                job: job.job,
                attempt: None,
                end,
                reason: Some("why"),
            };
            racing.spawn(async move {
                store
                    .write(move |tx| Box::pin(async move { jobs::end(tx, system(), &[ending], at(50)).await }))
                    .await
                    .unwrap()
            });
        }
        let ends: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
        assert_eq!(ends.len(), 1);
        let row = jobs::job(&mut world.reader().await, world.ours.scope, job.job).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.reason.as_deref(), row.ended_at),
            (JobState::Ended(ends[0].end), Some("why"), Some(at(50)))
        );
        assert_eq!((ends[0].was, row.attempt), (OpenState::Running, Attempt(1)));
    }
    let counted = jobs::conservation(&mut world.reader().await, system()).await.unwrap();
    assert_eq!((counted.accepted, counted.open, counted.ended), (20, 0, 20));
}

#[tokio::test]
async fn ends_of_one_step_are_each_their_own_and_held_against_the_attempt() {
    let world = World::new().await;
    let side = world.ours;
    let (_, first) = world.start(side).await;
    let (_, second) = world.start(side).await;
    let ending = |job: JobRef, attempt, end, reason| jobs::Ending {
        job: job.job,
        attempt,
        end,
        reason,
    };
    let stale = Some(Attempt(first.attempt.0 + 1));
    let endings = [
        ending(first, stale, End::Failed, Some("stale")),
        ending(second, Some(second.attempt), End::Expired, None),
        ending(first, None, End::Cancelled, None),
        ending(second, None, End::Failed, Some("again")),
    ];
    let ended = world
        .write(move |tx| Box::pin(async move { jobs::end(tx, system(), &endings, at(50)).await }))
        .await;
    let mut ended: Vec<_> = ended.into_iter().map(|job| (job.job, job.end, job.reason)).collect();
    ended.sort_unstable_by_key(|(job, ..)| *job);
    assert_eq!(ended, [(first.job, End::Cancelled, None), (second.job, End::Expired, None)]);
}

#[tokio::test]
async fn many_jobs_end_in_one_step_and_those_with_an_end_are_left_out() {
    let world = World::new().await;
    let (_, first) = world.accept(world.ours).await;
    let (_, second) = world.accept(world.ours).await;
    world.end(first, None, End::Cancelled, None).await.unwrap();
    let ended = world
        .write(move |tx| Box::pin(async move { jobs::end_all(tx, system(), &[first, second], End::Expired, None, at(700)).await }))
        .await;
    assert_eq!(ended.iter().map(|job| job.job).collect::<Vec<_>>(), [second]);
    let row = jobs::job(&mut world.reader().await, world.ours.scope, first).await.unwrap().unwrap();
    assert_eq!(row.state, JobState::Ended(End::Cancelled), "an end never changes");
}

#[tokio::test]
async fn only_the_agent_that_has_a_job_can_refuse_it() {
    let world = World::new().await;
    let (_, job) = world.accept(world.ours).await;
    let attempt = world.lease(world.ours, job).await.unwrap().attempt;
    let reference = JobRef { job, attempt };
    let reason = RefuseReason::PolicyDenied;
    for (agent, accepted) in [(world.theirs.agent, false), (world.ours.agent, true), (world.ours.agent, false)] {
        let refused = world
            .write(move |tx| Box::pin(async move { jobs::refuse(tx, system(), agent, reference, reason, at(40)).await }))
            .await;
        assert_eq!(refused.is_some(), accepted);
    }
    let row = jobs::job(&mut world.reader().await, world.ours.scope, job).await.unwrap().unwrap();
    assert_eq!((row.state, row.reason.as_deref()), (JobState::Ended(End::Refused), Some("policy_denied")));
}

async fn cancel(world: &World, side: Side, job: JobId) -> CancelOutcome {
    world
        .write(move |tx| Box::pin(async move { jobs::request_cancel(tx, side.scope, job, at(30)).await }))
        .await
}

#[tokio::test]
async fn job_22_cancelling_is_idempotent_wherever_the_job_stands() {
    let world = World::new().await;
    let side = world.ours;
    let (_, queued) = world.accept(side).await;
    assert!(matches!(cancel(&world, side, queued).await, CancelOutcome::Ended(ended) if ended.end == End::Cancelled));
    assert_eq!(cancel(&world, side, queued).await, CancelOutcome::AlreadyEnded);
    let row = jobs::job(&mut world.reader().await, side.scope, queued).await.unwrap().unwrap();
    assert_eq!((row.cancel_requested_at, row.ended_at), (Some(at(30)), Some(at(30))));

    let (_, running) = world.start(side).await;
    for _ in 0..2 {
        assert!(matches!(cancel(&world, side, running.job).await, CancelOutcome::Requested(open) if open.agent == side.agent));
    }
    let requeued = world
        .write(move |tx| Box::pin(async move { jobs::requeue(tx, system(), &[again(side.agent, running, None)]).await }))
        .await;
    assert_eq!(requeued, [], "what was taken back is not queued again");
    world.end(running.job, Some(running.attempt), End::Cancelled, None).await.unwrap();
    assert_eq!(cancel(&world, side, running.job).await, CancelOutcome::AlreadyEnded);
    assert_eq!(cancel(&world, side, JobId::new(at(1), random())).await, CancelOutcome::NotFound);
}

#[tokio::test]
async fn cancelling_a_measurement_ends_what_is_queued_and_asks_for_the_rest() {
    let world = World::new().await;
    let side = world.ours;
    let (measurement, new) = new_measurement(side.agent, Tier::Free, 3);
    let (id, leased) = (measurement.id, new[1].id);
    world
        .submit(jobs::Enqueue {
            scope: side.scope,
            measurement,
            jobs: new,
            idempotency: None,
        })
        .await;
    world.lease(side, leased).await.unwrap();
    let cancelled = world
        .write(move |tx| Box::pin(async move { jobs::cancel_measurement(tx, side.scope, id, at(30)).await }))
        .await
        .unwrap();
    assert_eq!((cancelled.ended.len(), cancelled.requested.len()), (2, 1));
    assert_eq!(cancelled.requested[0].job, leased);
}

async fn next_session(world: &World, side: Side) -> Side {
    let begun = world
        .write(move |tx| Box::pin(async move { sessions::begin(tx, system(), side.agent, InstanceId::new(at(0), random()), at(60)).await }))
        .await;
    Side { epoch: begun.unwrap(), ..side }
}

#[tokio::test]
async fn a_new_session_keeps_what_is_in_hand_and_names_what_was_lost() {
    let world = World::new().await;
    let old = world.ours;
    let (_, kept) = world.start(old).await;
    let (_, lost) = world.start(old).await;
    let (_, taken_back) = world.start(old).await;
    cancel(&world, old, taken_back.job).await;
    let (_, foreign) = world.start(world.theirs).await;
    let (_, queued) = world.accept(old).await;
    let fenced = JobRef {
        job: lost.job,
        attempt: Attempt(9),
    };
    let in_hand = [
        kept,
        taken_back,
        foreign,
        fenced,
        JobRef {
            job: queued,
            attempt: Attempt(0),
        },
    ];

    let new = next_session(&world, old).await;
    let stale = world
        .write(move |tx| Box::pin(async move { jobs::readopt(tx, system(), old.agent, old.epoch, &in_hand, at(61)).await }))
        .await;
    assert_eq!(stale, None, "an older session adopts nothing");
    let readopted = world
        .write(move |tx| Box::pin(async move { jobs::readopt(tx, system(), new.agent, new.epoch, &in_hand, at(61)).await }))
        .await
        .unwrap();

    assert_eq!(readopted.kept, [kept]);
    assert_eq!(readopted.drop, [taken_back.job, foreign.job, fenced.job, queued]);
    assert_eq!(
        readopted.lost.iter().map(|job| (job.job, job.state)).collect::<Vec<_>>(),
        [(lost.job, OpenState::Running)]
    );
    assert_eq!(
        readopted.cancelled.iter().map(|job| (job.job, job.end)).collect::<Vec<_>>(),
        [(taken_back.job, End::Cancelled)]
    );
    let open = jobs::open_jobs(&mut world.reader().await, system(), None, 99).await.unwrap();
    let adopted = open.iter().find(|job| job.job == kept.job).unwrap();
    assert_eq!((adopted.lease_epoch, adopted.attempt), (Some(new.epoch), Attempt(1)), "the attempt stays");
    assert!(open.iter().any(|job| job.job == foreign.job && job.agent == world.theirs.agent));
}
