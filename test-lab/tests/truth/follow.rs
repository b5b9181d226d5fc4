//! Paths followed by the real agent: in real time over the worlds whose scenarios its machines pass without a socket, and where the kernel's
//! own routers answer.

use std::path::Path;

use serde_json::Value;
use shared_protocol::fault::Status;
use shared_protocol::report::{Claim, Findings, PathEnd, PmtuBound};
use test_internet::Run;
use test_lab::network::Topology;
use test_lab::peer::{Agent, traceroute};

use crate::setting::{may_make_networks, open, scenario};

/// Runs every scenario's runs of a probe over its world.
#[track_caller]
fn every_scenario_of(probe: &str, least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-internet/scenarios");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    let agent = Agent::open().unwrap();
    let mut failures = Vec::new();
    let mut runs = 0;
    for name in names {
        for (number, run) in Run::all(&scenario(&name)).unwrap().into_iter().enumerate() {
            // The device takes 1,500 bytes, the interface of the machine's own tests 9,000.
            let is_bound_by_interface = run.expect["findings"]["bound"] == "interface";
            if run.spec["probe"] != probe || is_bound_by_interface {
                continue;
            }
            let internet = open(&name);
            let (report, _) = agent.report(&internet.observer, &run.spec.to_string()).unwrap();
            internet.finish().unwrap();
            let found = serde_json::to_value(&report).unwrap();
            let absent = run.missing(&without_times(&found));
            if !absent.is_empty() {
                failures.push(format!("{name}, run {number}: {}\n{found}", absent.join("; ")));
            }
            runs += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(runs >= least, "{runs} runs");
}

/// A loaded host may lose the kernel's word on when a packet left: then a report is degraded by its own fault, and says so. That is not what
/// is looked at here.
fn without_times(report: &Value) -> Value {
    let mut report = report.clone();
    if report["fault"] == "agent" && report["error"]["code"] == "resource" {
        report["status"] = "ok".into();
        report["fault"] = "none".into();
    }
    report
}

#[test]
fn job_20_traceroute_finds_over_the_lab_what_every_scenario_expects() {
    if may_make_networks("truth-follow") {
        every_scenario_of("traceroute", 25);
    }
}

#[test]
fn mtr_finds_over_the_lab_what_every_scenario_expects() {
    if may_make_networks("truth-follow") {
        every_scenario_of("mtr", 10);
    }
}

#[test]
fn job_21_pmtu_finds_over_the_lab_what_every_scenario_expects() {
    if may_make_networks("truth-follow") {
        every_scenario_of("pmtu", 6);
    }
}

#[test]
fn the_hops_of_the_kernels_routers_are_those_that_traceroute_sees() {
    if !may_make_networks("truth-follow-kernels") {
        return;
    }
    let agent = Agent::open().unwrap();
    for topology in Topology::ALL {
        let built = topology.build().unwrap();
        for target in &built.addresses {
            for protocol in ["icmp", "udp", "tcp"] {
                let spec = format!(r#"{{"probe":"traceroute","target":"{target}","protocol":"{protocol}"}}"#);
                let (report, _) = agent.report(&built.observer, &spec).unwrap();
                let Some(Findings::Traceroute(found)) = &report.findings else {
                    panic!("{topology:?} {spec}: {report:?}")
                };
                assert_eq!(found.end, PathEnd::Reached, "{topology:?} {spec}: {report:?}");
                if topology == Topology::Diamond {
                    // One flow goes one way: each program's own, so the way is not compared.
                    assert!(found.hops.iter().all(|hop| hop.addresses.len() == 1), "{spec}: {found:?}");
                    continue;
                }
                let (theirs, ran) = traceroute(&built.observer, &["-q", "1", "-w", "1"], &target.to_string()).unwrap();
                let theirs: Vec<_> = theirs.iter().map(|hop| hop.probes[0].from).collect();
                let ours: Vec<_> = found.hops.iter().map(|hop| hop.addresses.first().map(|found| found.address)).collect();
                assert_eq!(ours, theirs, "{topology:?} {spec}: {}", ran.out);
            }
        }
    }
}

#[test]
fn the_narrow_link_between_the_kernels_routers_is_found_to_the_byte_and_its_router_by_its_hop() {
    if !may_make_networks("truth-follow-mtu") {
        return;
    }
    let agent = Agent::open().unwrap();
    let built = Topology::MtuStep.build().unwrap();
    for target in &built.addresses {
        for protocol in ["icmp", "udp"] {
            let spec = format!(r#"{{"probe":"pmtu","target":"{target}","protocol":"{protocol}"}}"#);
            let (report, _) = agent.report(&built.observer, &spec).unwrap();
            let Some(Findings::Pmtu(found)) = &report.findings else {
                panic!("{spec}: {report:?}")
            };
            assert_eq!(
                (report.status, found.pmtu, found.bound),
                (Status::Ok, Some(1_400), PmtuBound::Router),
                "{spec}: {report:?}"
            );
            assert!(!found.too_big.is_empty(), "{spec}: {report:?}");
            for said in &found.too_big {
                assert_eq!((said.hop, said.claimed, said.claim), (Some(2), Some(1_400), Claim::Holds), "{spec}: {said:?}");
            }
        }
    }
}
