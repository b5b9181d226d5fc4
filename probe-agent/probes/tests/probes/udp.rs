//! UDP probes, over loopback.

use std::net::UdpSocket;

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{Findings, Report, UdpFindings, UdpOutcome};
use shared_protocol::spec::ProbeSpec;

use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, DENIED_PORT, context, raw_context, run};

fn spec(target: &str, port: u16, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"udp","target":"{target}","port":{port}{options}}}"#)).unwrap()
}

#[track_caller]
fn findings(report: &Report) -> &UdpFindings {
    let Some(Findings::Udp(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

/// Answers so many datagrams with what they carry, in upper case.
fn echo(target: &str, count: usize) -> (u16, std::thread::JoinHandle<()>) {
    let socket = UdpSocket::bind((target, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        for _ in 0..count {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..length].to_ascii_uppercase(), from).unwrap();
        }
    });
    (port, thread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_timed_by_both_clocks_and_compared_with_what_was_expected() {
    let Some(context) = raw_context("udp-raw") else { return };
    for target in ["127.0.0.1", "::1"] {
        let (port, server) = echo(target, 6);
        let (report, events) = run(&spec(target, port, r#","payload":"6869","expect":"48","count":3,"interval_ms":10"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{report:?}");
        let found = findings(&report);
        assert_eq!((found.statistics.answered, found.statistics.received, events.len()), (3, 3, 4));
        for tried in &found.tries {
            assert_eq!(
                (tried.outcome, tried.bytes, tried.sample.as_deref()),
                (UdpOutcome::Answered, Some(2), Some("4849"))
            );
            assert!(tried.rtt_us.unwrap() <= tried.user_rtt_us.unwrap(), "{tried:?}");
        }
        let (report, _) = run(&spec(target, port, r#","payload":"6869","expect":"68","count":3,"interval_ms":10"#), &context).await;
        server.join().unwrap();
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target), "{report:?}");
        assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::ProtoError);
        assert!(findings(&report).tries.iter().all(|tried| tried.outcome == UdpOutcome::Unexpected));
    }
}

/// With raw sockets and without, in both families.
#[test]
fn a_closed_port_is_an_answer_of_the_target() {
    namespace::within("udp-closed", Loopback::Up, || async {
        for sockets in [IcmpSockets::open(), IcmpSockets::open_unprivileged()] {
            let context = context(sockets, AllowAllBut::default());
            for target in ["127.0.0.1", "::1"] {
                let (report, _) = run(&spec(target, 4_000, r#","count":3,"interval_ms":10"#), &context).await;
                assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target), "{report:?}");
                assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::UnreachablePort);
                let found = findings(&report);
                assert_eq!((found.statistics.closed, found.statistics.received, found.statistics.sent), (3, 3, 3));
                assert!(found.tries.iter().all(|tried| tried.rtt_us.is_some() && tried.from.is_some()), "{found:?}");
            }
        }
    });
}

#[test]
fn silence_is_not_more_than_that() {
    namespace::within("udp-silence", Loopback::Up, || async {
        let _deaf = UdpSocket::bind("127.0.0.1:4000").unwrap();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", 4_000, r#","count":2,"interval_ms":10,"wait_ms":40"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Path), "{report:?}");
        assert!(findings(&report).tries.iter().all(|tried| tried.outcome == UdpOutcome::Silent));
        assert_eq!(findings(&report).statistics.sent, 2);
    });
}

#[test]
fn job_01_a_denied_port_gets_nothing_and_without_a_route_nothing_leaves() {
    namespace::within("job-01", Loopback::Up, || async {
        let heard = UdpSocket::bind(("127.0.0.1", DENIED_PORT)).unwrap();
        heard.set_nonblocking(true).unwrap();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", DENIED_PORT, r#","count":1"#), &context).await;
        assert_eq!(report.error.unwrap().code, ErrorCode::PolicyDenied);
        assert!(heard.recv(&mut [0; 1]).is_err());
        let (report, _) = run(&spec("192.0.2.1", 53, r#","count":1"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path), "{report:?}");
        assert_eq!(findings(&report).tries[0].outcome, UdpOutcome::Unsent);
    });
}
