//! Partial findings while a job runs: small, typed, best effort. The report holds every finding again.

use serde::{Deserialize, Serialize};

mod dns;
mod http;
mod ping;
mod tcp;

pub use dns::DnsEvent;
pub use http::HttpEvent;
pub use ping::PingEvent;
pub use tcp::TcpEvent;

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
}
