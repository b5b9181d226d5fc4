use proptest::prelude::*;

use super::*;
use crate::net::icmp::SweepArrival;

fn plan(targets: u32, count: u32) -> Plan {
    Plan {
        targets,
        count,
        interval: Duration::from_millis(100),
        wait: Duration::from_millis(50),
        deadline: at(10_000).monotonic,
        stamps: Stamps::Given,
    }
}

fn at(millis: u64) -> Moment {
    Moment {
        monotonic: MonotonicMicros::from_micros(1_000_000 + millis * 1_000),
        wall_offset_ns: 5_000_000_000,
    }
}

/// The kernel's stamp for a moment, so many microseconds before it.
fn stamp(moment: Moment, before_us: i64) -> i64 {
    moment.wall_ns() - before_us * 1_000
}

const fn arrival(index: u32, what: SweepAnswer, at_ns: i64) -> SweepArrival {
    SweepArrival {
        index,
        at_ns: Some(at_ns),
        interface: 0,
        what,
    }
}

fn hear(sweep: &mut Sweep, moment: Moment, arrivals: &[SweepArrival]) {
    sweep.handle_batch(&SweepBatch {
        moment,
        arrivals: arrivals.to_vec(),
    });
}

/// Sends what is due, with its stamps.
fn send(sweep: &mut Sweep, moment: Moment) -> std::ops::Range<u32> {
    let due = sweep.poll_batch(64, moment.monotonic);
    sweep.handle_sent(due.end - due.start, &moment);
    let stamps: Vec<_> = due.clone().map(|index| arrival(index, SweepAnswer::Transmitted, stamp(moment, 0))).collect();
    hear(sweep, moment, &stamps);
    due
}

#[test]
fn rounds_begin_an_interval_apart_and_batches_stay_within_them() {
    let mut sweep = Sweep::new(plan(100, 2), at(0));
    assert_eq!((send(&mut sweep, at(0)), send(&mut sweep, at(1))), (0..64, 64..100));
    assert_eq!(sweep.poll_batch(64, at(99).monotonic), 100..100);
    assert_eq!(sweep.poll_timeout(), at(100).monotonic);
    assert_eq!((send(&mut sweep, at(120)), send(&mut sweep, at(121))), (100..164, 164..200));
    assert!(!sweep.is_finished(at(170).monotonic));
    assert!(sweep.is_finished(at(171).monotonic), "everything has been waited for");
}

#[test]
fn each_target_gets_what_came_of_it() {
    let mut sweep = Sweep::new(plan(4, 2), at(0));
    send(&mut sweep, at(0));
    hear(
        &mut sweep,
        at(20),
        &[
            arrival(0, SweepAnswer::Reply, stamp(at(20), 1_000)),
            arrival(0, SweepAnswer::Reply, stamp(at(20), 900)),
            arrival(1, SweepAnswer::Reply, stamp(at(20), 500)),
            arrival(2, SweepAnswer::Error, stamp(at(20), 500)),
        ],
    );
    send(&mut sweep, at(100));
    hear(&mut sweep, at(110), &[arrival(4, SweepAnswer::Reply, stamp(at(110), 1_000))]);
    hear(&mut sweep, at(151), &[arrival(5, SweepAnswer::Reply, stamp(at(151), 0))]);
    let summary = sweep.summary(true);
    let columns = summary.columns;
    assert_eq!((columns.sent, columns.received), (vec![2; 4], vec![2, 1, 0, 0]));
    assert_eq!(
        (columns.late, columns.duplicates, columns.errors),
        (vec![0, 1, 0, 0], vec![1, 0, 0, 0], vec![0, 0, 1, 0])
    );
    assert_eq!(columns.rtt.min_us, [Some(9_000), Some(19_500), None, None]);
    assert_eq!(columns.rtt.avg_us, [Some(14_000), Some(19_500), None, None]);
    assert_eq!(columns.rtt.max_us, [Some(19_000), Some(19_500), None, None]);
    assert_eq!(columns.rtt.stddev_us, [Some(5_000), Some(0), None, None]);
    assert_eq!(columns.user_rtt.max_us, [Some(20_000), Some(20_000), None, None]);
    assert_eq!(columns.each_rtt_us[..2], [vec![Some(19_000), Some(9_000)], vec![Some(19_500), None]]);
    let totals = summary.totals;
    assert_eq!((totals.targets, totals.answered, totals.sent, totals.received), (4, 2, 8, 3));
    assert_eq!((totals.late, totals.duplicates, totals.errors, totals.sending_us), (1, 1, 1, 100_000));
    assert!((totals.loss - 5.0 / 8.0).abs() < 1e-9);
    assert_eq!((summary.unstamped, summary.unsent, summary.untimed), (0, 0, 0));
}

