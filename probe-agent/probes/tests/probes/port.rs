//! Scans of ports, over loopback: with connections and without, and with datagrams.

mod many;

use std::io::Write;
use std::net::{TcpListener, UdpSocket};

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::event::{PortEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{Findings, PortFindings, PortReason, PortState, Report};
use shared_protocol::spec::ProbeSpec;

use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, DENIED_PORT, context, run};
use crate::tcp::Silent;

fn spec(ports: &str, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"port","target":"127.0.0.1","ports":"{ports}"{options}}}"#)).unwrap()
}

#[track_caller]
fn findings(report: &Report) -> &PortFindings {
    let Some(Findings::Port(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

/// Open, closed and silent ports, asked in each way; each port is told once while it runs, and all of them at the end.
#[test]
fn every_state_is_told_with_what_it_rests_on() {
    namespace::within("port-states", Loopback::Up, || async {
        let open = TcpListener::bind("127.0.0.1:4000").unwrap();
        open.set_nonblocking(true).unwrap();
        let silent = Silent::listen();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for (mode, reason) in [("connect", PortReason::Connected), ("syn", PortReason::SynAck)] {
            let ports = format!("4000-4007,{}", silent.port);
            let (report, events) = run(&spec(&ports, &format!(r#","mode":"{mode}","tries":3,"wait_ms":60"#)), &context).await;
            assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{report:?}");
            let found = findings(&report);
            let numbers = &found.statistics;
            assert_eq!((numbers.ports, numbers.open, numbers.closed, numbers.filtered), (9, 1, 7, 1), "{mode}");
            assert_eq!(numbers.sent, 8 + 3, "the silent one is asked again");
            let of = |port: u16| found.ports.iter().find(|result| result.port == port).unwrap();
            assert_eq!((of(4_000).state, of(4_000).reason, of(4_000).tries), (PortState::Open, reason, 1));
            assert_eq!(
                (of(4_003).state, of(4_003).reason, of(4_003).code),
                (PortState::Closed, PortReason::Reset, None)
            );
            let silence = of(silent.port);
            assert_eq!((silence.state, silence.reason, silence.tries), (PortState::Filtered, PortReason::Silence, 3));
            assert_eq!(silence.code, Some(ErrorCode::Timeout));
            assert!(found.ports.is_sorted_by_key(|result| result.port));
            let told: Vec<_> = events.iter().filter(|event| matches!(event, ProbeEvent::Port(PortEvent::Port(_)))).collect();
            assert_eq!((told.len(), events.len()), (9, 10), "{mode}");
            if mode == "syn" {
                assert!(of(4_000).rtt_us.unwrap() <= of(4_000).user_rtt_us.unwrap() && of(4_003).ttl == Some(64));
                assert_eq!(open.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody connected");
            } else {
                assert!(open.accept().is_ok(), "somebody connected");
            }
        }
    });
}

#[test]
fn ports_are_asked_in_the_order_that_was_asked_for_and_no_faster() {
    namespace::within("port-order", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for (order, expected) in [
            ("ascending", [5_000, 5_001, 5_002, 5_003, 5_004]),
            ("descending", [5_004, 5_003, 5_002, 5_001, 5_000]),
        ] {
            let (report, events) = run(&spec("5000-5004", &format!(r#","order":"{order}","rate_pps":20"#)), &context).await;
            let mut told = Vec::new();
            for event in &events {
                if let ProbeEvent::Port(PortEvent::Port(result)) = event {
                    told.push(result.port);
                }
            }
            assert_eq!(told, expected, "{order}");
            // Not how fast it was, but that it was not faster than it may be: four intervals of 50 ms.
            assert!(report.duration_us >= 200_000, "{}", report.duration_us);
        }
    });
}

#[test]
fn job_01_a_denied_port_or_address_ends_the_scan_before_it_is_asked() {
    namespace::within("port-denied", Loopback::Up, || async {
        let heard = TcpListener::bind(("127.0.0.1", DENIED_PORT)).unwrap();
        heard.set_nonblocking(true).unwrap();
        let datagrams = UdpSocket::bind(("127.0.0.1", DENIED_PORT)).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        for mode in ["connect", "syn", "udp"] {
            let options = format!(r#","mode":"{mode}","order":"ascending","tries":1,"wait_ms":50"#);
            let open = context(IcmpSockets::open(), AllowAllBut::default());
            let (report, _) = run(&spec("8-10", &options), &open).await;
            assert_eq!((report.status, report.fault), (Status::Failed, Fault::Policy), "{report:?}");
            assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::PolicyDenied);
            assert!(findings(&report).ports.iter().all(|result| result.port == 8), "{report:?}");
            assert!(heard.accept().is_err() && datagrams.recv(&mut [0; 1]).is_err());
            let closed = context(IcmpSockets::open(), AllowAllBut(vec!["127.0.0.1".parse().unwrap()]));
            let (report, _) = run(&spec("8-10", &options), &closed).await;
            assert_eq!((report.error.unwrap().code, report.findings), (ErrorCode::PolicyDenied, None));
        }
    });
}

#[test]
fn without_raw_sockets_connections_do_and_half_open_tries_say_what_they_need() {
    namespace::within("port-datagram", Loopback::Up, || async {
        let context = context(IcmpSockets::open_unprivileged(), AllowAllBut::default());
        let (report, _) = run(&spec("4000", ""), &context).await;
        assert_eq!((report.status, findings(&report).statistics.closed), (Status::Ok, 1));
        let (report, _) = run(&spec("4000", r#","mode":"syn""#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent));
        assert_eq!(report.error.unwrap().code, ErrorCode::PermissionMissing);
    });
}

#[test]
fn nothing_that_answers_is_a_timeout_of_the_path_and_no_way_there_is_told() {
    namespace::within("port-silence", Loopback::Up, || async {
        let silent = Silent::listen();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for mode in ["connect", "syn"] {
            let (report, _) = run(
                &spec(&silent.port.to_string(), &format!(r#","mode":"{mode}","tries":1,"wait_ms":50"#)),
                &context,
            )
            .await;
            assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Path), "{report:?}");
            assert!(report.duration_us < 2_000_000, "the last try ends it, not the time it may take: {report:?}");
        }
        let nowhere = ProbeSpec::parse(r#"{"probe":"port","target":"192.0.2.1","ports":"80"}"#).unwrap();
        let (report, _) = run(&nowhere, &context).await;
        assert_eq!(findings(&report).ports[0].reason, PortReason::Unreachable, "{report:?}");
        assert_eq!(findings(&report).ports[0].errno, Some(libc::ENETUNREACH));
    });
}

/// With raw sockets and without: what answers, what says that nothing listens, and what says nothing.
#[test]
fn a_port_of_udp_is_open_closed_or_open_and_silent() {
    namespace::within("port-udp", Loopback::Up, || async {
        let server = UdpSocket::bind("127.0.0.1:123").unwrap();
        let asked = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            let mut asked = Vec::new();
            for _ in 0..2 {
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                asked.push(buffer[..length].to_vec());
                server.send_to(b"whatever", from).unwrap();
            }
            asked
        });
        let deaf = UdpSocket::bind("127.0.0.1:4001").unwrap();
        for sockets in [IcmpSockets::open(), IcmpSockets::open_unprivileged()] {
            let context = context(sockets, AllowAllBut::default());
            let (report, _) = run(&spec("123,4000,4001", r#","mode":"udp","wait_ms":60"#), &context).await;
            assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{report:?}");
            let found = findings(&report);
            let told: Vec<_> = found
                .ports
                .iter()
                .map(|result| (result.port, result.state, result.reason, result.tries))
                .collect();
            assert_eq!(
                told,
                [
                    (123, PortState::Open, PortReason::Answer, 1),
                    (4_000, PortState::Closed, PortReason::IcmpError, 1),
                    (4_001, PortState::OpenFiltered, PortReason::Silence, 2),
                ]
            );
            assert_eq!(
                (found.ports[1].icmp_error, found.ports[1].from),
                (Some((3, 3)), Some("127.0.0.1".parse().unwrap()))
            );
            assert!(
                found.ports[..2].iter().all(|result| result.rtt_us.is_some() && result.code.is_none()),
                "{found:?}"
            );
            let numbers = &found.statistics;
            assert_eq!((numbers.open, numbers.closed, numbers.open_filtered, numbers.sent), (1, 1, 1, 4));
            assert!(!numbers.rate_limited_hint);
        }
        assert!(
            asked.join().unwrap().iter().all(|request| request.len() == 48 && request[0] == 0x23),
            "asked for the time"
        );
        let mut buffer = [0; 16];
        deaf.set_nonblocking(true).unwrap();
        let lengths: Vec<usize> = std::iter::from_fn(|| deaf.recv(&mut buffer).ok()).collect();
        assert_eq!(lengths, [0, 0, 0, 0], "empty datagrams, asked twice by each agent");
    });
}

/// Services that speak first, that never do, that say more than is kept, that lie about being text, and that hang up.
#[test]
fn job_16_what_a_service_says_first_is_told_as_plain_text_and_nothing_is_said_to_it() {
    namespace::within("port-banner", Loopback::Up, || async {
        let long = [b"A".repeat(250), vec![0x1b, b'[', b'2', b'J', 0xff, b'"', b'\\', b'Z', b'Z', b'Z']].concat();
        let banners: [(u16, Vec<u8>, Option<&str>); 4] = [
            (4_000, b"220 mail.example ESMTP\r\n".to_vec(), Some(r"220 mail.example ESMTP\r\n")),
            (4_001, Vec::new(), None),
            (4_002, long, Some(r#"\x1b[2J\xff\""#)),
            (4_003, b"bye".to_vec(), Some("bye")),
        ];
        let mut heard = Vec::new();
        for (port, banner, _) in banners.clone() {
            let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            heard.push(std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(&banner).unwrap();
                if port == 4_003 {
                    return Vec::new();
                }
                let mut said = Vec::new();
                // Ends with the reset.
                let _ended = std::io::Read::read_to_end(&mut stream, &mut said);
                said
            }));
        }
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("4000-4004", r#","banner":true,"wait_ms":100"#), &context).await;
        assert_eq!(report.status, Status::Ok, "{report:?}");
        let found = findings(&report);
        assert_eq!((found.statistics.open, found.statistics.closed), (4, 1));
        for (port, _, expected) in banners {
            let result = found.ports.iter().find(|result| result.port == port).unwrap();
            let banner = result.banner.as_deref();
            match expected {
                Some(end) => assert!(banner.unwrap().ends_with(end) && banner.unwrap().is_ascii(), "{port}: {banner:?}"),
                None => assert_eq!(banner, None),
            }
            assert!(result.rtt_us.is_some(), "timed before it spoke: {result:?}");
        }
        assert!(heard.into_iter().all(|heard| heard.join().unwrap().is_empty()));
    });
}
