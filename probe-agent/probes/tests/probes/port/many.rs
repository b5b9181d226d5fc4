//! Scans of many targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, UdpSocket};

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::event::{PortEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{Findings, PortReason, PortState, PortSweepFindings, Report};
use shared_protocol::spec::ProbeSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, DENIED_PORT, context, run};

fn spec(options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"port",{options}}}"#)).unwrap()
}

#[track_caller]
fn findings(report: &Report) -> &PortSweepFindings {
    let Some(Findings::PortSweep(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

fn states(findings: &PortSweepFindings) -> BTreeMap<String, Vec<PortState>> {
    let of = |(address, results): (IpAddr, Vec<_>)| {
        (
            address.to_string(),
            results.iter().map(|result: &shared_protocol::report::PortResult| result.state).collect(),
        )
    };
    findings.results().map(of).collect()
}

/// Each way of asking, over a list with a block in it: what each target has, whom the policy forbids, and what has no address.
#[test]
fn each_target_has_its_own_states_and_who_is_not_asked_is_told() {
    namespace::within("port-many", Loopback::Up, || async {
        let open = [TcpListener::bind("127.0.0.1:4000").unwrap(), TcpListener::bind("127.0.0.10:4001").unwrap()];
        let datagrams = UdpSocket::bind("127.0.0.1:4000").unwrap();
        let deaf = UdpSocket::bind("127.0.0.10:4001").unwrap();
        let forbidden = [UdpSocket::bind("127.0.0.9:4000").unwrap(), UdpSocket::bind("127.0.0.9:4001").unwrap()];
        let watched = TcpListener::bind("127.0.0.9:4000").unwrap();
        watched.set_nonblocking(true).unwrap();
        for socket in &forbidden {
            socket.set_nonblocking(true).unwrap();
        }
        let answering = std::thread::spawn(move || {
            let (_, from) = datagrams.recv_from(&mut [0; 16]).unwrap();
            datagrams.send_to(b"!", from).unwrap();
        });
        let context = context(IcmpSockets::open(), AllowAllBut(vec!["127.0.0.9".parse().unwrap()]));
        for mode in ["connect", "syn", "udp"] {
            let options = format!(
                r#""targets":["127.0.0.1","127.0.0.8/30","localhost","127.0.0.1"],"af":"4","ports":"4000-4001","mode":"{mode}","wait_ms":100,"tries":1"#
            );
            let (report, events) = run(&spec(&options), &context).await;
            assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Policy), "{report:?}");
            let found = findings(&report);
            let silent = if mode == "udp" { PortState::OpenFiltered } else { PortState::Open };
            assert_eq!(
                states(found),
                BTreeMap::from([
                    ("127.0.0.1".to_owned(), vec![PortState::Open, PortState::Closed]),
                    ("127.0.0.10".to_owned(), vec![PortState::Closed, silent]),
                ]),
                "{mode}"
            );
            assert_eq!((found.totals.targets, found.totals.answered), (2, 2));
            let numbers = &found.totals.statistics;
            assert_eq!(
                (numbers.ports, numbers.sent, numbers.closed),
                (4, 4, 2),
                "{mode}: a target that stands there twice is asked once"
            );
            assert_eq!(
                (found.names.as_slice(), found.ports.as_slice()),
                (&[(0, "localhost".to_owned())][..], &[4_000, 4_001][..])
            );
            assert_eq!((found.denied[0].run.first, found.denied[0].run.count), ("127.0.0.9".parse().unwrap(), 1));
            let open = events.iter().filter(|event| matches!(event, ProbeEvent::Port(PortEvent::Open { .. }))).count();
            assert_eq!(u32::try_from(open).unwrap(), numbers.open, "open ports are told as they are found");
        }
        answering.join().unwrap();
        assert!(watched.accept().is_err() && forbidden.iter().all(|socket| socket.recv(&mut [0; 1]).is_err()));
        drop((open, deaf));
    });
}

#[test]
fn many_targets_are_asked_no_faster_than_one_and_none_faster_than_its_share() {
    namespace::within("port-pace", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        // Seventy targets in two turns of 35, two ports each, at 50 a second: 140 questions, and the last turn ends no sooner.
        let (report, _) = run(
            &spec(r#""targets":["127.1.0.0/26","127.2.0.0/29","127.3.0.1","127.3.0.2"],"ports":"4000-4001""#),
            &context,
        )
        .await;
        let found = findings(&report);
        assert_eq!(
            (found.totals.targets, found.totals.statistics.closed, found.totals.statistics.sent),
            (70, 140, 140)
        );
        assert!(report.duration_us >= 139 * 20_000, "{}", report.duration_us);
        assert_eq!((report.status, found.targets.len()), (Status::Ok, 3));
    });
}

#[test]
fn job_01_a_denied_port_or_only_denied_targets_end_the_scan_before_anything_is_asked() {
    namespace::within("port-many-denied", Loopback::Up, || async {
        for mode in ["connect", "syn", "udp"] {
            let denied = format!(r#""target":"127.0.0.0/30","ports":"{DENIED_PORT}","mode":"{mode}","wait_ms":50"#);
            let (report, _) = run(&spec(&denied), &context(IcmpSockets::open(), AllowAllBut::default())).await;
            assert_eq!((report.status, report.error.as_ref().unwrap().code), (Status::Failed, ErrorCode::PolicyDenied));
            assert_eq!(findings(&report).totals.statistics.sent, 0);
            let nobody = AllowAllBut(vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()]);
            let allowed = format!(r#""target":"127.0.0.0/30","ports":"80","mode":"{mode}","wait_ms":50"#);
            let (report, _) = run(&spec(&allowed), &context(IcmpSockets::open(), nobody)).await;
            assert_eq!((report.error.unwrap().code, report.findings), (ErrorCode::PolicyDenied, None));
        }
    });
}

/// No way to one target leaves the others as they are, and nothing at all is the probe's failure.
#[test]
fn a_target_without_a_way_to_it_is_told_as_not_asked() {
    namespace::within("port-many-nowhere", Loopback::Up, || async {
        let sockets = context(IcmpSockets::open(), AllowAllBut::default());
        for mode in ["syn", "udp"] {
            let (report, _) = run(
                &spec(&format!(r#""targets":["192.0.2.1","127.0.0.1"],"ports":"4000","mode":"{mode}""#)),
                &sockets,
            )
            .await;
            assert_eq!(report.status, Status::Degraded, "{report:?}");
            let found = findings(&report);
            assert_eq!(found.columns.state, [PortState::Unasked, PortState::Closed], "{mode}");
            assert_eq!(
                (found.columns.reason[0], found.columns.code[0]),
                (PortReason::Unsent, Some(ErrorCode::UnreachableNet)),
                "{found:?}"
            );
        }
        let none = context(IcmpSockets::open_unprivileged(), AllowAllBut::default());
        let (report, _) = run(&spec(r#""target":"127.0.0.0/30","ports":"4000","mode":"syn""#), &none).await;
        assert_eq!((report.status, report.error.unwrap().code), (Status::Failed, ErrorCode::PermissionMissing));
    });
}

#[test]
fn a_cancelled_scan_keeps_the_targets_that_are_done() {
    namespace::within("port-many-cancelled", Loopback::Up, || async {
        let deaf = UdpSocket::bind("127.0.0.2:4000").unwrap();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (sender, mut told) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let long = spec(r#""target":"127.0.0.0/30","ports":"4000","mode":"udp","wait_ms":10000,"tries":3"#);
        let watching = async {
            while let Some(event) = told.recv().await {
                if matches!(event, ProbeEvent::Port(PortEvent::Sweep(progress)) if progress.finished == 1) {
                    cancel.cancel();
                }
            }
        };
        let (report, ()) = tokio::join!(agent_probes::table::run(&long, &context, sender, cancel.clone()), watching);
        assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Cancelled);
        assert_eq!(states(findings(&report)), BTreeMap::from([("127.0.0.1".to_owned(), vec![PortState::Closed])]));
        drop(deaf);
    });
}
