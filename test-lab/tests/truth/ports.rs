//! Ports: our `tcp`, `udp` and `port` beside nmap.

use std::collections::BTreeMap;

use shared_protocol::report::{Findings, PortFindings, PortReason, PortResult, PortState, Report, TcpOutcome, UdpOutcome};
use test_lab::network::{Ethernet, Internet};
use test_lab::peer::{Agent, nmap};

use crate::setting::may_make_networks;

/// A host behind a router that drops what goes to port 25 and refuses what goes to port 79.
const WORLD: &str = r#"
[observer]
addresses = ["10.0.0.1", "2001:db8::1"]
[[node]]
name = "router"
addresses = ["10.1.0.1", "2001:db8:1::1"]
firewall = [
    { protocol = "tcp", port = 79, to = "198.51.100.0/24", says = [3, 13] },
    { protocol = "tcp", port = 79, to = "2001:db8:2::/64", says = [1, 1] },
    { protocol = "udp", port = 79, to = "198.51.100.0/24", says = [3, 13] },
    { protocol = "udp", port = 79, to = "2001:db8:2::/64", says = [1, 1] },
]
[[node]]
name = "host"
addresses = ["198.51.100.7", "2001:db8:2::7"]
link = { delay_us = 500 }
tcp = { open = [443], filtered = [25], mss = 1400 }
udp = { open = [53], filtered = [25], answer = [1] }
[[path]]
hops = ["router", "host"]
"#;

const TARGETS: [&str; 2] = ["198.51.100.7", "2001:db8:2::7"];

/// What nmap calls each port.
fn by_nmap(internet: &Internet, scan: &str, ports: &str, target: &str) -> BTreeMap<u16, String> {
    let (states, _) = nmap(&internet.observer, scan, ports, target).unwrap();
    states.into_iter().map(|(port, state)| (port, state.state)).collect()
}

