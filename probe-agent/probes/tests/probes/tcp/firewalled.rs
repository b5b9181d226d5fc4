//! In namespaces of our own, where the kernel does what firewalls, routers and busy hosts do.

use std::net::{SocketAddr, TcpListener};

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::TcpOutcome;

use super::{findings, spec};
use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, context, run};

#[test]
fn silence_is_the_paths_fault() {
    namespace::within("tcp-silence", Loopback::Up, || async {
        // A queue of one that is full: the kernel drops further connections' last segment, and then their SYN.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let _first = std::net::TcpStream::connect(address).unwrap();
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", address.port(), r#","count":2,"interval_ms":10,"wait_ms":50"#), &context).await;
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
        let taken: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect("127.0.0.1:80").unwrap()).collect();
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
