use std::collections::BTreeMap;
use std::time::Duration;

use shared_protocol::end::End;
use shared_protocol::id::{Attempt, Epoch, JobId, JobRef, MeasurementId};
use shared_protocol::limits::DEADLINE_GRACE;
use shared_protocol::tier::{Tier, TierLimits, TierTable};
use shared_protocol::time::UnixMicros;

use super::{AcceptedJob, AgentLoad, Arrival, Board, Effect, NotLeased, Returned};
use crate::duty::Duty;
use crate::queue::QueuedJob;
use crate::queue::sample::{agent, at, job, tenant};
use crate::retry::{AGENT_GONE, Choice, HandedOut, RetryPolicy};

/// Where a job can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Queued,
    Held,
    Leasing,
    InFlight,
    Disconnected,
    Ending,
    Ended,
    Unknown,
}

const STANDS: [Stand; 8] = [
    Stand::Queued,
    Stand::Held,
    Stand::Leasing,
    Stand::InFlight,
    Stand::Disconnected,
    Stand::Ending,
    Stand::Ended,
    Stand::Unknown,
];
const EPOCH: Epoch = Epoch(1);
const DEADLINE: i64 = 100;

fn accepted(number: u32) -> AcceptedJob {
    AcceptedJob {
        queued: QueuedJob {
            deadline: at(DEADLINE),
            ..job(number, Tier::Free)
        },
        measurement: MeasurementId::new(at(0), [1; 10]),
        retry: RetryPolicy::None,
        choice: Choice::Named,
    }
}

fn reference(number: u32, attempt: u32) -> JobRef {
    JobRef {
        job: job(number, Tier::Free).job,
        attempt: Attempt(attempt),
    }
}

fn effects(board: &mut Board) -> Vec<Effect> {
    assert_eq!(board.conservation_error(), 0);
    std::iter::from_fn(|| board.poll_effect()).collect()
}

fn open_session(board: &mut Board, number: u8, credit: u64) {
    board.handle_opened(agent(number), EPOCH, &[], &[], at(0));
    board.handle_credit(agent(number), EPOCH, credit, at(0));
}

fn lease(board: &mut Board, number: u8, jobs: &[JobId], now: UnixMicros) {
    let written: BTreeMap<JobId, Attempt> = jobs.iter().map(|job| (*job, Attempt(1))).collect();
    board.handle_leased(agent(number), EPOCH, jobs, Ok(&written), now);
}

/// A board with job 1 of agent 1 standing there, its effects so far done.
fn board_with(stand: Stand) -> Board {
    let mut board = Board::new();
    let one = accepted(1);
    let id = one.queued.job;
    match stand {
        Stand::Unknown => open_session(&mut board, 1, 10),
        Stand::Queued => board.handle_accepted(vec![one], at(0)),
        Stand::Held => {
            let held = QueuedJob {
                not_before: Some(at(50)),
                ..one.queued
            };
            board.load(AcceptedJob { queued: held, ..one }, Attempt(1), HandedOut::No, at(0));
            open_session(&mut board, 1, 10);
        }
        Stand::Leasing => {
            open_session(&mut board, 1, 10);
            board.handle_accepted(vec![one], at(0));
        }
        Stand::InFlight | Stand::Disconnected | Stand::Ended => {
            open_session(&mut board, 1, 10);
            board.handle_accepted(vec![one], at(0));
            lease(&mut board, 1, &[id], at(0));
            if stand == Stand::Disconnected {
                board.handle_closed(agent(1), EPOCH, at(1));
            }
            if stand == Stand::Ended {
                board.handle_ended(id, Some(1), at(1));
            }
        }
        Stand::Ending => {
            board.handle_accepted(vec![one], at(0));
            board.handle_timeout(at(DEADLINE));
        }
    }
    effects(&mut board);
    board
}

