//! Ping of loopback addresses.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agent_probes::net::gate::{Denial, Gate, Pace};
use agent_probes::net::icmp::{IcmpEngine, IcmpSockets};
use agent_probes::table;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{PingSocket, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, context, findings, raw_context, run, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_carries_both_clocks_in_both_families() {
    let Some(context) = raw_context("ping-raw") else { return };
    for target in ["127.0.0.1", "::1"] {
        for options in [
            "",
            r#","payload_bytes":0"#,
            r#","payload_bytes":8972"#,
            r#","df":true,"dscp":46,"ttl":3,"payload_bytes":7"#,
        ] {
            let (report, events) = run(&spec(target, &format!(r#","interval_ms":10{options}"#)), &context).await;
            assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{target}{options}: {report:?}");
            let findings = findings(&report);
            assert_eq!((findings.socket, findings.packets.len(), findings.agent_drops), (PingSocket::Raw, 4, 0));
            for packet in &findings.packets {
                assert!(packet.rtt_us.unwrap() <= packet.user_rtt_us.unwrap(), "{packet:?}");
                assert_eq!((packet.from, packet.icmp_error, packet.errno), (None, None, None));
                assert!(packet.reply_ttl.is_some(), "{packet:?}");
            }
            assert_eq!(findings.statistics.received, 4);
            assert_eq!(findings.statistics.duplicates, 0, "each reply is handed over once");
            assert_eq!(report.resolved, [target.parse::<IpAddr>().unwrap()]);
            assert_eq!(report.policy.verdict, Verdict::Allowed);
            assert_eq!(events.len(), 5);
            assert!(matches!(events[0], ProbeEvent::Ping(PingEvent::Resolved { .. })));
        }
    }
}

#[tokio::test]
async fn the_reply_is_as_long_as_the_request() {
    let Some(context) = raw_context("ping-raw") else { return };
    for (target, payload) in [("127.0.0.1", 0), ("127.0.0.1", 1_000), ("::1", 56)] {
        let (report, _) = run(&spec(target, &format!(r#","count":1,"payload_bytes":{payload}"#)), &context).await;
        assert_eq!(findings(&report).packets[0].bytes, Some(payload + 8));
    }
}

#[tokio::test]
async fn localhost_is_loopback_in_the_family_asked_for() {
    let Some(context) = raw_context("ping-raw") else { return };
    for (options, expected) in [(r#","af":"4""#, "127.0.0.1"), (r#","af":"6""#, "::1")] {
        let (report, _) = run(&spec("localhost", &format!(r#","count":1{options}"#)), &context).await;
        assert_eq!(findings(&report).address, expected.parse::<IpAddr>().unwrap());
        assert_eq!(report.status, Status::Ok);
    }
}

#[tokio::test]
async fn an_address_of_the_other_family_is_no_address() {
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    let (report, _) = run(&spec("127.0.0.1", r#","af":"6""#), &context).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Resolver));
    assert_eq!(report.error.unwrap().code, ErrorCode::DnsNoAddress);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_pings_at_once_do_not_mix() {
    let Some(context) = raw_context("ping-raw") else { return };
    let mut pings = JoinSet::new();
    for last in 1..=64 {
        let context = context.clone();
        let target = format!("127.0.0.{last}");
        let df = last % 2 == 0;
        pings.spawn(async move {
            let (report, _) = run(
                &spec(&target, &format!(r#","interval_ms":10,"count":10,"df":{df},"payload_bytes":{last}"#)),
                &context,
            )
            .await;
            assert_eq!(report.status, Status::Ok, "{report:?}");
            let findings = findings(&report).clone();
            assert_eq!(findings.address, target.parse::<IpAddr>().unwrap());
            assert!(findings.packets.iter().all(|packet| packet.bytes == Some(last + 8) && packet.rtt_us.is_some()));
            findings.address
        });
    }
    let addresses: HashSet<IpAddr> = pings.join_all().await.into_iter().collect();
    assert_eq!(addresses.len(), 64);
}

#[tokio::test]
async fn job_04_one_denied_address_denies_the_whole_job() {
    let context = context(IcmpSockets::open(), AllowAllBut(vec!["::1".parse().unwrap()]));
    let (report, events) = run(&spec("localhost", r#","af":"4""#), &context).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Policy));
    assert_eq!(report.error.unwrap().code, ErrorCode::PolicyDenied);
    assert_eq!((report.policy.verdict, report.policy.rule.as_str()), (Verdict::Denied, "deny_cidrs"));
    assert_eq!((report.findings, events), (None, vec![]));
}

/// Denies every address after its first few questions, as an owner does who edits the policy while a job runs.
struct ChangesItsMind(AtomicU32);

impl Gate for ChangesItsMind {
    fn check_address(&self, address: IpAddr) -> Result<(), Denial> {
        if self.0.fetch_add(1, Ordering::Relaxed) < 3 {
            return Ok(());
        }
        AllowAllBut(vec![address]).check_address(address)
    }

    fn check_port(&self, _port: u16) -> Result<(), Denial> {
        Ok(())
    }

    fn check_resolver(&self, _address: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }
}

#[tokio::test]
async fn the_policy_is_asked_again_before_every_packet() {
    let Some(mut context) = raw_context("ping-raw") else { return };
    context.gate = Arc::new(ChangesItsMind(AtomicU32::default()));
    let (report, _) = run(&spec("127.0.0.1", r#","count":10,"interval_ms":10"#), &context).await;
    assert_eq!((report.fault, report.policy.verdict), (Fault::Policy, Verdict::Denied));
    assert_eq!(findings(&report).statistics.sent, 2, "one question went to the address itself");
}

#[tokio::test]
async fn job_22_a_cancelled_ping_reports_what_it_has() {
    let Some(context) = raw_context("ping-raw") else { return };
    let cancel = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(8);
    let spec = spec("127.0.0.1", r#","count":5,"interval_ms":60000"#);
    let first_packet = async {
        while let Some(event) = receiver.recv().await {
            if matches!(event, ProbeEvent::Ping(PingEvent::Packet(_))) {
                cancel.cancel();
            }
        }
    };
    let (report, ()) = tokio::join!(table::run(&spec, &context, sender, cancel.clone()), first_packet);
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Cancelled);
    assert_eq!(findings(&report).statistics.received, 1);

    let (sender, _receiver) = mpsc::channel(8);
    let before_its_start = table::run(&spec, &context, sender, cancel).await;
    assert_eq!((before_its_start.error.unwrap().code, before_its_start.findings), (ErrorCode::Cancelled, None));
}

#[tokio::test]
async fn a_full_event_channel_does_not_hold_the_ping_up() {
    let Some(context) = raw_context("ping-raw") else { return };
    let (sender, receiver) = mpsc::channel(1);
    let report = table::run(&spec("127.0.0.1", r#","interval_ms":10"#), &context, sender, CancellationToken::new()).await;
    assert_eq!((report.status, receiver.len()), (Status::Ok, 1));
}

/// Lets one packet a second leave for a target.
struct Slow;

impl Gate for Slow {
    fn check_address(&self, _address: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn check_port(&self, _port: u16) -> Result<(), Denial> {
        Ok(())
    }

    fn check_resolver(&self, _address: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace { max_pps: 0, per_target_pps: 1 }
    }
}

#[tokio::test]
async fn job_13_rates_that_leave_no_room_are_the_agents_fault() {
    let Some(mut context) = raw_context("ping-raw") else { return };
    context.gate = Arc::new(Slow);
    let (report, _) = run(&spec("127.0.0.1", r#","count":1"#), &context).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent));
    assert_eq!(
        (report.error.as_ref().unwrap().code, findings(&report).statistics.sent),
        (ErrorCode::Resource, 0)
    );
}

#[test]
fn without_a_runtime_the_engine_says_so() {
    if IcmpSockets::open().capabilities()[0].reason.is_none() {
        assert!(IcmpEngine::start(IcmpSockets::open()).is_err());
    }
}

#[test]
fn what_the_kernel_will_not_send_is_no_loss() {
    namespace::within("ping-unreachable", Loopback::Down, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", r#","count":2,"interval_ms":10"#), &context).await;
        let error = report.error.clone().unwrap();
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path), "{report:?}");
        assert_eq!((error.code, error.errno), (ErrorCode::UnreachableNet, Some(libc::ENETUNREACH)));
        let findings = findings(&report);
        assert_eq!((findings.statistics.sent, findings.packets.len()), (0, 2));
        assert!(findings.packets.iter().all(|packet| packet.errno == Some(libc::ENETUNREACH)));
    });
}

#[test]
fn silence_is_a_timeout_and_not_more() {
    namespace::within("ping-silence", Loopback::Up, || async {
        namespace::set_option("ipv4/icmp_echo_ignore_all", "1");
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, events) = run(&spec("127.0.0.1", r#","count":2,"interval_ms":10,"wait_ms":20"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Path));
        assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Timeout);
        assert_eq!((findings(&report).statistics.sent, events.len()), (2, 3));
    });
}

#[test]
fn a_packet_too_big_for_the_interface_is_told_by_the_kernel() {
    namespace::within("ping-too-big", Loopback::Up, || async {
        namespace::set_loopback_mtu(1_280);
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for target in ["127.0.0.1", "::1"] {
            let (report, _) = run(&spec(target, r#","count":1,"df":true,"payload_bytes":1400"#), &context).await;
            let error = report.error.unwrap();
            assert_eq!(
                (report.fault, error.code, error.errno),
                (Fault::Path, ErrorCode::FragNeeded, Some(libc::EMSGSIZE))
            );
            let (report, _) = run(&spec(target, r#","count":2,"interval_ms":10,"payload_bytes":1400"#), &context).await;
            assert_eq!(report.status, Status::Ok, "without df the host fragments: {report:?}");
        }
    });
}

/// The one thread there is stands still for longer than a reply is waited for, again and again: every reply comes in time, and none is read in time.
#[tokio::test]
async fn a_reply_that_came_in_time_counts_however_late_it_is_read() {
    let Some(context) = raw_context("ping-raw") else { return };
    let mut busy = JoinSet::new();
    busy.spawn(async {
        loop {
            #[expect(clippy::disallowed_methods, reason = "the thread standing still is what is tried, and nothing waits for it")]
            std::thread::sleep(Duration::from_millis(25));
            tokio::task::yield_now().await;
        }
    });
    for target in ["127.0.0.1", "::1"] {
        let (report, _) = run(&spec(target, r#","count":20,"interval_ms":10,"wait_ms":10"#), &context).await;
        let statistics = &findings(&report).statistics;
        assert_eq!((statistics.sent, statistics.received), (20, 20), "{report:?}");
    }
}
