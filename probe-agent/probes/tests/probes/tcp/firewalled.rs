//! In namespaces of our own, where the kernel does what firewalls, routers and busy hosts do.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::TcpOutcome;
use socket2::{Domain, Protocol, Socket, Type};

use super::{findings, spec};
use crate::namespace::{self, Loopback};
use crate::ping::with_checksum;
use crate::setting::{AllowAllBut, context, run};

/// A listener whose queue of one is full: the kernel drops every further SYN.
pub(crate) struct Silent {
    pub(crate) port: u16,
    _socket: Socket,
    _first: TcpStream,
}

impl Silent {
    pub(crate) fn listen() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            port: address.port(),
            _first: TcpStream::connect(address).unwrap(),
            _socket: socket,
        }
    }
}

#[test]
fn silence_is_the_paths_fault() {
    namespace::within("tcp-silence", Loopback::Up, || async {
        let silent = Silent::listen();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", silent.port, r#","count":2,"interval_ms":10,"wait_ms":50"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Path), "{report:?}");
        assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Timeout);
        let findings = findings(&report);
        assert!(
            findings
                .tries
                .iter()
                .all(|tried| tried.outcome == TcpOutcome::Filtered && tried.rtt_us.is_none())
        );
        assert_eq!((findings.statistics.sent, findings.statistics.received), (2, 0));
    });
}

#[test]
fn without_a_route_nothing_leaves_and_the_kernel_says_so() {
    namespace::within("tcp-unreachable", Loopback::Down, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", 80, r#","count":1"#), &context).await;
        let error = report.error.clone().unwrap();
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path));
        assert_eq!((error.code, error.errno), (ErrorCode::UnreachableNet, Some(libc::ENETUNREACH)));
        assert_eq!(findings(&report).tries[0].outcome, TcpOutcome::Unreachable);
    });
}

#[test]
fn res_05_ports_that_have_run_out_are_the_agents_fault() {
    namespace::within("tcp-ports", Loopback::Up, || async {
        namespace::set_option("ipv4/ip_local_port_range", "40000 40001");
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        // Connections to the very target take the two ports that there are.
        let taken: Vec<_> = (0..2).map(|_| TcpStream::connect("127.0.0.1:80").unwrap()).collect();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", 80, r#","count":2,"interval_ms":10"#), &context).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent), "{report:?}");
        let error = report.error.clone().unwrap();
        assert_eq!((error.code, error.errno), (ErrorCode::Resource, Some(libc::EADDRNOTAVAIL)));
        let findings = findings(&report);
        assert_eq!((findings.statistics.sent, findings.tries[0].outcome), (0, TcpOutcome::Unsent));
        drop((taken, listener));
    });
}

/// Answers the next SYN to a port with an ICMP error from 127.0.0.9, as a router on the way would.
fn refuse_next(port: u16, kind: u8, code: u8) -> JoinHandle<()> {
    let mut segments = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
    segments.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let router = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    router.bind(&"127.0.0.9:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        loop {
            let length = segments.read(&mut buffer).unwrap();
            // Destination port, and the flags of a first segment.
            if length >= 40 && buffer[22..24] == port.to_be_bytes() && buffer[33] & 0x12 == 0x02 {
                let message = with_checksum([&[kind, code, 0, 0, 0, 0, 0, 0][..], &buffer[..28]].concat());
                let host: SocketAddr = "127.0.0.1:0".parse().unwrap();
                router.send_to(&message, &host.into()).unwrap();
                return;
            }
        }
    })
}

#[test]
fn an_icmp_error_ends_a_try_with_its_reason_and_its_sender() {
    namespace::within("tcp-icmp", Loopback::Up, || async {
        let silent = Silent::listen();
        for ((kind, icmp), code) in [
            ((3, 1), ErrorCode::UnreachableHost),
            ((3, 13), ErrorCode::UnreachableAdmin),
            ((11, 0), ErrorCode::TtlExceeded),
        ] {
            let router = refuse_next(silent.port, kind, icmp);
            let context = context(IcmpSockets::open(), AllowAllBut::default());
            let (report, _) = run(&spec("127.0.0.1", silent.port, r#","count":1,"wait_ms":5000"#), &context).await;
            router.join().unwrap();
            assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path), "{report:?}");
            assert_eq!(report.error.as_ref().unwrap().code, code);
            let answered = &findings(&report).tries[0];
            assert_eq!((answered.outcome, answered.icmp_error), (TcpOutcome::Unreachable, Some((kind, icmp))));
            assert_eq!(answered.from, Some("127.0.0.9".parse().unwrap()));
            assert_eq!((answered.user_rtt_us.is_some(), answered.rtt_us), (true, None));
        }
    });
}
