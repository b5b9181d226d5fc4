//! Asking a link where that cannot be done. Where it can, it is tried beside nmap and the kernel's own table in the lab.

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::spec::{ProbeKind, ProbeSpec};

use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, context, run};

fn spec(target: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"neighbor","target":"{target}"}}"#)).unwrap()
}

#[test]
fn without_packet_sockets_it_is_unavailable_and_says_what_mends_that() {
    namespace::within("neighbor-unprivileged", Loopback::Up, || async {
        let sockets = IcmpSockets::open_unprivileged();
        let capability = sockets.capabilities().into_iter().find(|capability| capability.probe == ProbeKind::Neighbor);
        let capability = capability.unwrap();
        assert_eq!(capability.level, CapabilityLevel::Unavailable);
        assert!(capability.reason.unwrap().contains("packet sockets") && capability.remedy.unwrap().contains("AF_PACKET"));
        let (report, events) = run(&spec("192.0.2.1"), &context(sockets, AllowAllBut::default())).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent));
        assert_eq!(report.error.unwrap().code, ErrorCode::PermissionMissing);
        assert_eq!(events, []);
    });
}

#[test]
fn nbr_03_a_host_without_a_link_has_nobody_to_ask_and_hears_nothing() {
    namespace::within("neighbor-alone", Loopback::Up, || async {
        let context = context(IcmpSockets::open(), AllowAllBut::default());
        for target in ["127.0.0.1", "::1", "192.0.2.0/28", "2001:db8::1"] {
            let (report, events) = run(&spec(target), &context).await;
            assert_eq!(report.error.unwrap().code, ErrorCode::NotOnLink, "{target}");
            assert_eq!((report.findings, events), (None, Vec::new()), "{target}");
        }
        assert!(!namespace::packets_are_looked_at());
    });
}
