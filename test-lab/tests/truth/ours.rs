//! Paths as our agent sees them, beside the truth and beside other people's programs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use test_lab::network::{Internet, Outcome, Topology};
use test_lab::peer::{Agent, tracepath, traceroute};

use crate::setting::{TARGET, address, may_make_networks, open};

fn document(internet: &Internet, spec: &str) -> Value {
    Agent::open().unwrap().document(&internet.observer, spec).unwrap().0
}

/// Who answered for each hop, by its number; silent hops have nobody.
fn hops(report: &Value) -> BTreeMap<u8, Vec<IpAddr>> {
    let hops = report["findings"]["hops"].as_array().unwrap_or_else(|| panic!("no hops: {report}"));
    hops.iter()
        .map(|hop| {
            let named = hop["addresses"].as_array().map_or(&[][..], Vec::as_slice);
            let mut from: Vec<IpAddr> = named.iter().map(|name| name["address"].as_str().unwrap().parse().unwrap()).collect();
            from.sort();
            (u8::try_from(hop["ttl"].as_u64().unwrap()).unwrap(), from)
        })
        .collect()
}

fn truly(outcome: &Outcome, target: &str, ttl: u8) -> Vec<IpAddr> {
    let hop = outcome.truth.hop(address(target), ttl);
    hop.map(|hop| hop.by.keys().copied().collect()).unwrap_or_default()
}

