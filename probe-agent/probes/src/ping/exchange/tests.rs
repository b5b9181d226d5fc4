//! The exchange on a clock of our own.

use proptest::prelude::*;

use super::*;

const START: u64 = 1_000_000;
const WALL_OFFSET: i64 = 1_700_000_000_000_000_000;

fn at(micros: u64) -> MonotonicMicros {
    MonotonicMicros::from_micros(START + micros)
}

fn moment(micros: u64) -> Moment {
    Moment {
        monotonic: at(micros),
        wall_offset_ns: WALL_OFFSET,
    }
}

fn stamp(micros: u64) -> i64 {
    WALL_OFFSET + i64::try_from((START + micros) * 1_000).unwrap()
}

fn exchange(count: u32) -> Exchange {
    let plan = Plan {
        target: "127.0.0.1".parse().unwrap(),
        count,
        interval: Duration::from_millis(200),
        wait: Duration::from_secs(1),
        deadline: at(60_000_000),
    };
    Exchange::new(plan, at(0))
}

/// Kernel's receive timestamp 10 µs before user space gets to it.
fn receipt(micros: u64) -> Receipt {
    Receipt {
        at_ns: Some(stamp(micros - 10)),
        moment: moment(micros),
        ttl: Some(64),
        bytes: 64,
    }
}

fn send(exchange: &mut Exchange, micros: u64) -> u32 {
    let index = exchange.poll_send(at(micros)).expect("a request is due");
    exchange.handle_sent(index, moment(micros));
    exchange.handle_answer(index, Answer::Transmitted { at_ns: stamp(micros + 5) });
    index
}

fn drain(exchange: &mut Exchange) -> Vec<PingPacket> {
    std::iter::from_fn(|| exchange.poll_event()).collect()
}

#[test]
fn requests_leave_one_interval_apart() {
    let mut exchange = exchange(3);
    assert_eq!(exchange.poll_timeout(), at(0));
    assert_eq!(send(&mut exchange, 0), 0);
    assert_eq!(exchange.poll_send(at(199_999)), None);
    assert_eq!(exchange.poll_timeout(), at(200_000));
    assert_eq!(send(&mut exchange, 200_000), 1);
    assert_eq!(send(&mut exchange, 400_000), 2);
    assert_eq!(exchange.poll_send(at(9_000_000)), None);
}

#[test]
fn a_late_agent_does_not_send_in_a_burst() {
    let mut exchange = exchange(3);
    send(&mut exchange, 0);
    send(&mut exchange, 900_000);
    assert_eq!(exchange.poll_send(at(900_001)), None);
    assert_eq!(exchange.poll_send(at(1_100_000)), Some(2));
}

#[test]
fn no_request_leaves_while_another_is_leaving() {
    let mut exchange = exchange(2);
    assert_eq!(exchange.poll_send(at(0)), Some(0));
    assert_eq!(exchange.poll_send(at(5_000_000)), None);
    assert_eq!(exchange.poll_timeout(), at(60_000_000), "nothing to do but to give up");
    exchange.handle_sent(0, moment(5_000_000));
    assert_eq!(exchange.poll_send(at(5_200_000)), Some(1));
}

#[test]
fn a_reply_carries_both_clocks() {
    let mut exchange = exchange(1);
    send(&mut exchange, 0);
    exchange.handle_answer(0, Answer::Reply(receipt(17_000)));
    assert!(exchange.is_finished());
    let told = drain(&mut exchange);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].rtt_us, told[0].user_rtt_us), (Some(16_985), Some(17_000)));
    assert_eq!((told[0].reply_ttl, told[0].bytes, told[0].from), (Some(64), Some(64), None));
    assert_eq!(exchange.packets(), told);
    let statistics = exchange.statistics();
    assert_eq!((statistics.sent, statistics.received, statistics.loss), (1, 1, 0.0));
    assert_eq!(statistics.rtt.unwrap().avg_us, 16_985);
}

