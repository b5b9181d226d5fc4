//! Pings of many targets.

use std::net::IpAddr;

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{Findings, Report, SweepFindings};
use shared_protocol::spec::ProbeSpec;

use super::responder::{Responder, reply};
use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, context, raw_context, run};

fn sweep(targets: &str, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"ping",{targets}{options}}}"#)).unwrap()
}

#[track_caller]
fn found(report: &Report) -> &SweepFindings {
    let Some(Findings::PingSweep(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

#[test]
fn every_address_of_a_block_is_asked_and_timed_by_both_clocks() {
    // Of its own: on the host's loopback it would hear the replies to other tests.
    namespace::within("sweep-raw", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for (options, payload) in [
            ("", 56),
            (r#","ttl":3,"dscp":46,"payload_bytes":17"#, 17),
            (r#","df":true,"payload_bytes":0"#, 0),
        ] {
            let (report, events) = run(
                &sweep(r#""target":"127.1.0.0/20""#, &format!(r#","count":3,"interval_ms":10{options}"#)),
                &context,
            )
            .await;
            let findings = found(&report);
            assert_eq!(
                (report.status, report.fault),
                (Status::Ok, Fault::None),
                "{payload}: {:?} {:?}",
                findings.totals,
                findings.agent
            );
            let totals = &findings.totals;
            assert_eq!((totals.targets, totals.answered, totals.sent, totals.received), (4_094, 4_094, 12_282, 12_282));
            assert_eq!((totals.duplicates, totals.late, totals.errors), (0, 0, 0));
            assert_eq!(findings.targets.len(), 1, "one run of neighbours");
            let columns = &findings.columns;
            assert!(columns.sent.iter().chain(&columns.received).all(|count| *count == 3));
            for (kernel, user) in [(&columns.rtt.min_us, &columns.user_rtt.min_us), (&columns.rtt.max_us, &columns.user_rtt.max_us)] {
                assert_eq!(kernel.len(), 4_094);
                assert!(kernel.iter().zip(user).all(|(kernel, user)| kernel.is_some() && kernel <= user));
            }
            assert!(events.iter().any(|event| matches!(event, ProbeEvent::Ping(PingEvent::Sweep(_)))));
            assert_eq!(context.engine.foreign_messages(), 0);
            assert!(!namespace::packets_are_looked_at(), "it is over");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_mix_families_names_and_blocks_and_ask_each_address_once() {
    let Some(context) = raw_context("sweep-list") else { return };
    let list = r#""targets":["127.0.0.9","::1","localhost","127.0.0.8/29","127.0.0.9","nobody.invalid"]"#;
    let (report, _) = run(&sweep(list, r#","count":2,"interval_ms":10,"each_packet":true"#), &context).await;
    let findings = found(&report);
    let addresses: Vec<IpAddr> = findings.addresses().collect();
    assert!(addresses.contains(&"::1".parse().unwrap()) && addresses.contains(&"127.0.0.14".parse().unwrap()));
    assert_eq!(addresses.iter().filter(|address| address.to_string() == "127.0.0.9").count(), 1);
    assert_eq!(findings.names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["localhost"]);
    assert_eq!(
        findings.unresolved.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(),
        ["nobody.invalid"]
    );
    assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Resolver), "{report:?}");
    assert_eq!(findings.totals.received, findings.totals.targets * 2);
    let each = &findings.columns.each_rtt_us;
    assert!(each.len() == addresses.len() && each.iter().all(|times| times.len() == 2 && times.iter().all(Option::is_some)));
}

#[test]
fn job_01_denied_addresses_of_a_block_get_no_packet_and_are_told_apart() {
    namespace::within("job-01", Loopback::Up, || async {
        namespace::set_option("ipv4/icmp_echo_ignore_all", "1");
        let responder = Responder::start(|target, request| vec![(target, reply(request))]);
        let denied = ["127.0.0.10", "127.0.0.11", "127.0.0.14"].map(|address| address.parse().unwrap());
        let context = context(IcmpSockets::open(), AllowAllBut(denied.to_vec()));
        let (report, _) = run(&sweep(r#""target":"127.0.0.8/29""#, r#","count":1"#), &context).await;
        let findings = found(&report);
        assert_eq!((findings.totals.targets, findings.totals.received, responder.seen()), (3, 3, 3));
        let runs: Vec<_> = findings.denied.iter().map(|denied| (denied.run.first.to_string(), denied.run.count)).collect();
        assert_eq!(runs, [("127.0.0.10".to_owned(), 2), ("127.0.0.14".to_owned(), 1)]);
        assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Policy));
        let (report, _) = run(&sweep(r#""target":"127.0.0.10/31""#, ""), &context).await;
        assert_eq!(report.error.unwrap().code, ErrorCode::PolicyDenied);
        assert_eq!(responder.seen(), 3);
    });
}

#[test]
fn job_19_loss_lateness_and_duplicates_are_those_that_were_and_forgeries_count_for_nothing() {
    namespace::within("job-19", Loopback::Up, || async {
        namespace::set_option("ipv4/icmp_echo_ignore_all", "1");
        // Of each four neighbours: one answers, one twice, one never, one with replies that are another's.
        let _responder = Responder::start(|target, request| match target.octets()[3] % 4 {
            0 => vec![(target, reply(request))],
            1 => vec![(target, reply(request)), (target, reply(request))],
            2 => Vec::new(),
            _ => vec![(std::net::Ipv4Addr::new(127, 0, 0, 66), reply(request))],
        });
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&sweep(r#""target":"127.0.4.0/26""#, r#","count":2,"interval_ms":10,"wait_ms":300"#), &context).await;
        let findings = found(&report);
        assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Path), "{report:?}");
        for (place, address) in findings.addresses().enumerate() {
            let IpAddr::V4(address) = address else { panic!("{address}") };
            let kind = address.octets()[3] % 4;
            let received = findings.columns.received[place];
            assert_eq!(received, if kind < 2 { 2 } else { 0 }, "{address}");
            assert_eq!(findings.columns.duplicates[place], if kind == 1 { 2 } else { 0 }, "{address}");
            assert_eq!(findings.columns.rtt.min_us[place].is_some(), kind < 2);
        }
        let loss = f64::from(findings.totals.sent - findings.totals.received) / f64::from(findings.totals.sent);
        assert!((findings.totals.loss - loss).abs() < 1e-9);
        assert!(context.engine.foreign_messages() >= 30, "two for each of 15");
    });
}

#[test]
fn pings_and_sweeps_that_run_at_once_hear_their_own_replies() {
    namespace::within("sweep-beside", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        // The second sweep finds the way along the interfaces taken, and the ping begins while replies are spared the sockets.
        let first = sweep(r#""target":"127.1.0.0/24""#, r#","count":5,"interval_ms":50"#);
        let second = sweep(r#""target":"127.2.0.0/24""#, r#","count":5,"interval_ms":50"#);
        let ping = crate::setting::spec("127.0.0.9", r#","count":5,"interval_ms":50"#);
        let ((first, _), (second, _), (ping, _)) = tokio::join!(run(&first, &context), run(&second, &context), run(&ping, &context));
        for report in [&first, &second] {
            let totals = &found(report).totals;
            assert_eq!((totals.sent, totals.received, totals.duplicates), (1_270, 1_270, 0), "{report:?}");
        }
        let statistics = &crate::setting::findings(&ping).statistics;
        assert_eq!((statistics.sent, statistics.received, statistics.duplicates), (5, 5, 0), "{ping:?}");
        // And after a sweep alone, a ping is heard again.
        let (alone, _) = run(&sweep(r#""target":"127.1.0.0/24""#, r#","count":1"#), &context).await;
        let (after, _) = run(&crate::setting::spec("127.0.0.9", r#","count":1"#), &context).await;
        assert_eq!((found(&alone).totals.received, crate::setting::findings(&after).statistics.received), (254, 1));
    });
}

#[test]
fn what_the_kernel_will_not_send_is_told_and_is_no_loss() {
    namespace::within("sweep-unreachable", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        // There is no route to the documentation network.
        let list = r#""targets":["127.0.0.9","192.0.2.1","127.0.0.10","192.0.2.2","127.0.0.11"]"#;
        let (report, _) = run(&sweep(list, r#","count":2,"interval_ms":10"#), &context).await;
        let findings = found(&report);
        assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Agent), "{report:?}");
        assert_eq!((findings.totals.sent, findings.totals.received, findings.agent.unsent), (6, 6, 4));
        assert_eq!(findings.columns.sent, [2, 0, 2, 0, 2]);
        assert!((findings.totals.loss).abs() < 1e-9);
        assert!(findings.columns.rtt.min_us[2].is_some(), "the count of stamps is right again");
    });
}

#[test]
fn without_raw_sockets_a_sweep_says_what_it_needs() {
    namespace::within("sweep-datagram", Loopback::Up, || async {
        namespace::set_option("ipv4/ping_group_range", "0 2147483647");
        let context = context(IcmpSockets::open_unprivileged(), AllowAllBut::default());
        let (report, _) = run(&sweep(r#""target":"127.0.0.8/29""#, ""), &context).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent));
        assert_eq!(report.error.unwrap().code, ErrorCode::PermissionMissing);
    });
}
