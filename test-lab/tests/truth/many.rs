//! Many paths at once, from one agent: each is right, and none is taken for another.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use agent_probes::net::gate::{Denial, Gate, Pace};
use agent_probes::net::icmp::{IcmpEngine, IcmpSockets};
use agent_probes::net::resolver::Resolver;
use agent_probes::net::tls::TargetRoots;
use agent_probes::observe::{NoPackages, Observer};
use agent_probes::table::{self, Flows, ProbeContext};
use shared_protocol::fault::Status;
use shared_protocol::report::{ClockQuality, Findings, Report};
use shared_protocol::spec::ProbeSpec;
use test_lab::network::{Internet, Outcome};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::setting::may_make_networks;

/// Lets everything leave, as fast as it can.
struct Open;

impl Gate for Open {
    fn check_address(&self, _address: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn check_port(&self, _port: u16) -> Result<(), Denial> {
        Ok(())
    }

    fn check_endpoint(&self, _endpoint: SocketAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn check_resolver(&self, _address: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace {
            max_pps: 1_000_000,
            per_target_pps: 1_000_000,
        }
    }
}

/// Eight hops at 200 ms, so that an answer is waited for at least three times as long: what a busy machine does to the world's own clock is
/// then no loss. Which of eight ways the middle takes is up to the target, so that an answer taken for another path's would show.
fn world() -> String {
    let mut text = "[observer]\naddresses = [\"10.0.0.1\"]\n".to_owned();
    let node = |name: &str, count: u8, address: &str, link: &str| {
        let count = if count > 1 { format!("count = {count}\n") } else { String::new() };
        format!("[[node]]\nname = \"{name}\"\n{count}addresses = [\"{address}\"]\n{link}")
    };
    text += &node("near1", 1, "10.1.0.1", "link = { delay_us = 100000 }\n");
    text += &node("near2", 1, "10.1.0.2", "");
    for (number, way) in (0..).zip(WAYS) {
        text += &node(way, 3, &format!("10.2.{number}.1"), "");
    }
    text += &node("far", 2, "10.3.0.1", "");
    text += "[[node]]\nname = \"everybody\"\naddresses = [\"198.18.0.0/20\"]\n";
    let ways = WAYS.map(|way| format!("[\"{way}1..{way}3\"]")).join(", ");
    text + &format!("[[path]]\nhops = [\"near1..near2\", {{ either = [{ways}], by = \"destination\" }}, \"far1..far2\", \"everybody\"]\n")
}

fn target(number: u16) -> IpAddr {
    let [high, low] = (number + 1).to_be_bytes();
    IpAddr::from([198, 18, high, low])
}

/// All at once from one engine on one thread, as in the agent.
fn follow_all(internet: &Internet) -> Vec<(IpAddr, &'static str, Report)> {
    let call = || {
        let sockets = IcmpSockets::open();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let context = ProbeContext {
                engine: Arc::new(IcmpEngine::start(sockets).unwrap()),
                gate: Arc::new(Open),
                resolver: Resolver::from_system().unwrap(),
                roots: TargetRoots::only(Vec::new()).unwrap(),
                clock: ClockQuality::default(),
                observer: Arc::new(Observer::at("/nonexistent".into())),
                packages: Arc::new(NoPackages),
                known: Arc::default(),
                flows: Flows::nobody(),
            };
            let mut paths = JoinSet::new();
            for (number, protocol) in (0..PATHS).zip(["icmp", "udp", "tcp"].into_iter().cycle()) {
                let (context, target) = (context.clone(), target(number));
                let spec = format!(r#"{{"probe":"traceroute","target":"{target}","protocol":"{protocol}","wait_ms":3000,"ptr":false}}"#);
                paths.spawn(async move {
                    let (events, _nobody_listens) = tokio::sync::mpsc::channel(1);
                    let report = table::run(&ProbeSpec::parse(&spec).unwrap(), &context, events, CancellationToken::new()).await;
                    (target, protocol, report)
                });
            }
            paths.join_all().await
        })
    };
    internet.observer.within(call).unwrap()
}

fn check(target: IpAddr, protocol: &str, report: &Report, outcome: &Outcome) {
    let Some(Findings::Traceroute(found)) = &report.findings else {
        panic!("{report:?}")
    };
    assert_eq!(
        (report.status, found.reached, found.hops.len()),
        (Status::Ok, true, 8),
        "{target} {protocol}: {report:?}"
    );
    assert_eq!(found.agent_drops, 0, "{target} {protocol}");
    for hop in &found.hops {
        let ours: BTreeSet<IpAddr> = hop.addresses.iter().map(|address| address.address).collect();
        let truth = outcome.truth.hop(target, hop.ttl).unwrap();
        let truly: BTreeSet<IpAddr> = truth.by.keys().copied().collect();
        assert_eq!(ours, truly, "{target} {protocol} hop {}", hop.ttl);
        assert_eq!((hop.sent, hop.received), (3, 3), "{target} {protocol} hop {}: {hop:?}", hop.ttl);
    }
}

#[test]
fn five_hundred_paths_at_once_are_all_right() {
    if !may_make_networks("truth-many-paths") {
        return;
    }
    let rounds = if std::env::var_os("PROBEOPS_LONG").is_some() { 10 } else { 1 };
    for _ in 0..rounds {
        let internet = Internet::open(&world()).unwrap();
        let reports = follow_all(&internet);
        let outcome = internet.finish().unwrap();
        assert_eq!(reports.len(), usize::from(PATHS));
        let mut middles = BTreeSet::new();
        for (target, protocol, report) in &reports {
            check(*target, protocol, report, &outcome);
            middles.extend(outcome.truth.hop(*target, 4).unwrap().by.keys().copied());
        }
        assert_eq!(middles.len(), WAYS.len(), "every way is somebody's");
        let slowest = reports.iter().map(|(_, _, report)| report.duration_us).max();
        println!("{PATHS} paths at once, the slowest within {} us", slowest.unwrap_or_default());
    }
}

const PATHS: u16 = 500;
const WAYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