#[test]
fn a_reply_waits_for_the_transmit_timestamp_and_no_longer_than_the_wait() {
    for stamped in [true, false] {
        let mut exchange = exchange(1);
        exchange.poll_send(at(0)).unwrap();
        exchange.handle_sent(0, moment(0));
        exchange.handle_answer(0, Answer::Reply(receipt(500)));
        assert!(!exchange.is_finished());
        assert_eq!(exchange.poll_timeout(), at(1_000_000));
        if stamped {
            exchange.handle_answer(0, Answer::Transmitted { at_ns: stamp(5) });
        } else {
            exchange.handle_timeout(at(1_000_000));
        }
        assert!(exchange.is_finished());
        let expected = stamped.then_some(485);
        assert_eq!((drain(&mut exchange)[0].rtt_us, exchange.statistics().received), (expected, 1));
    }
}

#[test]
fn job_19_a_timestamp_that_cannot_be_gives_no_round_trip_time() {
    let odd = [
        ("before it was sent", stamp(0) - 1, WALL_OFFSET),
        ("in the future", stamp(3_600_000_000), WALL_OFFSET),
        ("across a step of the wall clock", stamp(400), WALL_OFFSET + 2_000_000),
    ];
    for (name, at_ns, wall_offset_ns) in odd {
        let mut exchange = exchange(1);
        send(&mut exchange, 0);
        let mut odd = receipt(500);
        odd.at_ns = Some(at_ns);
        odd.moment.wall_offset_ns = wall_offset_ns;
        exchange.handle_answer(0, Answer::Reply(odd));
        let told = drain(&mut exchange);
        assert_eq!((told[0].rtt_us, told[0].user_rtt_us), (None, Some(500)), "{name}");
    }
}

#[test]
fn an_unanswered_request_ends_with_its_wait_and_a_later_reply_is_late() {
    let mut exchange = exchange(2);
    send(&mut exchange, 0);
    send(&mut exchange, 200_000);
    exchange.handle_timeout(at(1_000_000));
    exchange.handle_answer(0, Answer::Reply(receipt(1_050_000)));
    exchange.handle_answer(1, Answer::Reply(receipt(1_060_000)));
    let statistics = exchange.statistics();
    assert_eq!((statistics.sent, statistics.received, statistics.late, statistics.duplicates), (2, 1, 1, 0));
    assert!((statistics.loss - 0.5).abs() < 1e-9);
    let packets = exchange.packets();
    assert_eq!(
        packets.iter().map(|packet| (packet.seq, packet.late)).collect::<Vec<_>>(),
        [(0, false), (0, true), (1, false)]
    );
    assert_eq!(packets[1].user_rtt_us, Some(1_050_000));
    assert_eq!(drain(&mut exchange).len(), 3);
}

#[test]
fn a_busy_host_does_not_make_a_reply_late() {
    let mut exchange = exchange(1);
    send(&mut exchange, 0);
    let mut slow = receipt(2_000_000);
    slow.at_ns = Some(stamp(900));
    exchange.handle_answer(0, Answer::Reply(slow));
    let statistics = exchange.statistics();
    assert_eq!((statistics.received, statistics.late, statistics.rtt.unwrap().max_us), (1, 0, 895));
}

#[test]
fn job_19_a_thousand_duplicates_are_counted_and_a_hundred_are_listed() {
    let mut exchange = exchange(1);
    send(&mut exchange, 0);
    for number in 0..1_001 {
        exchange.handle_answer(0, Answer::Reply(receipt(100 + number)));
    }
    let statistics = exchange.statistics();
    assert_eq!((statistics.received, statistics.duplicates, statistics.rtt.unwrap().max_us), (1, 1_000, 85));
    assert_eq!(exchange.packets().len(), 101);
    assert_eq!((exchange.left_out(), drain(&mut exchange).len()), (900, 101));
}

#[test]
fn overtaken_replies_are_reordered() {
    let mut exchange = exchange(3);
    for index in 0..3 {
        send(&mut exchange, index * 200_000);
    }
    for index in [2, 0, 1] {
        exchange.handle_answer(index, Answer::Reply(receipt(500_000)));
    }
    assert_eq!(exchange.statistics().reordered, 2);
}

#[test]
fn an_icmp_error_is_an_answer_but_not_a_reply() {
    let mut exchange = exchange(1);
    send(&mut exchange, 0);
    let router = "127.0.0.200".parse().unwrap();
    exchange.handle_answer(
        0,
        Answer::Error {
            from: Some(router),
            kind: (11, 0),
            receipt: receipt(400),
        },
    );
    let told = drain(&mut exchange);
    assert_eq!((told[0].icmp_error, told[0].from, told[0].rtt_us), (Some((11, 0)), Some(router), Some(385)));
    let statistics = exchange.statistics();
    assert_eq!((statistics.sent, statistics.received, statistics.errors, statistics.loss), (1, 0, 1, 1.0));
    assert_eq!(statistics.rtt, None);
}

