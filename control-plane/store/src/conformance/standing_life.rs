//! Standing observations: made, changed, told about, and their windows stored once, under the revision that they were made of.

use control_core::series::{Measured, Trust};
use serde_json::json;
use shared_protocol::end::RefuseReason;
use shared_protocol::id::{AgentId, Attempt, JobId, JobRef, StandingId};
use shared_protocol::standing::{StandingHeld, StandingState, StandingWindow};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::{Side, World, at, facts, idempotency, new_agent, random, report, system};
use crate::reports::{self, DiscardReason, IncomingReport, IncomingWindow, IngestOutcome};
use crate::standing::{self, NewStanding, StandingCaps, StandingChange, StandingMade, WindowFilter};
use crate::{Page, StoreError, agents, retention, series};

const CAPS: StandingCaps = StandingCaps { of_tenant: 3, of_agent: 2 };

fn new(side: Side, agents: Vec<AgentId>) -> NewStanding {
    NewStanding {
        id: StandingId::new(at(0), random()),
        name: "drops".to_owned(),
        spec: json!({"probe": "observe", "observation": "drops", "duration_s": 60}),
        selection: json!({"agents": agents}),
        agents,
        created_by: format!("key:{}", side.tenant),
        at: at(1),
        idempotency: None,
        caps: CAPS,
    }
}

async fn try_make(world: &World, side: Side, new: NewStanding) -> Result<StandingMade, StoreError> {
    world
        .store
        .write(move |tx| Box::pin(async move { standing::create(tx, side.scope, &new).await }))
        .await
}

async fn make(world: &World, side: Side) -> StandingId {
    let new = new(side, vec![side.agent]);
    let id = new.id;
    assert_eq!(try_make(world, side, new).await.unwrap(), StandingMade::Fresh);
    id
}

async fn change(world: &World, side: Side, id: StandingId, change: StandingChange) -> Result<Option<standing::StandingRow>, StoreError> {
    let change = StandingChange {
        of_agent: CAPS.of_agent,
        at: at(2),
        ..change
    };
    world
        .store
        .write(move |tx| Box::pin(async move { standing::update(tx, side.scope, id, &change).await }))
        .await
}

async fn wanted(world: &World, agent: AgentId) -> Vec<(StandingId, u32, Tier)> {
    let rows = standing::wanted(&mut world.reader().await, system(), agent).await.unwrap();
    rows.into_iter().map(|row| (row.id, row.revision, row.tier)).collect()
}

async fn fare(world: &World, side: Side, id: StandingId) -> standing::FareRow {
    let fares = standing::fares(&mut world.reader().await, side.scope, id, &Page::first(9)).await.unwrap();
    fares.into_iter().find(|fare| fare.agent == side.agent).unwrap()
}

async fn windows(world: &World, side: Side, id: StandingId, filter: WindowFilter) -> Vec<standing::WindowRow> {
    standing::windows(&mut world.reader().await, side.scope, id, &filter, &Page::first(99))
        .await
        .unwrap()
}

/// A window as its agent tells it.
fn window(id: StandingId, revision: u32, started_at: UnixMicros, seq: u64) -> IncomingReport {
    let job = JobRef {
        job: JobId::new(at(0), random()),
        attempt: Attempt(0),
    };
    IncomingReport {
        started_at,
        readable: Ok(facts(started_at)),
        window: Some(IncomingWindow {
            id: JobId::new(started_at, random()),
            window: StandingWindow { id, revision, lost: 4 },
        }),
        ..report(job, seq)
    }
}

async fn another_agent(world: &World, side: Side, name: &'static str) -> AgentId {
    let id = AgentId::new(at(0), random());
    let new = new_agent(side.tenant, id, name);
    world.write(move |tx| Box::pin(async move { agents::create(tx, system(), &new).await })).await;
    id
}

