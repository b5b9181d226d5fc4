//! Half-open tries: over loopback, and against what answers wrongly.

use std::net::TcpListener;

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::TcpOutcome;

use super::{findings, spec};
use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, DENIED_PORT, context, raw_context, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_port_shows_what_its_host_offers_and_no_connection_is_made() {
    let Some(context) = raw_context("tcp-syn") else { return };
    for target in ["127.0.0.1", "::1"] {
        let listener = TcpListener::bind((target, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (report, events) = run(&spec(target, port, r#","mode":"syn","count":5,"interval_ms":10"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{report:?}");
        let findings = findings(&report);
        assert_eq!((findings.statistics.open, findings.tries.len(), events.len()), (5, 5, 6));
        for tried in &findings.tries {
            let offer = tried.offer.unwrap();
            assert!(tried.rtt_us.unwrap() <= tried.user_rtt_us.unwrap(), "{tried:?}");
            assert!(
                offer.flags == 0x12 && offer.mss.is_some_and(|mss| mss > 1_000) && offer.ttl == Some(64),
                "{offer:?}"
            );
            assert!(offer.sack && offer.ts && offer.wscale.is_some(), "{offer:?}");
            assert!(tried.info.is_none() && tried.local.is_none());
        }
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody connected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_counts_as_answered_and_a_denied_port_gets_nothing() {
    let Some(context) = raw_context("tcp-syn-closed") else { return };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (report, _) = run(&spec("127.0.0.1", closed, r#","mode":"syn","count":2,"interval_ms":10"#), &context).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target), "{report:?}");
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Refused);
    let findings = findings(&report);
    assert_eq!((findings.statistics.received, findings.statistics.closed, findings.statistics.sent), (2, 2, 2));
    assert!(
        findings
            .tries
            .iter()
            .all(|tried| tried.rtt_us.is_some() && tried.offer.unwrap().flags & 0x04 != 0)
    );
    let (report, _) = run(&spec("127.0.0.1", DENIED_PORT, r#","mode":"syn","count":1"#), &context).await;
    assert_eq!(report.error.unwrap().code, ErrorCode::PolicyDenied);
}

#[test]
fn when_nobody_waits_for_an_answer_the_hosts_packets_are_not_looked_at() {
    namespace::within("tcp-syn-after", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", 80, r#","mode":"syn","count":1"#), &context).await;
        assert_eq!(findings(&report).statistics.closed, 1, "{report:?}");
        assert!(!namespace::packets_are_looked_at());
    });
}

#[test]
fn without_raw_sockets_a_half_open_try_says_what_it_needs() {
    namespace::within("tcp-syn-datagram", Loopback::Up, || async {
        let context = context(IcmpSockets::open_unprivileged(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", 80, r#","mode":"syn","count":1"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent));
        assert_eq!(report.error.unwrap().code, ErrorCode::PermissionMissing);
    });
}

#[test]
fn silence_is_filtered_and_waited_for_once() {
    namespace::within("tcp-syn-silence", Loopback::Up, || async {
        let silent = super::firewalled::Silent::listen();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(
            &spec("127.0.0.1", silent.port, r#","mode":"syn","count":3,"interval_ms":10,"wait_ms":60"#),
            &context,
        )
        .await;
        assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Path), "{report:?}");
        assert!(
            findings(&report)
                .tries
                .iter()
                .all(|tried| tried.outcome == TcpOutcome::Filtered && tried.offer.is_none())
        );
        assert_eq!(findings(&report).statistics.sent, 3);
        assert!(report.duration_us < 2_000_000, "the last try ends it, not the time it may take: {report:?}");
    });
}