#[test]
fn when_all_is_answered_nothing_is_waited_for() {
    let mut sweep = Sweep::new(plan(2, 1), at(0));
    send(&mut sweep, at(0));
    let replies = [0, 1].map(|index| arrival(index, SweepAnswer::Reply, stamp(at(1), 0)));
    hear(&mut sweep, at(1), &replies);
    assert!(sweep.is_finished(at(1).monotonic));
    assert_eq!(sweep.progress().received, 2);
}

#[test]
fn what_never_left_this_host_is_no_loss() {
    let mut sweep = Sweep::new(plan(3, 1), at(0));
    sweep.handle_sent(1, &at(0));
    sweep.handle_unsent();
    sweep.handle_sent(1, &at(0));
    hear(&mut sweep, at(0), &[arrival(2, SweepAnswer::Transmitted, stamp(at(0), 0))]);
    let summary = sweep.summary(false);
    assert_eq!((summary.columns.sent, summary.unstamped, summary.unsent), (vec![0, 0, 1], 1, 1));
    assert!((summary.totals.loss - 1.0).abs() < 1e-9, "the one that left was lost");
    sweep.plan.stamps = Stamps::Missing;
    assert_eq!(sweep.summary(false).totals.sent, 2, "without stamps nobody can tell");
}

#[test]
fn it_does_not_run_ahead_of_those_who_read() {
    let mut sweep = Sweep::new(plan(2_000, 1), at(0));
    for _ in 0..16 {
        let due = sweep.poll_batch(64, at(0).monotonic);
        sweep.handle_sent(due.end - due.start, &at(0));
    }
    assert!(sweep.poll_batch(64, at(19).monotonic).is_empty());
    assert_eq!(sweep.poll_timeout(), at(20).monotonic);
    hear(&mut sweep, at(1), &[arrival(0, SweepAnswer::Transmitted, stamp(at(0), 0))]);
    assert_eq!(sweep.poll_batch(64, at(1).monotonic), 1_024..1_088, "the readers are there");
    sweep.handle_sent(64, &at(1));
    assert!(sweep.poll_batch(64, at(20).monotonic).is_empty());
    assert_eq!(
        sweep.poll_batch(64, at(21).monotonic),
        1_088..1_152,
        "stamps that were lost are not waited for for ever"
    );
}

/// What an interface shows of a request.
fn shown(index: u32, what: SweepAnswer, interface: u32, at_ns: i64) -> SweepArrival {
    SweepArrival {
        interface,
        ..arrival(index, what, at_ns)
    }
}

#[test]
fn where_interfaces_are_to_show_what_leaves_the_first_batch_waits_for_it() {
    let unproven = Plan {
        stamps: Stamps::Unproven,
        ..plan(200, 1)
    };
    let mut sweep = Sweep::new(unproven, at(0));
    sweep.handle_sent(64, &at(0));
    assert!(sweep.poll_batch(64, at(1).monotonic).is_empty());
    let socket = arrival(0, SweepAnswer::Transmitted, stamp(at(0), 0));
    hear(&mut sweep, at(1), &[socket]);
    assert!(
        sweep.poll_batch(64, at(1).monotonic).is_empty(),
        "what a socket says shows nothing of the interfaces"
    );
    assert!(!sweep.is_blind(at(49).monotonic));
    assert_eq!(sweep.poll_timeout(), at(50).monotonic);
    assert!(sweep.is_blind(at(50).monotonic));
    hear(&mut sweep, at(50), &[shown(1, SweepAnswer::Transmitted, 3, stamp(at(0), 0))]);
    assert!(!sweep.is_blind(at(50).monotonic));
    assert_eq!(sweep.poll_batch(64, at(50).monotonic), 64..128);
}

