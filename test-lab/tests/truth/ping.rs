//! Echoes: our agent beside fping, both beside the truth.

use shared_protocol::fault::Status;
use shared_protocol::report::{Findings, PingFindings, Report, SweepFindings};
use test_lab::network::Internet;
use test_lab::peer::{Agent, Fping};

use crate::setting::{TARGET, address, may_make_networks, open, sent_and_answered};

fn findings(report: &Report) -> &PingFindings {
    let Some(Findings::Ping(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

fn ours(world: &str, target: &str, count: u32) -> (Report, test_lab::network::Outcome) {
    let internet = open(world);
    let spec = format!(r#"{{"probe":"ping","target":"{target}","count":{count},"interval_ms":10,"wait_ms":500}}"#);
    let (report, _) = Agent::open().unwrap().report(&internet.observer, &spec).unwrap();
    (report, internet.finish().unwrap())
}

fn fpings(world: &str, target: &str, count: u32) -> (usize, test_lab::network::Outcome) {
    let internet = open(world);
    // A period of 10 ms, as ours.
    let fping = Fping::run(&internet.observer, count, &["-p", "10", "-t", "500"], &[target]).unwrap();
    (fping.answered(address(target)), internet.finish().unwrap())
}

#[test]
fn both_count_what_the_world_lost() {
    if !may_make_networks("truth-ping") {
        return;
    }
    for (world, target) in [("chain", TARGET), ("lossy_way_back", TARGET), ("version_six", "2001:db8:2::7")] {
        let (report, outcome) = ours(world, target, 100);
        let (sent, answered) = sent_and_answered(&outcome.truth, target);
        let found = findings(&report);
        assert_eq!(
            (u64::from(found.statistics.sent), u64::from(found.statistics.received)),
            (sent, answered),
            "{world}"
        );
        assert_eq!((sent, found.agent_drops, outcome.relay.lost_before), (100, 0, 0), "{world}");
        let (heard, outcome) = fpings(world, target, 100);
        assert_eq!(
            (100, u64::try_from(heard).unwrap()),
            sent_and_answered(&outcome.truth, target),
            "{world} by fping"
        );
    }
}

#[test]
fn no_round_trip_is_shorter_than_the_true_one_and_each_is_told_for_its_own_packet() {
    if !may_make_networks("truth-rtt") {
        return;
    }
    let (report, outcome) = ours("reordering", TARGET, 100);
    let found = findings(&report);
    assert_eq!((report.status, found.packets.len()), (Status::Ok, 100));
    let mut overtaken = 0;
    for (packet, truth) in found.packets.iter().zip(&outcome.packets) {
        let test_internet::Fate::Answered(true_ns, from) = truth.fate else {
            panic!("{truth:?}")
        };
        assert_eq!(from, address(TARGET));
        let rtt = packet.rtt_us.unwrap();
        assert!(rtt >= true_ns / 1_000, "packet {}: {rtt} µs, truly {true_ns} ns", packet.seq);
        assert!(rtt <= packet.user_rtt_us.unwrap());
        overtaken += u32::from(true_ns > 8_000_000);
    }
    assert!(overtaken > 10, "the world reordered nothing");
    // A request that left while an earlier one was still under way may be answered before it.
    assert!(found.statistics.reordered > 0, "{:?}", found.statistics);
}

#[test]
fn job_19_copies_are_duplicates_and_never_answers() {
    if !may_make_networks("truth-duplicates") {
        return;
    }
    let (report, outcome) = ours("duplicates", TARGET, 100);
    let statistics = &findings(&report).statistics;
    let copies: u64 = outcome.truth.flows.iter().map(|flow| flow.duplicates).sum();
    assert_eq!((statistics.received, u64::from(statistics.duplicates)), (100, copies));
    assert!(copies > 20, "{copies}");
    // fping counts copies apart as well, on standard error.
    let (heard, _) = fpings("duplicates", TARGET, 100);
    assert_eq!(heard, 100);
}

#[test]
fn a_router_that_refuses_is_told_with_its_code_and_its_address() {
    if !may_make_networks("truth-unreachable") {
        return;
    }
    for last in [0_u8, 1, 9, 10, 13] {
        let (report, _) = ours("unreachable", &format!("198.51.100.{last}"), 2);
        for packet in &findings(&report).packets {
            assert_eq!((packet.icmp_error, packet.from), (Some((3, last)), Some(address("10.1.0.3"))));
        }
    }
}

#[test]
fn job_19_answers_that_are_wrong_are_no_answers_and_short_ones_are_told_as_short() {
    if !may_make_networks("truth-liars") {
        return;
    }
    for (mangle, counted) in [
        ("truncated", 3),
        ("checksum", 0),
        ("identifier", 0),
        ("source", 0),
        ("garbage", 0),
        ("early", 0),
    ] {
        let world = format!(
            r#"
            [observer]
            addresses = ["10.0.0.1"]
            [[node]]
            name = "liar"
            addresses = ["198.51.100.7"]
            mangles = "{mangle}"
            [[path]]
            hops = ["liar"]
            "#
        );
        let internet = Internet::open(&world).unwrap();
        let spec = r#"{"probe":"ping","target":"198.51.100.7","count":3,"interval_ms":10,"wait_ms":100}"#;
        let (report, _) = Agent::open().unwrap().report(&internet.observer, spec).unwrap();
        let found = findings(&report);
        let answered = internet.finish().unwrap().truth.target(address(TARGET)).1;
        assert_eq!(answered, 3, "the liar answers each");
        assert_eq!(found.statistics.received, counted, "{mangle}: {found:?}");
        // A reply that brings back the cookie is the target's, however short: its length is told. Half of 64 bytes are left of it.
        assert!(
            counted == 0 || found.packets.iter().all(|packet| packet.bytes == Some(32)),
            "{mangle}: {found:?}"
        );
    }
}

/// What a ping of a list reports, in each of the two ways that it may hear.
fn swept(internet: &Internet, targets: &[&str], options: &str) -> SweepFindings {
    let spec = format!(r#"{{"probe":"ping","targets":{targets:?}{options}}}"#);
    let (report, _) = Agent::open().unwrap().report(&internet.observer, &spec).unwrap();
    let Some(Findings::PingSweep(found)) = report.findings else {
        panic!("no findings: {report:?}")
    };
    *found
}

#[test]
fn job_19_a_sweep_takes_no_wrong_answer_for_one_either() {
    if !may_make_networks("truth-sweep-liars") {
        return;
    }
    // Too long a request is not looked for at the interfaces.
    for options in ["", r#","payload_bytes":600"#] {
        for (mangle, counted) in [
            ("truncated", 2),
            ("checksum", 0),
            ("identifier", 0),
            ("source", 0),
            ("garbage", 0),
            ("early", 0),
        ] {
            let world = format!(
                r#"
                [observer]
                addresses = ["10.0.0.1"]
                [[node]]
                name = "liar"
                addresses = ["198.51.100.7"]
                mangles = "{mangle}"
                [[path]]
                hops = ["liar"]
                "#
            );
            let internet = Internet::open(&world).unwrap();
            let found = swept(&internet, &[TARGET], &format!(r#","count":2,"interval_ms":10,"wait_ms":100{options}"#));
            assert_eq!(internet.finish().unwrap().truth.target(address(TARGET)), (2, 2));
            assert_eq!((found.totals.sent, found.totals.received), (2, counted), "{mangle}{options}: {found:?}");
        }
    }
}

#[test]
fn a_sweep_is_exact_where_this_very_host_rewrites_addresses() {
    if !may_make_networks("truth-sweep-rewritten") {
        return;
    }
    let internet = open("chain");
    internet.observer.filter(REWRITES).unwrap();
    let found = swept(&internet, &["198.18.0.7"], r#","count":3,"interval_ms":100,"wait_ms":500,"each_packet":true"#);
    let (sent, answered) = internet.finish().unwrap().truth.target(address(TARGET));
    assert_eq!((found.totals.sent, found.totals.received, found.agent.unstamped), (3, 3, 0), "{found:?}");
    assert!(found.columns.each_rtt_us[0].iter().all(Option::is_some), "by the kernel's clock");
    // The first was asked in vain: no interface showed a request to that address.
    assert_eq!((sent, answered), (4, 4));
}

/// What leaves for one address goes to another.
const REWRITES: &str = "table ip rewrites {
    chain output {
        type nat hook output priority -100;
        ip daddr 198.18.0.7 dnat to 198.51.100.7
    }
}
";