#[tokio::test]
async fn what_is_wanted_follows_each_change_and_is_read_by_its_tenant_only() {
    let world = World::new().await;
    let side = world.ours;
    let second = another_agent(&world, side, "second").await;
    let id = make(&world, side).await;
    assert_eq!(wanted(&world, side.agent).await, [(id, 1, Tier::Free)]);
    assert_eq!(wanted(&world, second).await, []);

    let chosen = Some((json!({}), vec![second, world.theirs.agent]));
    let row = change(
        &world,
        side,
        id,
        StandingChange {
            chosen,
            ..StandingChange::default()
        },
    )
    .await;
    assert_eq!(row.unwrap().map(|row| (row.revision, row.agents)), Some((2, 1)), "no other tenant's agent");
    assert_eq!(
        (wanted(&world, side.agent).await, wanted(&world, second).await),
        (vec![], vec![(id, 2, Tier::Free)])
    );
    let stop = StandingChange {
        is_running: Some(false),
        revision: Some(2),
        ..StandingChange::default()
    };
    let row = change(&world, side, id, stop.clone()).await.unwrap().unwrap();
    assert_eq!((row.revision, row.is_running, row.updated_at), (3, false, at(2)));
    assert_eq!(wanted(&world, second).await, []);
    let lost_race = change(&world, side, id, stop).await;
    assert!(matches!(lost_race, Err(StoreError::Conflict("standing_revision"))), "{lost_race:?}");

    let theirs = world.theirs.scope;
    let mut reader = world.reader().await;
    assert_eq!(standing::find(&mut reader, theirs, id).await.unwrap(), None);
    assert_eq!(standing::list(&mut reader, theirs, &Page::first(9)).await.unwrap(), []);
    assert_eq!(standing::fares(&mut reader, theirs, id, &Page::first(9)).await.unwrap(), []);
    assert_eq!(standing::list(&mut reader, side.scope, &Page::first(9)).await.unwrap().len(), 1);
    assert_eq!(change(&world, world.theirs, id, StandingChange::default()).await.unwrap(), None);
    let deleted = |side: Side| world.write(move |tx| Box::pin(async move { standing::delete(tx, side.scope, id, at(3)).await }));
    assert!(!deleted(world.theirs).await);
    assert!(deleted(side).await && !deleted(side).await, "once");
    assert_eq!(standing::find(&mut reader, side.scope, id).await.unwrap(), None);
}

#[tokio::test]
async fn stw_13_no_more_than_the_tenant_or_an_agent_may_have_and_a_key_makes_one() {
    let world = World::new().await;
    let side = world.ours;
    let second = another_agent(&world, side, "second").await;
    let with_key = |body| NewStanding {
        idempotency: Some(idempotency("key", body, at(100))),
        ..new(side, vec![side.agent])
    };
    let first = with_key(1);
    let id = first.id;
    assert_eq!(try_make(&world, side, first).await.unwrap(), StandingMade::Fresh);
    assert_eq!(try_make(&world, side, with_key(1)).await.unwrap(), StandingMade::Before(id));
    assert_eq!(try_make(&world, side, with_key(2)).await.unwrap(), StandingMade::Mismatch);
    make(&world, side).await;
    let third = try_make(&world, side, new(side, vec![second, side.agent])).await;
    assert!(matches!(third, Err(StoreError::Conflict("standing_of_agent"))), "{third:?}");
    assert_eq!(wanted(&world, second).await, [], "nothing of it was kept");
    assert_eq!(try_make(&world, side, new(side, vec![second])).await.unwrap(), StandingMade::Fresh);
    assert_eq!(try_make(&world, side, new(side, vec![second])).await.unwrap(), StandingMade::TooMany);
    // One that is stopped takes no place on its agent, until it goes on.
    let stop = |is_running| StandingChange {
        is_running: Some(is_running),
        ..StandingChange::default()
    };
    change(&world, side, id, stop(false)).await.unwrap().unwrap();
    let both = StandingChange {
        chosen: Some((json!({}), vec![second, side.agent])),
        ..StandingChange::default()
    };
    let newest = standing::list(&mut world.reader().await, side.scope, &Page::first(1)).await.unwrap()[0].id;
    change(&world, side, newest, both).await.unwrap().unwrap();
    let again = change(&world, side, id, stop(true)).await;
    assert!(matches!(again, Err(StoreError::Conflict("standing_of_agent"))), "{again:?}");
}