#[test]
fn job_20_traceroute_shows_the_hops_that_there_are_and_those_of_traceroute() {
    if !may_make_networks("truth-traceroute-ours") {
        return;
    }
    for (world, target) in [("chain", TARGET), ("silent_hops", TARGET), ("labels", TARGET), ("version_six", "2001:db8:2::7")] {
        for (protocol, method) in [("icmp", "-I"), ("udp", "-U"), ("tcp", "-T")] {
            let internet = open(world);
            let spec = format!(r#"{{"probe":"traceroute","target":"{target}","protocol":"{protocol}","wait_ms":300}}"#);
            let report = document(&internet, &spec);
            let outcome = internet.finish().unwrap();
            let ours = hops(&report);
            for (ttl, from) in &ours {
                assert_eq!(*from, truly(&outcome, target, *ttl), "{world} {protocol} hop {ttl}: {report}");
            }
            assert_eq!(
                (report["status"].as_str(), report["findings"]["reached"].as_bool()),
                (Some("ok"), Some(true)),
                "{world} {protocol}: {report}"
            );
            let internet = open(world);
            let (theirs, ran) = traceroute(&internet.observer, &[method, "-q", "1", "-w", "0.3"], target).unwrap();
            let theirs: BTreeMap<u8, Vec<IpAddr>> = theirs
                .iter()
                .map(|hop| (hop.number, hop.probes.iter().filter_map(|probe| probe.from).collect()))
                .collect();
            assert_eq!(ours, theirs, "{world} {protocol}: {}", ran.out);
        }
    }
}

#[test]
fn job_20_a_round_trip_to_a_hop_is_never_shorter_than_the_true_one() {
    if !may_make_networks("truth-traceroute-rtt") {
        return;
    }
    let internet = open("long");
    let report = document(&internet, &format!(r#"{{"probe":"traceroute","target":"{TARGET}","protocol":"udp"}}"#));
    let outcome = internet.finish().unwrap();
    let listed = report["findings"]["hops"].as_array().unwrap();
    assert_eq!(listed.len(), 30);
    for hop in listed {
        let ttl = u8::try_from(hop["ttl"].as_u64().unwrap()).unwrap();
        let (least, ..) = outcome.truth.hop(address(TARGET), ttl).unwrap().delay_ns.unwrap();
        for reply in hop["replies"].as_array().unwrap() {
            assert!(reply["rtt_us"].as_u64().unwrap() >= least / 1_000, "hop {ttl}: {reply}");
        }
    }
}

const NAT: &str = r#"
[observer]
addresses = ["10.0.0.1"]
[[node]]
name = "inside"
addresses = ["10.1.0.1"]
link = { delay_us = 500 }
[[node]]
name = "nat"
addresses = ["10.1.0.2"]
nat = { source = "203.0.113.9", restores = "nothing" }
[[node]]
name = "outside"
addresses = ["203.0.113.1"]
[[node]]
name = "target"
addresses = ["198.51.100.7"]
[[path]]
hops = ["inside", "nat", "outside", "target"]
"#;

#[test]
fn labels_and_rewritten_addresses_come_through_a_real_socket() {
    if !may_make_networks("truth-traceroute-extensions") {
        return;
    }
    let internet = open("labels");
    let report = document(&internet, &format!(r#"{{"probe":"traceroute","target":"{TARGET}","protocol":"udp"}}"#));
    let text = report["findings"]["hops"].to_string();
    for label in ["24001", "24002", "\"label\":16,"] {
        assert!(text.contains(label), "{label}: {text}");
    }
    assert!(text.contains("eth0"), "the interface is named: {text}");
    // A NAT that put back addresses and ports in quoted packets, and left the checksum as it was beyond, would not be seen here: the report
    // compares what a NAT rewrites, not the transport checksum.
    let internet = Internet::open(NAT).unwrap();
    let report = document(
        &internet,
        &format!(r#"{{"probe":"mtr","target":"{TARGET}","protocol":"udp","rounds":2,"interval_ms":100}}"#),
    );
    let behind: Vec<bool> = report["findings"]["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| hop["nat"].as_bool().unwrap_or(false))
        .collect();
    assert_eq!(behind, [false, false, true, true], "behind the second router: {report}");
}

#[test]
fn mtr_counts_for_each_hop_what_the_world_lost() {
    if !may_make_networks("truth-mtr-ours") {
        return;
    }
    let internet = open("lossy_way_back");
    let report = document(
        &internet,
        &format!(r#"{{"probe":"mtr","target":"{TARGET}","rounds":30,"interval_ms":100,"wait_ms":300}}"#),
    );
    let outcome = internet.finish().unwrap();
    let listed = report["findings"]["hops"].as_array().unwrap();
    assert_eq!(listed.len(), 4, "{report}");
    for hop in listed {
        let ttl = u8::try_from(hop["ttl"].as_u64().unwrap()).unwrap();
        let truth = outcome.truth.hop(address(TARGET), ttl).unwrap();
        assert_eq!(
            (hop["sent"].as_u64(), hop["received"].as_u64()),
            (Some(truth.sent), Some(truth.answered)),
            "hop {ttl}: {hop}"
        );
    }
}

#[test]
fn job_21_the_path_mtu_is_found_where_it_is_told_and_where_it_is_not() {
    if !may_make_networks("truth-pmtu") {
        return;
    }
    for (world, target, mtu) in [
        ("mtu_told", TARGET, 1_400),
        ("mtu_black_hole", TARGET, 1_400),
        ("mtu_lie", TARGET, 1_400),
        ("version_six", "2001:db8:2::7", 1_400),
    ] {
        let internet = open(world);
        let report = document(&internet, &format!(r#"{{"probe":"pmtu","target":"{target}","wait_ms":200}}"#));
        assert_eq!(report["findings"]["pmtu"].as_u64(), Some(mtu), "{world}: {report}");
        if world == "mtu_told" {
            let theirs = tracepath(&internet.observer, &[], target).unwrap();
            assert_eq!(theirs.mtu.map(u64::from), Some(mtu), "by tracepath");
        }
        assert_eq!(report["findings"]["black_hole"].is_object(), world == "mtu_black_hole", "{world}: {report}");
    }
}

#[test]
fn the_kernels_own_routers_are_seen_as_traceroute_sees_them() {
    if !may_make_networks("truth-kernels-ours") {
        return;
    }
    let agent = Agent::open().unwrap();
    for topology in [Topology::Chain, Topology::Nat, Topology::MtuStep, Topology::VersionSix] {
        let built = topology.build().unwrap();
        for target in &built.addresses {
            let (theirs, ran) = traceroute(&built.observer, &["-q", "1"], &target.to_string()).unwrap();
            let theirs: BTreeMap<u8, Vec<IpAddr>> = theirs
                .iter()
                .map(|hop| (hop.number, hop.probes.iter().filter_map(|probe| probe.from).collect()))
                .collect();
            for protocol in ["icmp", "udp", "tcp"] {
                let spec = format!(r#"{{"probe":"traceroute","target":"{target}","protocol":"{protocol}"}}"#);
                let (report, _) = agent.document(&built.observer, &spec).unwrap();
                assert_eq!(hops(&report), theirs, "{topology:?} {protocol}: {}\n{report}", ran.out);
            }
        }
    }
}