#[test]
fn job_22_a_job_taken_back_is_told_to_its_agent_wherever_it_stands_and_twice_is_as_once() {
    let id = job(1, Tier::Free).job;
    let cancel = Effect::Cancel {
        agent: agent(1),
        epoch: EPOCH,
        jobs: vec![id],
    };
    for stand in STANDS {
        let mut board = board_with(stand);
        board.handle_cancelled(&[id]);
        let told = effects(&mut board);
        assert_eq!(told.contains(&cancel), stand == Stand::InFlight, "{stand:?}: {told:?}");
        board.handle_cancelled(&[id]);
        effects(&mut board);
        if stand == Stand::Leasing {
            lease(&mut board, 1, &[id], at(1));
            let told = effects(&mut board);
            assert!(
                matches!(&told[..], [Effect::HandOver { .. }, second] if *second == cancel),
                "behind the job: {told:?}"
            );
        }
        // The store ends what was queued at once, the rest at its agent's word; either is heard here once or twice.
        board.handle_ended(id, None, at(2));
        board.handle_ended(id, None, at(2));
        effects(&mut board);
        assert_eq!((board.open_jobs(), board.in_flight(), board.depth(Tier::Free)), (0, 0, 0), "{stand:?}");
    }
}

#[test]
fn job_22_a_job_taken_back_while_its_agent_was_away_is_not_handed_out_when_it_comes_back() {
    let mut board = board_with(Stand::Disconnected);
    let id = job(1, Tier::Free).job;
    board.handle_cancelled(&[id]);
    assert_eq!(effects(&mut board), [], "nobody is there to be told");
    // The store ends it with the agent's hello and has the agent drop it.
    board.handle_ended(id, None, at(5));
    board.handle_opened(agent(1), Epoch(2), &[], &[], at(5));
    board.handle_credit(agent(1), Epoch(2), 10, at(5));
    assert!(
        !effects(&mut board)
            .iter()
            .any(|effect| matches!(effect, Effect::Lease { .. } | Effect::HandOver { .. }))
    );
}

#[test]
fn the_deadline_ends_a_job_wherever_it_stands() {
    let id = job(1, Tier::Free).job;
    let grace = i64::try_from(DEADLINE_GRACE.as_secs()).unwrap();
    for stand in STANDS {
        let mut board = board_with(stand);
        let (due, reason) = match stand {
            Stand::Queued | Stand::Held => (DEADLINE, "deadline"),
            Stand::InFlight | Stand::Disconnected => (DEADLINE + grace, "no_answer"),
            Stand::Leasing => {
                board.handle_timeout(at(DEADLINE + 1));
                assert_eq!(effects(&mut board), [], "what the store is writing is waited for");
                lease(&mut board, 1, &[id], at(DEADLINE + 1));
                let asked = effects(&mut board);
                assert!(matches!(&asked[..], [Effect::End { end: End::Expired, .. }]), "never handed over: {asked:?}");
                continue;
            }
            Stand::Ending | Stand::Ended | Stand::Unknown => {
                board.handle_timeout(at(DEADLINE + 1_000));
                assert_eq!(effects(&mut board), [], "{stand:?}");
                continue;
            }
        };
        board.handle_timeout(at(due - 1));
        let before = effects(&mut board);
        assert!(!before.iter().any(|effect| matches!(effect, Effect::End { .. })), "{stand:?}: {before:?}");
        if stand == Stand::Held {
            // It was let go meanwhile, and stands as being leased.
            continue;
        }
        assert_eq!(board.poll_timeout(), Some(at(due)), "{stand:?}");
        board.handle_timeout(at(due));
        let expected = Effect::End {
            job: id,
            attempt: None,
            end: End::Expired,
            reason,
        };
        assert_eq!(effects(&mut board), [expected], "{stand:?}");
        board.handle_ended(id, None, at(due));
        assert_eq!((board.open_jobs(), board.poll_timeout()), (0, None), "{stand:?}");
    }
}

#[test]
fn a_job_held_for_a_retry_ends_at_its_deadline_though_its_agent_is_away() {
    let mut board = Board::new();
    let one = accepted(1);
    let held = QueuedJob {
        not_before: Some(at(200)),
        ..one.queued
    };
    board.load(AcceptedJob { queued: held, ..one }, Attempt(1), HandedOut::No, at(0));
    board.handle_timeout(at(DEADLINE));
    assert!(matches!(effects(&mut board)[..], [Effect::End { end: End::Expired, .. }]));
}