#[test]
fn a_reply_that_stacked_interfaces_show_twice_came_once() {
    let mut sweep = Sweep::new(plan(2, 1), at(0));
    send(&mut sweep, at(0));
    let came = stamp(at(1), 500);
    let seen = |interface| shown(0, SweepAnswer::Reply, interface, came);
    hear(&mut sweep, at(1), &[seen(2), seen(7)]);
    assert_eq!(sweep.summary(false).totals.duplicates, 0);
    hear(&mut sweep, at(1), &[seen(2), seen(7)]);
    let summary = sweep.summary(false);
    assert_eq!((summary.totals.received, summary.totals.duplicates), (1, 1), "it came again");
    assert_eq!(summary.columns.rtt.min_us[0], Some(500), "by the first of them");
}

#[test]
fn a_wall_clock_that_is_set_meanwhile_leaves_the_times_of_user_space() {
    let mut sweep = Sweep::new(plan(1, 1), at(0));
    send(&mut sweep, at(0));
    let stepped = Moment {
        wall_offset_ns: at(0).wall_offset_ns + 2_000_000,
        ..at(10)
    };
    hear(&mut sweep, stepped, &[arrival(0, SweepAnswer::Reply, stamp(at(10), 0))]);
    let summary = sweep.summary(false);
    assert_eq!(
        (summary.columns.rtt.avg_us, summary.columns.user_rtt.avg_us, summary.untimed),
        (vec![None], vec![Some(10_000)], 1)
    );
}

#[test]
fn at_the_deadline_what_has_not_left_is_given_up() {
    let mut sweep = Sweep::new(plan(10, 1), at(0));
    assert!(!sweep.is_out_of_time(at(9_999).monotonic));
    assert!(sweep.is_out_of_time(at(10_000).monotonic));
    for _ in 0..20 {
        sweep.handle_unsent();
    }
    assert!(sweep.is_finished(at(10_050).monotonic));
    assert_eq!(sweep.summary(false).unsent, 10);
}

proptest! {
    #[test]
    fn job_19_whatever_comes_the_columns_add_up(
        targets in 1_u32..20,
        count in 1_u32..5,
        arrivals in proptest::collection::vec((0_u32..120, 0_u8..3, 0_u64..400), 0..200),
    ) {
        let mut sweep = Sweep::new(plan(targets, count), at(0));
        let mut now = 0;
        for (index, what, later) in arrivals {
            now += later / 10;
            send(&mut sweep, at(now));
            let what = [SweepAnswer::Transmitted, SweepAnswer::Reply, SweepAnswer::Error][usize::from(what)];
            hear(&mut sweep, at(now), &[arrival(index, what, stamp(at(now), 0))]);
        }
        let summary = sweep.summary(true);
        let columns = &summary.columns;
        prop_assert_eq!(columns.sent.len(), usize::try_from(targets).unwrap());
        prop_assert_eq!(columns.sent.iter().sum::<u32>(), summary.totals.sent);
        prop_assert_eq!(columns.received.iter().sum::<u32>(), summary.totals.received);
        prop_assert_eq!(summary.totals.sent + summary.unsent + summary.unstamped, targets * count);
        for (sent, received) in columns.sent.iter().zip(&columns.received) {
            prop_assert!(received <= sent && *sent <= count);
        }
        let progress = sweep.progress();
        prop_assert!(progress.answered <= progress.targets && progress.received <= progress.sent && progress.sent <= progress.planned);
    }
}