#[test]
fn a_port_is_what_nmap_says_it_is() {
    if !may_make_networks("truth-ports") {
        return;
    }
    let internet = Internet::open(WORLD).unwrap();
    let agent = Agent::open().unwrap();
    for target in TARGETS {
        for (mode, scan) in [("connect", "-sT"), ("syn", "-sS")] {
            let theirs = by_nmap(&internet, scan, "25,79,80,443", target);
            for (port, outcome, state) in [
                (443, TcpOutcome::Open, "open"),
                (80, TcpOutcome::Closed, "closed"),
                (25, TcpOutcome::Filtered, "filtered"),
                // What nmap says of a port for which an ICMP error came as well; we say that it came.
                (79, TcpOutcome::Unreachable, "filtered"),
            ] {
                assert_eq!(theirs[&port], state, "{target} port {port} by nmap {scan}");
                let spec = format!(r#"{{"probe":"tcp","target":"{target}","port":{port},"count":1,"wait_ms":200,"mode":"{mode}"}}"#);
                let (report, _) = agent.report(&internet.observer, &spec).unwrap();
                let Some(Findings::Tcp(found)) = &report.findings else { panic!("{report:?}") };
                assert_eq!(found.tries[0].outcome, outcome, "{target} port {port} {mode}");
            }
        }
    }
}

#[test]
fn a_port_of_udp_is_what_nmap_says_it_is() {
    if !may_make_networks("truth-ports-udp") {
        return;
    }
    let internet = Internet::open(WORLD).unwrap();
    let agent = Agent::open().unwrap();
    for target in TARGETS {
        let theirs = by_nmap(&internet, "-sU", "25,53,79,80", target);
        for (port, outcome, state) in [
            (53, UdpOutcome::Answered, "open"),
            (80, UdpOutcome::Closed, "closed"),
            (25, UdpOutcome::Silent, "open|filtered"),
            (79, UdpOutcome::Unreachable, "filtered"),
        ] {
            assert_eq!(theirs[&port], state, "{target} port {port} by nmap");
            let spec = format!(r#"{{"probe":"udp","target":"{target}","port":{port},"count":1,"wait_ms":200}}"#);
            let (report, _) = agent.report(&internet.observer, &spec).unwrap();
            let Some(Findings::Udp(found)) = &report.findings else { panic!("{report:?}") };
            assert_eq!(found.tries[0].outcome, outcome, "{target} port {port}");
        }
    }
}

/// nmap's word for a state.
fn word(state: PortState) -> &'static str {
    match state {
        PortState::Open => "open",
        PortState::Closed => "closed",
        PortState::Filtered => "filtered",
        PortState::OpenFiltered => "open|filtered",
        PortState::Unasked => "unasked",
    }
}

#[test]
fn a_scan_finds_every_port_as_nmap_does() {
    if !may_make_networks("truth-scan") {
        return;
    }
    let internet = Internet::open(WORLD).unwrap();
    let agent = Agent::open().unwrap();
    for (mode, scan, ports) in [
        ("connect", "-sT", "20-30,75-85,440-445"),
        ("syn", "-sS", "20-30,75-85,440-445"),
        ("udp", "-sU", "20-30,50-55,75-85"),
    ] {
        let ask = |targets: &str| {
            let spec = format!(r#"{{"probe":"port",{targets},"ports":"{ports}","wait_ms":200,"mode":"{mode}"}}"#);
            agent.report(&internet.observer, &spec).unwrap().0
        };
        let mut theirs = Vec::new();
        for target in TARGETS {
            let nmaps = by_nmap(&internet, scan, ports, target);
            let report = ask(&format!(r#""target":"{target}""#));
            let found = one(&report);
            assert_eq!(states(&found.ports), nmaps, "{target} {mode}");
            assert_eq!(reasons(found, mode), expected_reasons(mode), "{target} {mode}");
            let router = if target.contains(':') { "2001:db8:1::1" } else { "10.1.0.1" };
            let refused = found.ports.iter().find(|result| result.port == 79).unwrap();
            assert_eq!(refused.from, Some(router.parse().unwrap()), "who refused it is told");
            assert!(!found.statistics.rate_limited_hint);
            theirs.push((target.parse().unwrap(), nmaps));
        }
        let report = ask(&format!(r#""targets":{TARGETS:?}"#));
        let Some(Findings::PortSweep(found)) = &report.findings else {
            panic!("{report:?}")
        };
        let ours: Vec<_> = found.results().map(|(address, results)| (address, states(&results))).collect();
        assert_eq!(ours, theirs, "both at once, {mode}");
    }
}

/// What a kernel's own limit on ICMP errors makes of twelve closed ports: asked once, most of them keep silent; asked again at our pace, each
/// says that it is closed, as nmap finds too, which waits for as long.
#[test]
fn a_closed_port_of_udp_is_closed_although_the_kernel_limits_its_errors() {
    if !may_make_networks("truth-limited") {
        return;
    }
    let link = Ethernet::of(&[&["198.51.100.1/24", "2001:db8:9::1/64"], &["198.51.100.7/24", "2001:db8:9::7/64"]]).unwrap();
    let (observer, host) = (link.host(0).unwrap(), link.host(1).unwrap());
    // As every Linux starts.
    host.set("ipv4/icmp_ratelimit", "1000").unwrap();
    host.set("ipv6/icmp/ratelimit", "1000").unwrap();
    let agent = Agent::open().unwrap();
    for target in ["198.51.100.7", "2001:db8:9::7"] {
        let ask = |tries: u32| {
            let spec = format!(r#"{{"probe":"port","target":"{target}","ports":"4000-4011","mode":"udp","tries":{tries},"wait_ms":200}}"#);
            agent.report(observer, &spec).unwrap().0
        };
        let (once, again) = (ask(1), ask(2));
        let numbers = &one(&once).statistics;
        assert!(numbers.open_filtered > 0, "the limit is no fiction: {once:?}");
        assert_eq!((numbers.closed + numbers.open_filtered, numbers.rate_limited_hint), (12, false));
        let numbers = &one(&again).statistics;
        assert_eq!((numbers.closed, numbers.open_filtered), (12, 0), "{again:?}");
        assert!(numbers.rate_limited_hint);
        let (theirs, _) = nmap(observer, "-sU", "4000-4011", target).unwrap();
        assert_eq!(theirs.values().filter(|port| port.state == "closed").count(), 12, "{theirs:?}");
    }
}

#[track_caller]
fn one(report: &Report) -> &PortFindings {
    let Some(Findings::Port(found)) = &report.findings else {
        panic!("{report:?}")
    };
    found
}

/// The states in nmap's words.
fn states(results: &[PortResult]) -> BTreeMap<u16, String> {
    results.iter().map(|result| (result.port, word(result.state).to_owned())).collect()
}

/// What the states of the three ports that are special, and of all others, rest on, and how often each was asked.
fn reasons(found: &PortFindings, mode: &str) -> [(PortReason, u32); 4] {
    let open = if mode == "udp" { 53 } else { 443 };
    let of = |port: u16| {
        let result = found.ports.iter().find(|result| result.port == port).unwrap();
        (result.reason, result.tries)
    };
    let others = found.ports.iter().filter(|result| ![25, 79, open].contains(&result.port));
    assert!(others.clone().all(|result| (result.reason, result.tries) == of(80)));
    [of(25), of(79), of(open), of(80)]
}

fn expected_reasons(mode: &str) -> [(PortReason, u32); 4] {
    let (open, closed) = match mode {
        "syn" => (PortReason::SynAck, PortReason::Reset),
        "udp" => (PortReason::Answer, PortReason::IcmpError),
        _ => (PortReason::Connected, PortReason::Reset),
    };
    [(PortReason::Silence, 2), (PortReason::IcmpError, 1), (open, 1), (closed, 1)]
}