#[test]
fn what_could_not_be_sent_is_not_loss() {
    let mut exchange = exchange(2);
    exchange.poll_send(at(0)).unwrap();
    exchange.handle_send_failed(0, SendFailure::Kernel(1));
    send(&mut exchange, 200_000);
    exchange.handle_answer(1, Answer::Reply(receipt(200_500)));
    let statistics = exchange.statistics();
    assert_eq!((statistics.sent, statistics.received, statistics.loss), (1, 1, 0.0));
    assert_eq!(exchange.packets()[0].errno, Some(1));
    assert_eq!(exchange.unsent(), [SendFailure::Kernel(1)]);
}

#[test]
fn what_has_not_left_by_the_deadline_is_given_up() {
    let mut exchange = exchange(3);
    send(&mut exchange, 0);
    exchange.handle_answer(0, Answer::Reply(receipt(500)));
    exchange.poll_send(at(200_000)).unwrap();
    exchange.handle_timeout(at(60_000_000));
    assert!(exchange.is_finished());
    assert_eq!(exchange.unsent(), [SendFailure::NoRoom; 2]);
}

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Transmitted(u32),
    Reply(u32),
    Error(u32),
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u64..400_000).prop_map(Step::Advance),
        (0_u32..8).prop_map(Step::Transmitted),
        (0_u32..8).prop_map(Step::Reply),
        (0_u32..8).prop_map(Step::Error),
        Just(Step::Fail),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_every_request_ends_once_and_the_numbers_agree(steps in proptest::collection::vec(step(), 0..200)) {
        let mut exchange = exchange(6);
        let mut now = 1_000;
        let mut leaving = None;
        for step in steps {
            match step {
                Step::Advance(micros) => {
                    now += micros;
                    exchange.handle_timeout(at(now));
                    if let Some(index) = leaving.take() {
                        exchange.handle_sent(index, moment(now));
                    }
                    leaving = exchange.poll_send(at(now));
                }
                Step::Transmitted(index) => exchange.handle_answer(index, Answer::Transmitted { at_ns: stamp(now) }),
                Step::Reply(index) => exchange.handle_answer(index, Answer::Reply(receipt(now))),
                Step::Error(index) => exchange.handle_answer(index, Answer::Error { from: None, kind: (3, 1), receipt: receipt(now) }),
                Step::Fail => if let Some(index) = leaving.take() {
                    exchange.handle_send_failed(index, SendFailure::Kernel(105));
                },
            }
            prop_assert!(exchange.is_finished() || exchange.poll_timeout() >= at(0));
        }
        // In flight to the end: the deadline, and a wait after it.
        exchange.handle_timeout(at(60_000_000));
        exchange.handle_timeout(at(120_000_000));
        prop_assert!(exchange.is_finished());
        let packets = exchange.packets();
        let first: Vec<u32> = packets.iter().filter(|packet| !packet.duplicate && !packet.late).map(|packet| packet.seq).collect();
        prop_assert_eq!(first, (0..6).collect::<Vec<_>>());
        let numbers = exchange.statistics();
        prop_assert!(numbers.received <= numbers.sent && numbers.sent <= 6);
        prop_assert!((0.0..=1.0).contains(&numbers.loss));
        prop_assert_eq!(numbers.sent + u32::try_from(exchange.unsent().len()).unwrap(), 6);
        let answered = |packet: &&PingPacket| packet.user_rtt_us.is_some() && packet.icmp_error.is_none() && !packet.duplicate && !packet.late;
        prop_assert_eq!(usize::try_from(numbers.received).unwrap(), packets.iter().filter(answered).count());
        for packet in &packets {
            if let (Some(kernel), Some(user)) = (packet.rtt_us, packet.user_rtt_us) {
                prop_assert!(kernel <= user + 1_000, "the kernel's time lies within user space's");
            }
        }
        prop_assert_eq!(drain(&mut exchange).len(), packets.len());
    }
}