#[tokio::test]
async fn what_an_agent_says_is_kept_and_what_it_does_not_name_it_does_not_have() {
    let world = World::new().await;
    let side = world.ours;
    let (first, second) = (make(&world, side).await, make(&world, side).await);
    let held = |id, state, lost| StandingHeld {
        id,
        revision: 1,
        mark: "m".to_owned(),
        state,
        reason: (state == StandingState::Refused).then_some(RefuseReason::PolicyDenied),
        message: (state == StandingState::Refused).then(|| "a \u{0} rule".to_owned()),
        lost,
    };
    let told = |all: Vec<StandingHeld>, seconds| {
        let agent = side.agent;
        world.write(move |tx| Box::pin(async move { standing::told(tx, system(), agent, &all, at(seconds)).await }))
    };
    let foreign = StandingId::new(at(0), random());
    let all = vec![
        held(first, StandingState::Running, 7),
        held(second, StandingState::Refused, 0),
        held(foreign, StandingState::Running, 0),
    ];
    told(all, 50).await;
    let row = fare(&world, side, first).await;
    assert_eq!(
        (row.state, row.applied, row.lost, row.told_at),
        (StandingState::Running, Some(1), 7, Some(at(50)))
    );
    let row = fare(&world, side, second).await;
    assert_eq!((row.state, row.reason.as_deref()), (StandingState::Refused, Some("policy_denied")));
    assert!(row.message.unwrap().ends_with(" rule"));
    told(vec![held(second, StandingState::Running, 0)], 60).await;
    assert_eq!((fare(&world, side, first).await.applied, fare(&world, side, first).await.lost), (None, 7));
    assert_eq!(fare(&world, side, second).await.reason, None);
    told(Vec::new(), 70).await;
    assert_eq!(fare(&world, side, second).await.state, StandingState::Waiting);
    let agent = side.agent;
    world
        .write(move |tx| Box::pin(async move { standing::unsupported(tx, system(), agent, "too old", at(80)).await }))
        .await;
    let row = fare(&world, side, first).await;
    assert_eq!(
        (row.state, row.message.as_deref(), row.applied),
        (StandingState::Unsupported, Some("too old"), None)
    );
    assert!(standing::concerns(&mut world.reader().await, system(), side.agent).await.unwrap());
    assert!(!standing::concerns(&mut world.reader().await, system(), world.theirs.agent).await.unwrap());
}