#[test]
fn job_23_leases_that_the_store_did_not_write_wait_again_and_are_asked_for_after_a_pause() {
    for failed in [true, false] {
        let mut board = board_with(Stand::Leasing);
        let id = job(1, Tier::Free).job;
        let nothing = BTreeMap::new();
        let result = if failed { Err(NotLeased) } else { Ok(&nothing) };
        board.handle_leased(agent(1), EPOCH, &[id], result, at(1));
        assert_eq!(effects(&mut board), [], "not at once, which would be for ever");
        assert_eq!(board.poll_timeout(), Some(at(2)));
        board.handle_timeout(at(2));
        assert!(matches!(&effects(&mut board)[..], [Effect::Lease { jobs, .. }] if jobs == &[id]));
        // The same answer again, late, changes nothing.
        lease(&mut board, 1, &[id], at(3));
        assert_eq!(effects(&mut board).len(), 1);
        lease(&mut board, 1, &[id], at(3));
        assert_eq!(effects(&mut board), [], "one attempt is handed over once");
    }
}

#[test]
fn a_lease_written_for_a_session_that_was_replaced_meanwhile_is_not_stuck() {
    let mut board = board_with(Stand::Leasing);
    let id = job(1, Tier::Free).job;
    // The store refuses the old session's lease; the new session is heard of only behind that.
    board.handle_leased(agent(1), EPOCH, &[id], Ok(&BTreeMap::new()), at(1));
    board.handle_opened(agent(1), Epoch(2), &[], &[], at(1));
    board.handle_credit(agent(1), Epoch(2), 10, at(1));
    assert!(matches!(&effects(&mut board)[..], [Effect::Lease { epoch: Epoch(2), jobs, .. }] if jobs == &[id]));
}

#[test]
fn when_a_capped_tenants_job_ends_its_jobs_on_other_agents_go_at_once() {
    let mut board = Board::new();
    let cap = TierLimits::starting(Tier::Free).in_flight;
    open_session(&mut board, 1, 100);
    open_session(&mut board, 2, 100);
    let on = |number, on| AcceptedJob {
        queued: QueuedJob {
            agent: agent(on),
            ..accepted(number).queued
        },
        ..accepted(number)
    };
    let first: Vec<AcceptedJob> = (0..cap).map(|number| on(number, 1)).collect();
    let ids: Vec<JobId> = first.iter().map(|job| job.queued.job).collect();
    board.handle_accepted(first, at(0));
    lease(&mut board, 1, &ids, at(0));
    board.handle_accepted(vec![on(90, 2)], at(0));
    assert!(
        !effects(&mut board)
            .iter()
            .any(|effect| matches!(effect, Effect::Lease { agent: on, .. } if *on == agent(2)))
    );
    board.handle_ended(ids[0], Some(1), at(1));
    let asked = effects(&mut board);
    assert!(
        asked.iter().any(|effect| matches!(effect, Effect::Lease { agent: on, .. } if *on == agent(2))),
        "{asked:?}"
    );
}

#[test]
fn aut_19_a_changed_table_and_a_changed_tier_reach_the_live_queue() {
    let mut board = Board::new();
    open_session(&mut board, 1, 100);
    let none = TierLimits {
        in_flight: 0,
        ..TierLimits::starting(Tier::Free)
    };
    board.handle_tiers(TierTable::default().with(Tier::Free, none), at(0));
    board.handle_accepted(vec![accepted(1)], at(0));
    assert_eq!(effects(&mut board), [], "held, not lost");
    assert_eq!(board.depth(Tier::Free), 1);
    board.handle_retiered(tenant(1), Tier::Standard, at(1));
    assert!(matches!(effects(&mut board)[..], [Effect::Lease { .. }]));
    board.handle_accepted(vec![accepted(2)], at(1));
    assert_eq!(
        (board.depth(Tier::Standard), board.depth(Tier::Free)),
        (1, 0),
        "what was accepted under the old tier goes under the new one"
    );
}

#[test]
fn an_agent_off_duty_gets_nothing_until_it_is_on_again() {
    let mut board = Board::new();
    open_session(&mut board, 1, 10);
    board.handle_duty(agent(1), Duty::Draining, at(0));
    board.handle_accepted(vec![accepted(1)], at(0));
    assert_eq!(effects(&mut board), []);
    board.handle_duty(agent(1), Duty::Working, at(1));
    assert!(matches!(effects(&mut board)[..], [Effect::Lease { .. }]));
}

