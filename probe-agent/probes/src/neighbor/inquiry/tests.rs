use super::*;

const OURS: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);
const WAIT: Duration = Duration::from_millis(100);

fn at(millis: u64) -> MonotonicMicros {
    MonotonicMicros::from_micros(millis * 1_000)
}

fn moment(millis: u64) -> Moment {
    Moment {
        monotonic: at(millis),
        wall_offset_ns: 0,
    }
}

fn mac(last: u8) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 1, last])
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn inquiry(addresses: &[(u8, Whose)]) -> Inquiry {
    let plan = Plan {
        addresses: addresses.iter().map(|(last, whose)| (address(*last), *whose)).collect(),
        tries: 2,
        interval: Duration::from_millis(10),
        wait: WAIT,
        mac: OURS,
        source: address(1),
    };
    Inquiry::new(plan, at(0))
}

/// Something seen at the interface, with a kernel's stamp half a millisecond before user space sees it.
fn seen(last: u8, what: Heard, millis: u64) -> NeighborArrival {
    NeighborArrival {
        address: address(last),
        what,
        at_ns: Some(i64::try_from(millis * 1_000_000).unwrap() - 500_000),
        moment: moment(millis),
    }
}

fn answer(owner: MacAddress, to: u8) -> Heard {
    Heard::Answer {
        owner,
        to: address(to),
        router: false,
    }
}

fn nobodys(owner: MacAddress) -> Heard {
    Heard::Answer {
        owner,
        to: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        router: false,
    }
}

/// Asks for the address that is due.
fn ask(inquiry: &mut Inquiry, millis: u64) -> Ask {
    let ask = inquiry.poll_ask(at(millis)).unwrap();
    inquiry.handle_sent(ask.place, moment(millis));
    ask
}

fn state(inquiry: &Inquiry, last: u8) -> Option<(NeighborState, Option<MacAddress>, usize)> {
    let result = inquiry.results().into_iter().find(|result| result.address == address(last))?;
    Some((result.state, result.mac, result.others.len()))
}

#[test]
fn questions_leave_one_by_one_and_only_silence_is_asked_again() {
    let mut inquiry = inquiry(&[(2, Whose::Anybodys), (3, Whose::Anybodys)]);
    assert_eq!(ask(&mut inquiry, 0).asker, Asker::Interface);
    assert_eq!(inquiry.poll_ask(at(9)), None);
    assert_eq!(inquiry.poll_timeout(at(4)), Some(Duration::from_millis(6)));
    assert_eq!(ask(&mut inquiry, 10).address, address(3));
    inquiry.handle_arrival(&seen(2, Heard::Question, 1));
    inquiry.handle_arrival(&seen(2, answer(mac(2), 1), 3));
    assert!(inquiry.gives_up(at(100)) && !inquiry.gives_up(at(99)));
    inquiry.handle_timeout(at(110));
    assert_eq!(ask(&mut inquiry, 110).address, address(3), "2 has answered");
    inquiry.handle_timeout(at(209));
    assert!(!inquiry.is_finished());
    inquiry.handle_timeout(at(210));
    assert!(inquiry.is_finished());
    assert_eq!(inquiry.silent(), [AddressRun { first: address(3), count: 1 }]);
    let results = inquiry.results();
    assert_eq!((results[0].rtt_us, results[0].user_rtt_us, results[0].tries), (Some(2_000), Some(3_000), 1));
    let numbers = inquiry.statistics();
    assert_eq!((numbers.addresses, numbers.present, numbers.silent, numbers.sent), (2, 1, 1, 3));
    assert_eq!(numbers.rtt.unwrap().avg_us, 2_000);
    assert_eq!(inquiry.poll_event().unwrap().mac, Some(mac(2)));
    assert_eq!(inquiry.poll_event(), None);
}

#[test]
fn nbr_06_two_that_say_to_have_an_address_are_a_conflict_and_one_that_says_so_twice_is_not() {
    let mut inquiry = inquiry(&[(2, Whose::Anybodys)]);
    ask(&mut inquiry, 0);
    for (owner, expected) in [(2, NeighborState::Present), (2, NeighborState::Present), (9, NeighborState::Conflict)] {
        inquiry.handle_arrival(&seen(2, answer(mac(owner), 1), 1));
        assert_eq!(state(&inquiry, 2).unwrap().0, expected);
    }
    for owner in 100..200 {
        inquiry.handle_arrival(&seen(2, answer(mac(owner), 1), 2));
    }
    assert_eq!(
        state(&inquiry, 2),
        Some((NeighborState::Conflict, Some(mac(2)), 8)),
        "no more than that are kept"
    );
    assert_eq!(inquiry.statistics().conflicts, 1);
    assert_eq!(std::iter::from_fn(|| inquiry.poll_event()).count(), 9, "once for each that was new");
}