#[tokio::test]
async fn stw_08_a_window_is_stored_once_under_its_revision_and_nobody_elses_is() {
    let world = World::new().await;
    let side = world.ours;
    let second = another_agent(&world, side, "second").await;
    let id = make(&world, side).await;
    change(&world, side, id, StandingChange::default()).await.unwrap().unwrap();
    for (revision, started, seq, expected) in [
        (1, 30, 1, IngestOutcome::Window),
        (2, 90, 2, IngestOutcome::Window),
        (2, 90, 3, IngestOutcome::Discarded(DiscardReason::AlreadyReported)),
        (3, 150, 4, IngestOutcome::Discarded(DiscardReason::UnknownStanding)),
    ] {
        let outcome = world.ingest(side, &window(id, revision, at(started), seq)).await;
        assert_eq!(outcome, expected, "revision {revision} at {started}");
    }
    let unknown = window(StandingId::new(at(0), random()), 1, at(30), 5);
    let outcome = IngestOutcome::Discarded(DiscardReason::UnknownStanding);
    assert_eq!(world.ingest(side, &unknown).await, outcome);
    assert_eq!(
        world.ingest(world.theirs, &window(id, 1, at(210), 1)).await,
        outcome,
        "it was never wanted of that agent"
    );
    // The same one twice in one batch.
    let twice = vec![window(id, 2, at(300), 6), window(id, 2, at(300), 7)];
    let outcomes = world.submit(super::ingest(side, twice)).await;
    let stored = outcomes.iter().filter(|outcome| **outcome == IngestOutcome::Window).count();
    assert_eq!(stored, 1, "{outcomes:?}");
    // An agent of which it is not wanted any more still tells what it saw.
    let chosen = Some((json!({}), vec![second]));
    change(
        &world,
        side,
        id,
        StandingChange {
            chosen,
            ..StandingChange::default()
        },
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(world.ingest(side, &window(id, 2, at(360), 8)).await, IngestOutcome::Window);

    let all = windows(&world, side, id, WindowFilter::default()).await;
    let stored: Vec<_> = all.iter().map(|window| (window.revision, window.started_at)).collect();
    assert_eq!(stored, [(2, at(360)), (2, at(300)), (2, at(90)), (1, at(30))]);
    assert_eq!((all[0].agent, all[0].body.get()), (side.agent, r#"{"status":"ok"}"#));
    let between = WindowFilter {
        agent: Some(side.agent),
        from: Some(at(90)),
        to: Some(at(300)),
    };
    assert_eq!(windows(&world, side, id, between).await.len(), 1);
    let of_second = WindowFilter {
        agent: Some(second),
        ..WindowFilter::default()
    };
    assert_eq!(windows(&world, side, id, of_second).await.len(), 0);
    assert_eq!(windows(&world, world.theirs, id, WindowFilter::default()).await.len(), 0);
    let row = fare(&world, side, id).await;
    assert_eq!((row.last_window_at, row.lost, row.is_chosen), (Some(at(360)), 4, false));
    let due = series::due(&mut world.reader().await, system(), None, 99).await.unwrap();
    assert_eq!(due.len(), 4);
    assert!(
        due.iter()
            .all(|due| (due.contribution.probe.as_str(), due.contribution.agent) == ("observe", side.agent))
    );

    world
        .write(move |tx| Box::pin(async move { standing::delete(tx, side.scope, id, at(500)).await }))
        .await;
    assert_eq!(world.ingest(side, &window(id, 2, at(420), 9)).await, outcome);
    let whys = reports::discarded(&mut world.reader().await, system(), side.agent, 99).await.unwrap();
    assert!(whys.iter().any(|row| row.why == "unknown_standing") && whys.iter().any(|row| row.why == "already_reported"));
}

#[tokio::test]
async fn stw_15_more_windows_than_there_can_have_been_are_not_stored() {
    let world = World::new().await;
    let side = world.ours;
    let id = make(&world, side).await;
    // Made at one second, told at forty: the spare ones only, in batches and across them.
    let come = |from: u64, count: u64| (from..from + count).map(|seq| window(id, 1, at(i64::try_from(seq).unwrap()), seq)).collect();
    let outcomes = world.submit(super::ingest(side, come(1, 60))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Window));
    let outcomes = world.submit(super::ingest(side, come(61, 10))).await;
    let stored = outcomes.iter().take_while(|outcome| **outcome == IngestOutcome::Window).count();
    assert_eq!(stored, 4, "{outcomes:?}");
    let too_many = IngestOutcome::Discarded(DiscardReason::TooManyWindows);
    assert!(outcomes[4..].iter().all(|outcome| *outcome == too_many));
    change(&world, side, id, StandingChange::default()).await.unwrap().unwrap();
    assert_eq!(
        world.ingest(side, &window(id, 2, at(3), 71)).await,
        IngestOutcome::Window,
        "a new revision begins anew"
    );
    assert_eq!(
        world.ingest(side, &window(id, 1, at(4_000), 72)).await,
        IngestOutcome::Window,
        "and what comes late has its own place"
    );
    let long = IncomingReport {
        body: format!("\"{}\"", "x".repeat(512 * 1024)),
        ..window(id, 2, at(5_000), 73)
    };
    assert_eq!(world.ingest(side, &long).await, too_many);
}

#[tokio::test]
async fn stw_09_windows_of_a_clock_that_steps_are_all_stored_and_those_that_cannot_be_are_marked() {
    let world = World::new().await;
    let side = world.ours;
    let id = make(&world, side).await;
    let skewed = |started: i64, received: i64, seq| {
        let mut came = window(id, 1, at(received), seq);
        came.started_at = at(started);
        if let Ok(facts) = &mut came.readable {
            facts.measured = Measured {
                at: at(received),
                trust: Trust::Skewed,
            };
        }
        came
    };
    for came in [
        window(id, 1, at(60), 1),
        window(id, 1, at(30), 2),
        skewed(-90_000, 200, 3),
        skewed(90_000, 201, 4),
    ] {
        assert_eq!(world.ingest(side, &came).await, IngestOutcome::Window);
    }
    let all = windows(&world, side, id, WindowFilter::default()).await;
    let stored: Vec<_> = all.iter().map(|window| (window.measured_at, window.skewed)).collect();
    assert_eq!(stored, [(at(201), true), (at(200), true), (at(60), false), (at(30), false)]);
}

#[tokio::test]
async fn windows_leave_by_their_age_and_with_what_was_deleted() {
    let world = World::new().await;
    let side = world.ours;
    let id = make(&world, side).await;
    for (started, seq) in [(60, 1), (120, 2), (180, 3)] {
        world.ingest(side, &window(id, 1, at(started), seq)).await;
    }
    let below = control_core::series::first_job_at(at(120));
    let gone = world
        .write(move |tx| Box::pin(async move { retention::windows(tx, system(), Tier::Free, below, 9).await }))
        .await;
    assert_eq!(gone, 1);
    let of_deleted = || world.write(move |tx| Box::pin(async move { retention::windows_of_deleted(tx, system(), 1).await }));
    let deleted = || world.write(move |tx| Box::pin(async move { retention::standing(tx, system(), 9).await }));
    assert_eq!((of_deleted().await, deleted().await), (0, 0));
    world
        .write(move |tx| Box::pin(async move { standing::delete(tx, side.scope, id, at(500)).await }))
        .await;
    assert_eq!((of_deleted().await, deleted().await), (1, 0), "not while windows are left");
    assert_eq!((of_deleted().await, deleted().await, deleted().await), (1, 1, 0));
    assert!(!standing::concerns(&mut world.reader().await, system(), side.agent).await.unwrap());
}