#[test]
fn jobs_of_an_agent_that_is_gone_look_for_another_as_their_policies_say() {
    let mut board = Board::new();
    let transport = "transport".parse().unwrap();
    let of = |number, retry, choice| AcceptedJob {
        retry,
        choice,
        ..accepted(number)
    };
    let far_off = |job: AcceptedJob| AcceptedJob {
        queued: QueuedJob {
            deadline: at(10_000),
            ..job.queued
        },
        ..job
    };
    let jobs = [
        (of(1, transport, Choice::Matched), 1, HandedOut::Yes),
        (of(2, transport, Choice::Matched), 0, HandedOut::No),
        (of(3, transport, Choice::Named), 1, HandedOut::Yes),
        (of(4, RetryPolicy::None, Choice::Matched), 1, HandedOut::Yes),
        (of(5, transport, Choice::Matched), 3, HandedOut::Yes),
    ];
    for (job, attempt, handed_out) in jobs {
        board.load(far_off(job), Attempt(attempt), handed_out, at(0));
    }
    let gone = i64::try_from(AGENT_GONE.as_secs()).unwrap();
    assert_eq!(board.poll_timeout(), Some(at(gone)));
    board.handle_timeout(at(gone));
    let given_up = Effect::End {
        job: reference(5, 3).job,
        attempt: Some(Attempt(3)),
        end: End::Failed,
        reason: "agent_lost",
    };
    let looking = Effect::Move {
        agent: agent(1),
        jobs: vec![reference(1, 1), reference(2, 0)],
    };
    assert_eq!(effects(&mut board), [given_up, looking]);

    open_session(&mut board, 2, 10);
    board.handle_moved(reference(1, 1).job, agent(1), agent(2), at(gone + 1));
    let asked = effects(&mut board);
    assert!(
        matches!(&asked[..], [Effect::TakenBack(_), Effect::Lease { agent: on, .. }] if *on == agent(2)),
        "{asked:?}"
    );
    board.handle_timeout(at(2 * gone));
    assert!(
        effects(&mut board)
            .iter()
            .any(|effect| matches!(effect, Effect::Move { jobs, .. } if jobs == &[reference(2, 0)]))
    );
    board.handle_opened(agent(1), Epoch(7), &[], &[], at(2 * gone));
    board.handle_timeout(at(4 * gone));
    assert!(!effects(&mut board).iter().any(|effect| matches!(effect, Effect::Move { .. })), "it is back");
}

#[test]
fn the_load_of_an_agent_is_what_is_ahead_by_what_it_finishes() {
    let mut board = Board::new();
    let dear = |number| AcceptedJob {
        queued: QueuedJob {
            cost: 10,
            deadline: at(10_000),
            ..accepted(number).queued
        },
        ..accepted(number)
    };
    assert_eq!(board.agent_load(agent(1), Tier::Free, at(0)), AgentLoad::default());
    open_session(&mut board, 1, 20);
    let idle = board.agent_load(agent(1), Tier::Free, at(0));
    assert_eq!(
        (idle.online, idle.backlog, idle.drain_rate),
        (true, 0, Some(20.0)),
        "before it is measured its first grant says it"
    );
    let jobs: Vec<AcceptedJob> = (1..=3).map(dear).collect();
    let ids: Vec<JobId> = jobs.iter().take(2).map(|job| job.queued.job).collect();
    board.handle_accepted(jobs, at(0));
    lease(&mut board, 1, &ids, at(0));
    assert_eq!(board.agent_load(agent(1), Tier::Free, at(0)).backlog, 10 + 20);
    assert_eq!(
        board.agent_load(agent(1), Tier::Free, at(4)).backlog,
        10 + 12,
        "what is in flight is partly done"
    );
    board.handle_ended(ids[0], Some(5), at(5));
    board.handle_credit(agent(1), EPOCH, 30, at(5));
    let measured = board.agent_load(agent(1), Tier::Free, at(5)).drain_rate.unwrap();
    assert!((measured - 2.0).abs() < 0.2, "ten in five seconds: {measured}");
    board.handle_closed(agent(1), EPOCH, at(6));
    let away = board.agent_load(agent(1), Tier::Free, at(6));
    assert!(!away.online && away.backlog > 0);
}

