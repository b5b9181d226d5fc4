//! Paths of one hop, on loopback: what the engine, the driver and the machines make of each other.

use std::collections::HashSet;
use std::net::IpAddr;

use agent_paths::explain;
use agent_probes::net::icmp::IcmpSockets;
use agent_probes::table;
use shared_protocol::event::{MtrEvent, PmtuEvent, ProbeEvent, TracerouteEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{HopState, PathEnd, PmtuBound, TcpReply, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{mtr, pmtu, spec, traceroute};
use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, DENIED_PORT, context, raw_context, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_reaches_loopback_in_both_families() {
    let Some(context) = raw_context("path-raw") else { return };
    for target in ["127.0.0.1", "::1"] {
        for (options, tcp) in [
            ("", None),
            (r#","flow":"classic","size_bytes":1400,"df":true,"dscp":46"#, None),
            (r#","protocol":"udp""#, None),
            (r#","protocol":"udp","flow":"classic""#, None),
            (r#","protocol":"tcp","port":1"#, Some(TcpReply::Reset)),
        ] {
            let (report, events) = run(&spec("traceroute", target, &format!(r#"{options},"raw":true"#)), &context).await;
            assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{target}{options}: {report:?}");
            let findings = traceroute(&report);
            assert_eq!(
                (findings.end, findings.hops.len(), findings.agent_drops),
                (PathEnd::Reached, 1, 0),
                "{target}{options}"
            );
            let hop = &findings.hops[0];
            assert_eq!((hop.ttl, hop.state, hop.sent, hop.received), (1, HopState::Answered, 3, 3));
            assert_eq!(hop.addresses[0].address, target.parse::<IpAddr>().unwrap());
            for reply in &hop.replies {
                assert!(reply.rtt_us.unwrap() <= reply.user_rtt_us.unwrap(), "{reply:?}");
                assert_eq!(reply.tcp, tcp, "{target}{options}");
                let rewritten = reply.quoted.as_ref().map(|quoted| quoted.rewritten.clone()).unwrap_or_default();
                assert_eq!(rewritten, [], "{target}{options}: what is quoted is what was sent: {reply:?}");
            }
            assert!(matches!(events[0], ProbeEvent::Traceroute(TracerouteEvent::Resolved { .. })));
            assert!(matches!(events[1], ProbeEvent::Traceroute(TracerouteEvent::Hop(_))));
            assert_eq!(events.len(), 2, "{events:?}");
        }
    }
}

#[tokio::test]
async fn what_a_report_keeps_gives_it_again_byte_for_byte() {
    let Some(context) = raw_context("path-raw") else { return };
    for (probe, options) in [
        ("traceroute", r#","protocol":"udp""#),
        ("traceroute", r#","protocol":"tcp","port":1"#),
        ("mtr", r#","rounds":3,"interval_ms":100"#),
        ("pmtu", ""),
    ] {
        let spec = spec(probe, "127.0.0.1", &format!(r#"{options},"raw":true"#));
        let (report, _) = run(&spec, &context).await;
        let log = report.raw.as_ref().unwrap();
        assert!(!log.cut && !log.stopped);
        let travelled = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        let again = explain::derive(&spec, &travelled).unwrap();
        assert!(again.is_same(&travelled), "{probe}{options}: {again:?}");
        let (sent, came) = explain::packets(log);
        assert!(sent >= came && came > 0, "{sent} {came}");
    }
    let (without, _) = run(&spec("traceroute", "127.0.0.1", ""), &context).await;
    assert_eq!(without.raw, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_paths_at_once_do_not_mix() {
    let Some(context) = raw_context("path-raw") else { return };
    let mut paths = JoinSet::new();
    for number in 0..500_u32 {
        let context = context.clone();
        let (high, low) = (1 + number / 250, 1 + number % 250);
        let target = format!("127.0.{high}.{low}");
        let options = [
            r#","queries":1"#,
            r#","queries":1,"protocol":"udp""#,
            r#","queries":1,"protocol":"tcp","port":1"#,
        ][usize::try_from(number % 3).unwrap()];
        paths.spawn(async move {
            let (report, _) = run(&spec("traceroute", &target, options), &context).await;
            let findings = traceroute(&report);
            assert_eq!(
                (findings.end, findings.hops.len(), findings.hops[0].replies.len()),
                (PathEnd::Reached, 1, 1),
                "{target}{options}: {report:?}"
            );
            // The host may lose a timestamp in such a burst; then the report says so, and gives no time in its place.
            let stamped = findings.hops[0].replies[0].rtt_us.is_some();
            assert_eq!(report.status == Status::Ok, stamped, "{target}{options}: {report:?}");
            assert_eq!(findings.hops[0].addresses[0].address, target.parse::<IpAddr>().unwrap());
            findings.address
        });
    }
    let addresses: HashSet<IpAddr> = paths.join_all().await.into_iter().collect();
    assert_eq!(addresses.len(), 500);
}

#[tokio::test]
async fn paths_to_one_target_at_once_do_not_mix() {
    let Some(context) = raw_context("path-raw") else { return };
    let mut paths = JoinSet::new();
    for queries in 1..=10 {
        let context = context.clone();
        paths.spawn(async move {
            let options = format!(r#","queries":{queries},"protocol":"udp","dscp":{queries}"#);
            let (report, _) = run(&spec("traceroute", "127.0.0.1", &options), &context).await;
            let hop = &traceroute(&report).hops[0];
            assert_eq!(
                (hop.sent, hop.received, hop.replies.len()),
                (queries, queries, usize::try_from(queries).unwrap())
            );
            for reply in &hop.replies {
                assert_eq!(u32::from(reply.quoted.as_ref().unwrap().dscp), queries);
            }
        });
    }
    paths.join_all().await;
}

#[tokio::test]
async fn an_mtr_tells_each_round_and_ends_soon_after_the_last() {
    let Some(context) = raw_context("path-raw") else { return };
    let (report, events) = run(&spec("mtr", "127.0.0.1", r#","rounds":5,"interval_ms":100"#), &context).await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let findings = mtr(&report);
    assert_eq!((findings.rounds, findings.end, findings.hops.len()), (5, PathEnd::Reached, 1));
    let hop = &findings.hops[0];
    assert_eq!((hop.sent, hop.received, hop.changes), (5, 5, 0));
    assert!(hop.rtt.is_some() && hop.return_hops == Some(1), "{hop:?}");
    let mut told = Vec::new();
    for event in &events {
        if let ProbeEvent::Mtr(MtrEvent::Round { rounds, hops }) = event {
            assert_eq!(hops.len(), 1);
            told.push(*rounds);
        }
    }
    assert!(told.is_sorted() && told.first() == Some(&0) && told.last() == Some(&5), "{told:?}");
}

#[test]
fn job_21_what_the_interface_does_not_take_is_never_sent() {
    namespace::within("path-pmtu", Loopback::Up, || async {
        namespace::set_loopback_mtu(1_400);
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for (target, options, mss) in [("127.0.0.1", "", 1_360), ("127.0.0.1", r#","protocol":"udp""#, 1_360), ("::1", "", 1_340)] {
            let (report, events) = run(&spec("pmtu", target, options), &context).await;
            assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{target}{options}: {report:?}");
            let findings = pmtu(&report);
            assert_eq!(
                (findings.pmtu, findings.bound),
                (Some(1_400), PmtuBound::Interface),
                "{target}{options}: {findings:?}"
            );
            assert_eq!((findings.mss_hint, findings.black_hole), (Some(mss), None));
            let longer = findings.lengths.iter().filter(|length| length.bytes > 1_400);
            assert!(longer.clone().count() > 1 && longer.clone().all(|length| length.sent == 0 && length.errno == Some(libc::EMSGSIZE)));
            let told = events.iter().filter(|event| matches!(event, ProbeEvent::Pmtu(PmtuEvent::Length(_)))).count();
            assert_eq!(told, findings.lengths.len());
        }
    });
}

#[test]
fn job_20_a_target_that_never_answers_ends_the_path_at_the_gap_limit() {
    namespace::within("path-silence", Loopback::Up, || async {
        namespace::set_option("ipv4/icmp_echo_ignore_all", "1");
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("traceroute", "127.0.0.1", r#","wait_ms":50,"gap_limit":3"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Path));
        let findings = traceroute(&report);
        assert_eq!((findings.end, findings.hops.len(), findings.reached), (PathEnd::GapLimit, 3, false));
        assert!(findings.hops.iter().all(|hop| hop.state == HopState::Silent && hop.sent == 3));
    });
}

#[test]
fn what_the_kernel_will_not_send_is_no_hop() {
    namespace::within("path-unreachable", Loopback::Down, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for probe in ["traceroute", "mtr", "pmtu"] {
            let (report, _) = run(&spec(probe, "127.0.0.1", ""), &context).await;
            assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path), "{report:?}");
            assert_eq!(report.error.unwrap().code, ErrorCode::UnreachableNet);
        }
    });
}

#[tokio::test]
async fn job_04_a_denied_address_or_port_is_sent_nothing() {
    let context = context(IcmpSockets::open(), AllowAllBut(vec!["::1".parse().unwrap()]));
    let (report, events) = run(&spec("traceroute", "localhost", r#","af":"4""#), &context).await;
    assert_eq!((report.policy.verdict, report.policy.rule.as_str()), (Verdict::Denied, "deny_cidrs"));
    assert_eq!((report.findings, events.len()), (None, 0));
    let denied = format!(r#","protocol":"udp","port":{DENIED_PORT}"#);
    let (report, _) = run(&spec("traceroute", "127.0.0.1", &denied), &context).await;
    assert_eq!(
        (report.policy.verdict, report.policy.rule.as_str()),
        (Verdict::Denied, "allow_ports"),
        "{report:?}"
    );
    assert_eq!(traceroute(&report).hops, []);
}

#[tokio::test]
async fn job_22_a_cancelled_mtr_reports_what_it_has() {
    let Some(context) = raw_context("path-raw") else { return };
    let cancel = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(8);
    let spec = spec("mtr", "127.0.0.1", r#","rounds":4,"interval_ms":60000,"raw":true"#);
    let first_row = async {
        while let Some(event) = receiver.recv().await {
            if matches!(event, ProbeEvent::Mtr(MtrEvent::Round { .. })) {
                cancel.cancel();
            }
        }
    };
    let (report, ()) = tokio::join!(table::run(&spec, &context, sender, cancel.clone()), first_row);
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Cancelled);
    assert_eq!(mtr(&report).hops[0].received, 1);
    assert!(explain::derive(&spec, &report).unwrap().is_same(&report), "what it has can be derived again");
}
