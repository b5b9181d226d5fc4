//! Against listeners of our own on loopback.

use std::net::{SocketAddr, TcpListener};

use agent_probes::net::icmp::IcmpSockets;
use agent_probes::table;
use shared_protocol::event::{ProbeEvent, TcpEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{TcpOutcome, Verdict};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{findings, spec};
use crate::setting::{AllowAllBut, DENIED_PORT, context, run};

/// A listener whose queue is long enough for every try; nobody has to accept for a connection to stand.
fn listener(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port of this address that nothing listens on: bound by a socket that never will.
fn closed_port(address: &str) -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn an_open_port_answers_by_both_clocks_with_what_the_kernel_knows() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, port) = listener(address);
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let target = listener.local_addr().unwrap().ip().to_string();
        let (report, events) = run(&spec(&target, port, r#","count":3,"interval_ms":10,"dscp":10"#), &context).await;
        assert_eq!((report.status, report.fault, &report.error), (Status::Ok, Fault::None, &None), "{report:?}");
        let findings = findings(&report);
        assert_eq!((findings.statistics.sent, findings.statistics.open, findings.statistics.received), (3, 3, 3));
        assert_eq!(events.len(), 4);
        for (seq, tried) in (0..).zip(&findings.tries) {
            assert_eq!((tried.seq, tried.outcome), (seq, TcpOutcome::Open));
            let (kernel, user) = (tried.rtt_us.unwrap(), tried.user_rtt_us.unwrap());
            // The kernel counts from one microsecond and rounds up, we round down.
            assert!(kernel <= user + 1, "{kernel} µs by the kernel lie within {user} µs by the program");
            let info = tried.info.unwrap();
            assert!(info.options.sack && info.options.ts && info.options.wscale.is_some(), "{info:?}");
            assert!(info.snd_mss > 500 && info.snd_cwnd > 0 && info.retransmits == 0, "{info:?}");
            assert_eq!(tried.local.unwrap().ip().to_string(), target);
        }
        assert!(findings.statistics.rtt.is_some() && findings.statistics.user_rtt.is_some());
    }
}

#[tokio::test]
async fn a_connection_that_stood_is_reset_and_leaves_no_port_behind() {
    let (listener, port) = listener("127.0.0.1:0");
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    let (report, _) = run(&spec("127.0.0.1", port, r#","count":2,"interval_ms":10"#), &context).await;
    for tried in &findings(&report).tries {
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(Some(peer), tried.local);
        let read = std::io::Read::read(&mut &stream, &mut [0]);
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        // A port in TIME-WAIT could not be bound without SO_REUSEADDR.
        let own = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        own.bind(&peer.into()).unwrap();
    }
}

#[tokio::test]
async fn a_closed_port_is_the_targets_answer() {
    let (_socket, port) = closed_port("127.0.0.1:0");
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    let (report, _) = run(&spec("127.0.0.1", port, r#","count":2,"interval_ms":10"#), &context).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target));
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Refused);
    let findings = findings(&report);
    assert_eq!((findings.statistics.closed, findings.statistics.received), (2, 2));
    assert!(findings.statistics.loss.abs() < f64::EPSILON && findings.statistics.user_rtt.is_some());
    assert!(
        findings
            .tries
            .iter()
            .all(|tried| tried.outcome == TcpOutcome::Closed && tried.user_rtt_us.is_some())
    );
}

#[tokio::test]
async fn job_03_a_name_is_resolved_once_and_its_checked_address_used() {
    let (_listener, port) = listener("127.0.0.1:0");
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    let (report, events) = run(&spec("localhost", port, r#","af":"4","count":1"#), &context).await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let resolved = events.first().unwrap();
    assert!(matches!(resolved, ProbeEvent::Tcp(TcpEvent::Resolved { address }) if address.is_ipv4()));
    assert_eq!(report.resolved, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[tokio::test]
async fn job_04_one_denied_address_denies_the_whole_job() {
    let (listener, port) = listener("127.0.0.1:0");
    listener.set_nonblocking(true).unwrap();
    let context = context(IcmpSockets::open(), AllowAllBut(vec!["::1".parse().unwrap()]));
    let (report, _) = run(&spec("localhost", port, r#","af":"4""#), &context).await;
    assert_eq!((report.fault, report.policy.verdict), (Fault::Policy, Verdict::Denied));
    assert_eq!((report.findings, report.policy.rule.as_str()), (None, "deny_cidrs"));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nothing was sent");
}

#[tokio::test]
async fn a_denied_port_is_never_tried() {
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    let (report, _) = run(&spec("127.0.0.1", DENIED_PORT, ""), &context).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Policy));
    assert_eq!((report.policy.verdict, report.policy.rule.as_str()), (Verdict::Denied, "allow_ports"));
    assert!(findings(&report).tries.is_empty());
}

#[tokio::test]
async fn job_22_a_cancelled_probe_reports_what_it_has() {
    let (_listener, port) = listener("127.0.0.1:0");
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    let cancel = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(8);
    let first_try = async {
        while let Some(event) = receiver.recv().await {
            if matches!(event, ProbeEvent::Tcp(TcpEvent::Try(_))) {
                cancel.cancel();
            }
        }
    };
    let spec = spec("127.0.0.1", port, r#","count":5,"interval_ms":60000"#);
    let (report, ()) = tokio::join!(table::run(&spec, &context, sender, cancel.clone()), first_try);
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Cancelled);
    assert_eq!(findings(&report).statistics.open, 1);
}