#[test]
fn a_job_that_came_back_is_not_taken_up_by_a_session_that_is_heard_of_later() {
    let one = accepted(1).queued.job;
    let waits = |board: &mut Board| {
        // The session in which its agent gave it back; by then the store had it queued again.
        board.handle_opened(agent(1), Epoch(2), &[reference(1, 1)], &[], at(11));
        board.handle_credit(agent(1), Epoch(2), 100, at(11));
        board.in_flight() == 0
    };
    let mut held = board_with(Stand::InFlight);
    held.handle_returned(agent(1), reference(1, 1), Returned::Held(at(20)), at(10));
    assert!(waits(&mut held));
    effects(&mut held);
    held.handle_timeout(at(20));
    assert!(matches!(&effects(&mut held)[..], [Effect::Lease { epoch: Epoch(2), jobs, .. }] if jobs == &[one]));

    let mut leasing = board_with(Stand::InFlight);
    leasing.handle_returned(agent(1), reference(1, 1), Returned::Used, at(10));
    assert!(waits(&mut leasing), "while its next lease is being written for the session before");
    leasing.handle_leased(agent(1), EPOCH, &[one], Ok(&BTreeMap::new()), at(12));
    effects(&mut leasing);
    leasing.handle_timeout(at(13));
    assert!(matches!(&effects(&mut leasing)[..], [Effect::Lease { epoch: Epoch(2), jobs, .. }] if jobs == &[one]));
}

#[test]
fn a_retry_that_is_held_back_goes_when_its_time_has_come() {
    let mut board = board_with(Stand::InFlight);
    board.handle_returned(agent(1), reference(1, 1), Returned::Held(at(20)), at(5));
    board.handle_credit(agent(1), EPOCH, 20, at(5));
    assert_eq!(effects(&mut board), [Effect::TakenBack(reference(1, 1).job)]);
    assert_eq!(board.poll_timeout(), Some(at(20)));
    board.handle_timeout(at(19));
    assert_eq!(effects(&mut board), []);
    board.handle_timeout(at(20));
    assert!(matches!(effects(&mut board)[..], [Effect::Lease { .. }]));
    board.handle_returned(agent(1), reference(1, 1), Returned::Used, at(21));
    assert_eq!(effects(&mut board), [], "what is said of an earlier attempt changes nothing");
    let left = at(DEADLINE).since(at(20));
    assert!(left > Duration::ZERO);
}

