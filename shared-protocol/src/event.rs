//! Partial findings while a job runs: small, typed, best effort. The report holds every finding again.

use serde::{Deserialize, Serialize};

mod dns;
mod http;
mod mtr;
mod neighbor;
mod observe;
mod ping;
mod pmtu;
mod port;
mod tcp;
mod traceroute;
mod udp;

pub use dns::DnsEvent;
pub use http::HttpEvent;
pub use mtr::{MtrEvent, MtrRow};
pub use neighbor::NeighborEvent;
pub use observe::{ObserveEvent, ObserveWindow};
pub use ping::{PingEvent, SweepProgress};
pub use pmtu::PmtuEvent;
pub use port::{PortEvent, PortProgress};
pub use tcp::TcpEvent;
pub use traceroute::TracerouteEvent;
pub use udp::UdpEvent;

/// One partial finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum ProbeEvent {
    /// Of a ping.
    Ping(PingEvent),
    /// Of a TCP probe.
    Tcp(TcpEvent),
    /// Of an HTTP probe.
    Http(HttpEvent),
    /// Of a DNS probe.
    Dns(DnsEvent),
    /// Of a traceroute.
    Traceroute(TracerouteEvent),
    /// Of an mtr.
    Mtr(MtrEvent),
    /// Of a search for the path MTU.
    Pmtu(PmtuEvent),
    /// Of a UDP probe.
    Udp(UdpEvent),
    /// Of an observation.
    Observe(ObserveEvent),
    /// Of a scan of ports.
    Port(PortEvent),
    /// Of asking a link.
    Neighbor(NeighborEvent),
}
