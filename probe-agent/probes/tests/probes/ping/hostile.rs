//! Replies that nobody should trust, over real sockets. Each test has a namespace in which the kernel itself answers no ping.

use std::net::Ipv4Addr;

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::Report;

use super::responder::{Forged, Responder, error, reply, with_checksum};
use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, context, findings, run, spec};

/// Pings 127.0.0.9 twice while a responder answers, and gives the report with the number of messages that were none of ours.
fn ping_of(wait_ms: u32, answer: fn(Ipv4Addr, &[u8]) -> Vec<Forged>, judge: fn(&Report, u64)) {
    namespace::within("job-19", Loopback::Up, move || async move {
        namespace::set_option("ipv4/icmp_echo_ignore_all", "1");
        namespace::set_option("ipv4/icmp_ratelimit", "0");
        let _responder = Responder::start(answer);
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.9", &format!(r#","count":2,"interval_ms":10,"wait_ms":{wait_ms}"#)), &context).await;
        judge(&report, context.engine.foreign_messages());
    });
}

#[test]
fn job_19_forged_replies_before_the_right_one_are_counted_and_ignored() {
    ping_of(
        10_000,
        |target, request| {
            let other = |offset: usize| {
                let mut message = reply(request);
                message[offset] ^= 0xff;
                with_checksum(message)
            };
            let mut wrong_checksum = reply(request);
            wrong_checksum[30] ^= 1;
            vec![
                (target, other(4)),
                (target, other(8)),
                (target, wrong_checksum),
                (target, with_checksum(reply(request)[..20].to_vec())),
                (Ipv4Addr::new(127, 0, 0, 66), reply(request)),
                (target, reply(request)),
            ]
        },
        |report, foreign| {
            assert_eq!(report.status, Status::Ok, "{report:?}");
            let findings = findings(report);
            assert_eq!((findings.statistics.received, findings.statistics.duplicates), (2, 0));
            assert!(
                findings
                    .packets
                    .iter()
                    .all(|packet| packet.rtt_us <= packet.user_rtt_us && packet.rtt_us.is_some())
            );
            assert!(
                foreign >= 9,
                "five forged ones each, of which the last request may leave some unread: {foreign}"
            );
        },
    );
}

#[test]
fn job_19_an_exhausted_hop_limit_is_the_paths_fault() {
    ping_of(
        10_000,
        |target, request| vec![(Ipv4Addr::new(127, 0, 0, 200), error(11, 0, target, request, request.len()))],
        |report, _| {
            assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path), "{report:?}");
            assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::TtlExceeded);
            let findings = findings(report);
            assert_eq!((findings.statistics.errors, findings.statistics.received), (2, 0));
            assert_eq!(findings.packets[0].from, Some("127.0.0.200".parse().unwrap()));
            assert_eq!(findings.packets[0].icmp_error, Some((11, 0)));
            assert!(findings.packets[0].rtt_us.is_some());
        },
    );
}

#[test]
fn job_19_an_error_of_the_target_that_quotes_eight_bytes_is_the_targets_fault() {
    ping_of(
        10_000,
        |target, request| vec![(target, error(3, 2, target, request, 8))],
        |report, _| {
            assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target), "{report:?}");
            assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::UnreachableProto);
            assert_eq!(findings(report).packets[0].from, None);
        },
    );
}

#[test]
fn job_19_malformed_errors_are_no_answer() {
    ping_of(
        2_000,
        |target, request| {
            let whole = error(3, 1, target, request, 24);
            let mut lying_header = whole.clone();
            lying_header[8] = 0x4f;
            vec![
                (target, with_checksum(whole[..8].to_vec())),
                (target, with_checksum(whole[..30].to_vec())),
                (target, with_checksum(lying_header)),
                (target, error(3, 1, Ipv4Addr::new(127, 0, 0, 10), request, 24)),
            ]
        },
        |report, foreign| {
            assert_eq!((report.status, findings(report).statistics.errors), (Status::Timeout, 0), "{report:?}");
            assert_eq!(foreign, 8);
        },
    );
}

#[test]
fn job_19_a_flood_of_duplicates_spoils_nothing() {
    ping_of(
        10_000,
        |target, request| vec![(target, reply(request)); 1_000],
        |report, _| {
            let findings = findings(report);
            assert_eq!(findings.statistics.received, 2, "{:?}", findings.statistics);
            assert!(findings.statistics.duplicates > 0);
            assert_eq!(findings.agent_drops, 0);
            assert!(findings.packets.len() <= 102);
            assert!(findings.packets.iter().all(|packet| packet.rtt_us <= packet.user_rtt_us));
        },
    );
}

#[test]
fn job_01_a_denied_address_gets_no_packet() {
    namespace::within("job-01", Loopback::Up, || async {
        namespace::set_option("ipv4/icmp_echo_ignore_all", "1");
        let responder = Responder::start(|target, request| vec![(target, reply(request))]);
        let context = context(IcmpSockets::open(), AllowAllBut(vec!["127.0.0.9".parse().unwrap()]));
        let (denied, _) = run(&spec("127.0.0.9", ""), &context).await;
        assert_eq!(denied.error.unwrap().code, ErrorCode::PolicyDenied);
        let (allowed, _) = run(&spec("127.0.0.8", r#","count":1"#), &context).await;
        assert_eq!(allowed.status, Status::Ok, "{allowed:?}");
        assert_eq!(responder.seen(), 1, "only the allowed one");
    });
}
