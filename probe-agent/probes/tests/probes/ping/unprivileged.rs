//! Ping without the right to raw sockets.

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::report::PingSocket;

use crate::namespace::{self, Loopback};
use crate::setting::{AllowAllBut, context, findings, run, spec};

#[test]
fn datagram_sockets_measure_by_both_clocks_and_say_what_is_missing() {
    namespace::within("ping-datagram", Loopback::Up, || async {
        namespace::set_option("ipv4/ping_group_range", "0 2147483647");
        let sockets = IcmpSockets::open_unprivileged();
        let capability = sockets.capabilities().remove(0);
        assert_eq!(capability.level, CapabilityLevel::Degraded);
        assert!(capability.reason.unwrap().contains("CAP_NET_RAW"));
        assert!(capability.remedy.unwrap().contains("setcap"));
        let context = context(sockets, AllowAllBut::default());
        for target in ["127.0.0.1", "127.0.0.2", "::1"] {
            for df in [true, false] {
                let (report, _) = run(&spec(target, &format!(r#","interval_ms":10,"df":{df}"#)), &context).await;
                assert_eq!(report.status, Status::Ok, "{report:?}");
                let findings = findings(&report);
                assert_eq!((findings.socket, findings.statistics.received), (PingSocket::Datagram, 4));
                assert!(
                    findings
                        .packets
                        .iter()
                        .all(|packet| packet.rtt_us <= packet.user_rtt_us && packet.rtt_us.is_some())
                );
                assert!(findings.packets.iter().all(|packet| packet.reply_ttl.is_some() && packet.bytes == Some(64)));
            }
        }
    });
}

#[test]
fn without_any_socket_ping_is_unavailable_with_reason_and_remedy() {
    namespace::within("ping-unavailable", Loopback::Up, || async {
        namespace::set_option("ipv4/ping_group_range", "1 0");
        let sockets = IcmpSockets::open_unprivileged();
        let capability = sockets.capabilities().remove(0);
        assert_eq!(capability.level, CapabilityLevel::Unavailable);
        assert!(capability.reason.unwrap().contains("no ICMP socket"));
        assert!(capability.remedy.unwrap().contains("ping_group_range"));
        let context = context(sockets, AllowAllBut::default());
        let (report, _) = run(&spec("127.0.0.1", ""), &context).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Agent));
        assert_eq!(report.error.unwrap().code, ErrorCode::PermissionMissing);
    });
}