#[test]
fn after_a_restart_the_order_the_counts_and_the_holds_are_as_they_were() {
    let mut live = Board::new();
    let with = |number: u32, tier, of, not_before: Option<i64>| AcceptedJob {
        queued: QueuedJob {
            tenant: tenant(of),
            cost: 1 + number % 3,
            deadline: at(1_000 + i64::from(number * 7 % 50)),
            not_before: not_before.map(at),
            ..job(number, tier)
        },
        ..accepted(number)
    };
    let tiers = [Tier::Free, Tier::Standard, Tier::Enterprise];
    let jobs: Vec<AcceptedJob> = (1..=40_u32)
        .map(|number| {
            let held = (number % 10 == 0).then_some(500);
            let of = u8::try_from(number % 4).unwrap();
            with(number, tiers[usize::try_from(number % 3).unwrap()], of, held)
        })
        .collect();
    let in_flight = with(41, Tier::Free, 1, None);
    live.handle_accepted(jobs.clone(), at(0));
    live.load(in_flight, Attempt(2), HandedOut::Yes, at(0));
    let mut again = Board::new();
    for job in &jobs {
        again.load(*job, Attempt(0), HandedOut::No, at(0));
    }
    again.load(in_flight, Attempt(2), HandedOut::Yes, at(0));
    let mut orders = Vec::new();
    for board in [&mut live, &mut again] {
        assert_eq!((board.open_jobs(), board.in_flight()), (41, 1));
        open_session(board, 1, 1_000);
        let mut order = Vec::new();
        while let Some(Effect::Lease { jobs, .. }) = effects(board).into_iter().find(|effect| matches!(effect, Effect::Lease { .. })) {
            lease(board, 1, &jobs, at(1));
            order.extend(jobs);
        }
        assert_eq!(board.poll_timeout(), Some(at(500)), "what is held is held as long as before");
        board.handle_timeout(at(500));
        for effect in effects(board) {
            if let Effect::Lease { jobs, .. } = effect {
                order.extend(jobs);
            }
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    assert!(orders[0].len() > 20, "{orders:?}");
}

#[test]
fn a_job_that_would_go_at_once_is_leased_as_it_is_stored() {
    let mut board = board_with(Stand::Unknown);
    let id = job(1, Tier::Free).job;
    assert_eq!(board.handle_arriving(&[accepted(1)], at(0)), BTreeMap::from([(id, EPOCH)]));
    assert_eq!(
        (effects(&mut board).len(), board.open_jobs(), board.in_flight()),
        (0, 1, 0),
        "nothing leaves before it is on disk"
    );
    board.handle_arrived(agent(1), EPOCH, id, Arrival::Leased(Attempt(1)), at(0));
    let effects = effects(&mut board);
    assert!(
        matches!(effects[..], [Effect::HandOver { job, epoch: EPOCH, .. }] if job == reference(1, 1)),
        "{effects:?}"
    );
    assert_eq!((board.open_jobs(), board.in_flight()), (1, 1));
}

#[test]
fn a_job_goes_ahead_of_nobody_by_arriving() {
    let one = accepted(2);
    // Nobody is there; the agent is there and has something waiting, or may not work, or takes no more, or its tenant may not have more in flight.
    let mut absent = Board::new();
    assert!(absent.handle_arriving(&[one], at(0)).is_empty());
    let mut behind_a_held_one = board_with(Stand::Held);
    assert!(behind_a_held_one.handle_arriving(&[one], at(0)).is_empty());
    let mut draining = board_with(Stand::Unknown);
    draining.handle_duty(agent(1), Duty::Draining, at(0));
    assert!(draining.handle_arriving(&[one], at(0)).is_empty());
    let mut full = Board::new();
    open_session(&mut full, 1, 1);
    full.handle_accepted(vec![accepted(1)], at(0));
    assert!(full.handle_arriving(&[one], at(0)).is_empty());
    let mut capped = board_with(Stand::Unknown);
    let free = TierLimits {
        in_flight: 1,
        ..TierTable::default().of(Tier::Free).clone()
    };
    capped.handle_tiers(TierTable::default().with(Tier::Free, free), at(0));
    assert_eq!(capped.handle_arriving(&[accepted(1)], at(0)).len(), 1);
    assert!(capped.handle_arriving(&[one], at(0)).is_empty());
    for mut board in [absent, behind_a_held_one, draining, full, capped] {
        let before = board.open_jobs();
        let _ = effects(&mut board);
        board.handle_accepted(vec![one], at(0));
        assert_eq!(board.open_jobs(), before + 1, "it was not taken in before");
    }
}

#[test]
fn a_job_that_was_not_stored_leaves_nothing_behind() {
    let mut board = Board::new();
    open_session(&mut board, 1, 1);
    let id = job(1, Tier::Free).job;
    assert_eq!(board.handle_arriving(&[accepted(1)], at(0)).len(), 1);
    board.handle_accepted(vec![accepted(2)], at(0));
    assert!(effects(&mut board).is_empty(), "the first has all the credit");
    board.handle_arrived(agent(1), EPOCH, id, Arrival::Refused, at(0));
    assert_eq!(board.open_jobs(), 1);
    let effects = effects(&mut board);
    assert!(
        matches!(&effects[..], [Effect::Lease { jobs, .. }] if jobs[..] == [accepted(2).queued.job]),
        "{effects:?}"
    );
}

#[test]
fn a_job_that_arrives_for_a_session_that_is_gone_waits_for_the_next() {
    let mut board = board_with(Stand::Unknown);
    let id = job(1, Tier::Free).job;
    assert_eq!(board.handle_arriving(&[accepted(1)], at(0)).len(), 1);
    board.handle_opened(agent(1), Epoch(2), &[], &[], at(0));
    board.handle_credit(agent(1), Epoch(2), 5, at(0));
    board.handle_arrived(agent(1), EPOCH, id, Arrival::Queued, at(0));
    assert!(effects(&mut board).is_empty());
    board.handle_timeout(at(1));
    let effects = effects(&mut board);
    assert!(
        matches!(&effects[..], [Effect::Lease { jobs, epoch: Epoch(2), .. }] if jobs[..] == [id]),
        "{effects:?}"
    );
}