#[test]
fn our_own_address_is_ours_unless_another_has_it_too() {
    let mut inquiry = inquiry(&[(1, Whose::Ours), (2, Whose::Ours), (3, Whose::OursUnasked)]);
    assert_eq!(ask(&mut inquiry, 0).asker, Asker::Nobody);
    assert_eq!(ask(&mut inquiry, 10).asker, Asker::Nobody);
    assert_eq!(inquiry.poll_ask(at(20)), None, "no packet may leave for the third");
    inquiry.handle_arrival(&seen(1, nobodys(OURS), 11));
    inquiry.handle_arrival(&seen(2, answer(mac(9), 1), 11));
    assert_eq!(state(&inquiry, 2), Some((NeighborState::Own, Some(OURS), 0)), "said to another than nobody");
    inquiry.handle_arrival(&seen(2, nobodys(mac(9)), 11));
    let conflict = inquiry.results().into_iter().find(|result| result.address == address(2)).unwrap();
    assert_eq!(
        (conflict.state, conflict.mac, conflict.others),
        (NeighborState::Conflict, Some(OURS), vec![mac(9)])
    );
    assert_eq!(state(&inquiry, 1), Some((NeighborState::Own, Some(OURS), 0)));
    assert_eq!(state(&inquiry, 3), Some((NeighborState::Own, Some(OURS), 0)));
    let numbers = inquiry.statistics();
    assert_eq!((numbers.own, numbers.conflicts, numbers.silent), (2, 1, 0));
}

#[test]
fn nbr_07_answers_to_others_unasked_and_about_strangers_count_for_nothing() {
    let mut inquiry = inquiry(&[(2, Whose::Anybodys), (3, Whose::Anybodys)]);
    ask(&mut inquiry, 0);
    for (last, what) in [(2, answer(mac(2), 7)), (2, nobodys(mac(2))), (3, answer(mac(3), 1)), (77, answer(mac(4), 1))] {
        inquiry.handle_arrival(&seen(last, what, 1));
    }
    assert_eq!(inquiry.poll_event(), None);
    assert_eq!(state(&inquiry, 2).unwrap().0, NeighborState::Unknown, "its wait is not over");
}

#[test]
fn what_did_not_leave_is_not_known_and_no_silence() {
    let unsent = Unsent {
        code: ErrorCode::Resource,
        errno: Some(105),
    };
    let mut inquiry = inquiry(&[(2, Whose::Anybodys), (3, Whose::Anybodys)]);
    let first = inquiry.poll_ask(at(0)).unwrap();
    inquiry.handle_unsent(first.place, unsent);
    ask(&mut inquiry, 10);
    inquiry.handle_timeout(at(110));
    let again = inquiry.poll_ask(at(110)).unwrap();
    inquiry.handle_unsent(again.place, unsent);
    assert!(inquiry.is_finished());
    let results = inquiry.results();
    assert_eq!(
        (results.len(), results[0].state, results[0].code, results[0].errno),
        (1, NeighborState::Unknown, Some(ErrorCode::Resource), Some(105))
    );
    assert_eq!(inquiry.silent(), [AddressRun { first: address(3), count: 1 }], "what its one question said");
    assert_eq!(inquiry.first_unsent(), Some((address(2), unsent)));
    assert_eq!(inquiry.statistics().unknown, 1);
}

#[test]
fn an_answer_after_the_clock_was_stepped_has_no_time_by_the_kernel() {
    let mut inquiry = inquiry(&[(2, Whose::Anybodys)]);
    ask(&mut inquiry, 0);
    inquiry.handle_arrival(&seen(2, Heard::Question, 1));
    let mut stepped = seen(2, answer(mac(2), 1), 3);
    stepped.moment.wall_offset_ns = 60_000_000_000;
    inquiry.handle_arrival(&stepped);
    let results = inquiry.results();
    assert_eq!((results[0].rtt_us, results[0].user_rtt_us), (None, Some(3_000)));
}
