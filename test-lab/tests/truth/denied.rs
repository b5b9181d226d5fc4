//! No packet leaves for an address that the owner's policy does not allow: looked at on the wire.

use std::net::IpAddr;

use test_lab::network::{Capture, Internet};
use test_lab::peer::Agent;

use crate::setting::{address, may_make_networks};

/// Everybody answers, so that a packet that left by mistake would be seen coming back too.
const WORLD: &str = r#"
[observer]
addresses = ["10.0.0.1", "2001:db8::1"]
[[node]]
name = "everybody"
addresses = ["0.0.0.0/0", "::/0"]
tcp = { others = "open" }
udp = { others = "open" }
[[path]]
hops = ["everybody"]
"#;

/// The only network that this owner allows.
const POLICY: &str = r#"allow_probes = ["ping", "traceroute", "mtr", "pmtu", "tcp", "udp", "port", "http", "dns"]
allow_cidrs = ["198.51.100.0/25", "2001:db8:2::/64"]
deny_cidrs = ["198.51.100.66/32"]
allow_public = false"#;

/// Every kind of probe, aimed at a place that stands for the address.
const PROBES: [&str; 19] = [
    r#"{"probe":"ping","target":"@","count":2,"interval_ms":10,"wait_ms":100}"#,
    r#"{"probe":"ping","targets":["@","@"],"count":1,"interval_ms":10,"wait_ms":100}"#,
    r#"{"probe":"traceroute","target":"@","protocol":"icmp","queries":1,"max_ttl":2,"wait_ms":100}"#,
    r#"{"probe":"traceroute","target":"@","protocol":"udp","queries":1,"max_ttl":2,"wait_ms":100}"#,
    r#"{"probe":"traceroute","target":"@","protocol":"tcp","queries":1,"max_ttl":2,"wait_ms":100}"#,
    r#"{"probe":"mtr","target":"@","rounds":1,"max_ttl":2,"wait_ms":100}"#,
    r#"{"probe":"pmtu","target":"@","max_bytes":1500,"wait_ms":100}"#,
    r#"{"probe":"tcp","target":"@","port":443,"count":1,"wait_ms":100}"#,
    r#"{"probe":"tcp","target":"@","port":443,"mode":"syn","count":1,"wait_ms":100}"#,
    r#"{"probe":"udp","target":"@","port":53,"count":1,"wait_ms":100}"#,
    r#"{"probe":"port","target":"@","ports":"80","tries":1,"wait_ms":100}"#,
    r#"{"probe":"port","target":"@","ports":"443","mode":"syn","tries":1,"wait_ms":100}"#,
    r#"{"probe":"port","target":"@","ports":"53","mode":"udp","tries":1,"wait_ms":100}"#,
    r#"{"probe":"port","targets":["@","@"],"ports":"80","tries":1,"wait_ms":100}"#,
    r#"{"probe":"port","targets":["@","@"],"ports":"443","mode":"syn","tries":1,"wait_ms":100}"#,
    r#"{"probe":"port","targets":["@","@"],"ports":"53","mode":"udp","tries":1,"wait_ms":100}"#,
    r#"{"probe":"http","url":"http://@/","timeout_ms":500}"#,
    r#"{"probe":"dns","name":"example.net","server":"@","transport":"udp","timeout_ms":200,"retries":0}"#,
    r#"{"probe":"dns","name":"example.net","server":"@","transport":"tcp","timeout_ms":200,"retries":0}"#,
];

/// Where packets went.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?.into()),
        6 => Some(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?.into()),
        _ => None,
    }
}

/// In a network of its own, so that what the kernel sends again later is nobody else's.
fn probe_and_capture(agent: &Agent, target: &str) -> Vec<IpAddr> {
    let internet = Internet::open(WORLD).unwrap();
    let capture = Capture::start(&internet.observer, 64).unwrap();
    for probe in PROBES {
        let written = if target.contains(':') && probe.contains("http") {
            format!("[{target}]")
        } else {
            target.to_owned()
        };
        agent.probe(&internet.observer, &probe.replace('@', &written)).unwrap();
    }
    let packets = capture.finish().unwrap();
    let left = packets.iter().filter(|packet| packet.outgoing && !is_to_itself(&packet.bytes));
    left.filter_map(|packet| destination(&packet.bytes)).filter(|to| !to.is_multicast()).collect()
}

/// When it starts, the agent sends a socket of its own a datagram over loopback, to see whether the kernel stamps what it receives. It is
/// no probe: both of its ends are that socket.
fn is_to_itself(packet: &[u8]) -> bool {
    packet.get(9) == Some(&17)
        && packet.get(12..16) == Some(&[127, 0, 0, 1])
        && packet.get(12..16) == packet.get(16..20)
        && packet.get(20..22) == packet.get(22..24)
}

#[test]
fn job_01_job_09_no_packet_leaves_for_an_address_that_is_not_allowed() {
    if !may_make_networks("truth-denied") {
        return;
    }
    let agent = Agent::with_policy(POLICY).unwrap();
    for allowed in ["198.51.100.7", "2001:db8:2::7"] {
        let left = probe_and_capture(&agent, allowed);
        assert!(left.len() >= PROBES.len(), "what is allowed leaves: {left:?}");
        assert!(left.iter().all(|to| *to == address(allowed)), "{left:?}");
    }
    for denied in [
        "198.51.100.66",
        "198.51.100.200",
        "10.9.9.9",
        "192.0.2.1",
        "203.0.113.5",
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "100.100.100.200",
        "255.255.255.255",
        "240.0.0.1",
        "2001:db8:3::1",
        "fd00:ec2::254",
        "::ffff:198.51.100.7",
        "64:ff9b::c633:6407",
    ] {
        assert_eq!(probe_and_capture(&agent, denied), Vec::<IpAddr>::new(), "{denied}");
    }
}
