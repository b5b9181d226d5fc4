//! What a probe is asked to do: the options of each probe with their bounds and defaults, one file a probe.
//!
//! The bounds stand here once and are enforced three times: by the API, by the server before dispatch, by the agent before it runs.
//! Out of bounds is refused, never clamped: a report must mean what was asked.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::strict_json;
use crate::target::Target;
use crate::tier::ProbeLimits;

mod dns;
mod fields;
mod http;
mod mtr;
mod neighbor;
mod observe;
mod path;
mod ping;
mod pmtu;
mod port;
mod rounds;
mod sweep;
mod tcp;
mod traceroute;
mod udp;

pub use dns::{DnsClass, DnsSpec, DnsTransport, InvalidQueryName, InvalidRecordType, NameServer, QueryName, RecordType};
pub use fields::InvalidField;
pub use http::{HttpHeader, HttpMethod, HttpSpec, HttpVersion};
pub use mtr::MtrSpec;
pub use neighbor::{InterfaceName, InvalidInterfaceName, NeighborSpec};
pub use observe::{Observation, ObserveSpec, UnknownObservation};
pub use path::{HOPS_MAX, PathFlow, PathOptions, PathProtocol};
pub use ping::PingSpec;
pub use pmtu::PmtuSpec;
pub use port::{GREETING_BYTES, GREETING_TIME, InvalidPorts, PortList, PortMode, PortOrder, PortSpec};
pub use sweep::{InvalidSweepTarget, SweepTarget, Targets};
pub use tcp::{TcpMode, TcpSpec};
pub use traceroute::TracerouteSpec;
pub use udp::{HexBytes, InvalidHex, UdpSpec};

/// The kinds of diagnostic an agent can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// ICMP echo (RFC 792, RFC 4443).
    Ping,
    /// TCP connections (RFC 9293).
    Tcp,
    /// An HTTP request with its redirects (RFC 9110).
    Http,
    /// DNS questions (RFC 1035).
    Dns,
    /// Who forwards packets to a target, hop by hop.
    Traceroute,
    /// The hops of a path, asked again in each round.
    Mtr,
    /// The longest packet that reaches a target in one piece (RFC 8899).
    Pmtu,
    /// Datagrams to a port (RFC 768).
    Udp,
    /// What the host's own kernel sees.
    Observe,
    /// The states of several ports (RFC 9293, RFC 768).
    Port,
    /// Who on a link has an address (RFC 826, RFC 4861).
    Neighbor,
}

impl ProbeKind {
    /// Every kind this build knows.
    pub const ALL: [Self; 11] = [
        Self::Ping,
        Self::Tcp,
        Self::Http,
        Self::Dns,
        Self::Traceroute,
        Self::Mtr,
        Self::Pmtu,
        Self::Udp,
        Self::Observe,
        Self::Port,
        Self::Neighbor,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Dns => "dns",
            Self::Traceroute => "traceroute",
            Self::Mtr => "mtr",
            Self::Pmtu => "pmtu",
            Self::Udp => "udp",
            Self::Observe => "observe",
            Self::Port => "port",
            Self::Neighbor => "neighbor",
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which addresses of a name may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum AddressFamily {
    /// Whichever the name has, IPv6 first.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// IPv4 only.
    #[serde(rename = "4")]
    V4,
    /// IPv6 only.
    #[serde(rename = "6")]
    V6,
}

/// A probe with its target and options, within their bounds by construction.
///
/// On the wire an object with the probe's name in `probe` and its options beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeSpec {
    /// ICMP echo.
    Ping(PingSpec),
    /// TCP connections.
    Tcp(TcpSpec),
    /// An HTTP request with its redirects.
    Http(HttpSpec),
    /// DNS questions.
    Dns(DnsSpec),
    /// Who forwards packets, hop by hop.
    Traceroute(TracerouteSpec),
    /// The hops, asked again in each round.
    Mtr(MtrSpec),
    /// The longest packet that passes in one piece.
    Pmtu(PmtuSpec),
    /// Datagrams to a port.
    Udp(UdpSpec),
    /// What the host's own kernel sees.
    Observe(ObserveSpec),
    /// The states of several ports.
    Port(PortSpec),
    /// Who on a link has an address.
    Neighbor(NeighborSpec),
}

impl ProbeSpec {
    /// Reads a spec from JSON text.
    ///
    /// # Errors
    /// [`InvalidField`] names the first field that is not acceptable; the empty name is the document itself.
    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        let value = strict_json::parse(text).map_err(|error| InvalidField::new("", error.to_string()))?;
        Self::from_value(value)
    }

    /// Reads a spec from a JSON value.
    ///
    /// # Errors
    /// [`InvalidField`] names the first field that is not acceptable.
    pub fn from_value(value: Value) -> Result<Self, InvalidField> {
        let mut fields = fields::Fields::new(value)?;
        let name = fields.choice("probe", &ProbeKind::ALL.map(ProbeKind::as_str), None)?;
        let kind = ProbeKind::ALL.into_iter().find(|kind| kind.as_str() == name);
        let spec = match kind.ok_or_else(|| InvalidField::new("probe", "is not known"))? {
            ProbeKind::Ping => Self::Ping(PingSpec::read(&mut fields)?),
            ProbeKind::Tcp => Self::Tcp(TcpSpec::read(&mut fields)?),
            ProbeKind::Http => Self::Http(HttpSpec::read(&mut fields)?),
            ProbeKind::Dns => Self::Dns(DnsSpec::read(&mut fields)?),
            ProbeKind::Traceroute => Self::Traceroute(TracerouteSpec::read(&mut fields)?),
            ProbeKind::Mtr => Self::Mtr(MtrSpec::read(&mut fields)?),
            ProbeKind::Pmtu => Self::Pmtu(PmtuSpec::read(&mut fields)?),
            ProbeKind::Udp => Self::Udp(UdpSpec::read(&mut fields)?),
            ProbeKind::Observe => Self::Observe(ObserveSpec::read(&mut fields)?),
            ProbeKind::Port => Self::Port(PortSpec::read(&mut fields)?),
            ProbeKind::Neighbor => Self::Neighbor(NeighborSpec::read(&mut fields)?),
        };
        fields.finish()?;
        Ok(spec)
    }

    /// Which probe it is.
    pub const fn kind(&self) -> ProbeKind {
        match self {
            Self::Ping(_) => ProbeKind::Ping,
            Self::Tcp(_) => ProbeKind::Tcp,
            Self::Http(_) => ProbeKind::Http,
            Self::Dns(_) => ProbeKind::Dns,
            Self::Traceroute(_) => ProbeKind::Traceroute,
            Self::Mtr(_) => ProbeKind::Mtr,
            Self::Pmtu(_) => ProbeKind::Pmtu,
            Self::Udp(_) => ProbeKind::Udp,
            Self::Observe(_) => ProbeKind::Observe,
            Self::Port(_) => ProbeKind::Port,
            Self::Neighbor(_) => ProbeKind::Neighbor,
        }
    }

    /// Where its packets go, as far as the spec says it, and where that is one place.
    pub const fn target(&self) -> Option<&Target> {
        match self {
            Self::Ping(spec) => spec.target.one(),
            Self::Tcp(spec) => Some(&spec.target),
            Self::Http(spec) => Some(spec.url.host()),
            Self::Dns(spec) => spec.target(),
            Self::Traceroute(spec) => Some(&spec.target),
            Self::Mtr(spec) => Some(&spec.target),
            Self::Pmtu(spec) => Some(&spec.target),
            Self::Udp(spec) => Some(&spec.target),
            Self::Observe(_) => None,
            Self::Port(spec) => spec.target.one(),
            Self::Neighbor(spec) => spec.one(),
        }
    }

    /// Where its packets go, of a probe that may have many targets; a link's are none of them.
    pub const fn targets(&self) -> Option<&Targets> {
        match self {
            Self::Ping(spec) => Some(&spec.target),
            Self::Port(spec) => Some(&spec.target),
            Self::Tcp(_)
            | Self::Http(_)
            | Self::Dns(_)
            | Self::Traceroute(_)
            | Self::Mtr(_)
            | Self::Pmtu(_)
            | Self::Udp(_)
            | Self::Observe(_)
            | Self::Neighbor(_) => None,
        }
    }

    /// The port its packets go to, where they have one.
    pub fn port(&self) -> Option<u16> {
        match self {
            // Several are asked for one by one, and a link has none.
            Self::Ping(_) | Self::Port(_) | Self::Observe(_) | Self::Neighbor(_) => None,
            Self::Tcp(spec) => Some(spec.port),
            Self::Http(spec) => Some(spec.url.port()),
            Self::Dns(spec) => spec.target().map(|_| spec.port),
            Self::Traceroute(spec) => spec.path.port,
            Self::Mtr(spec) => spec.path.port,
            Self::Pmtu(spec) => spec.port,
            Self::Udp(spec) => Some(spec.port),
        }
    }

    /// The longest time the probe can take.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Ping(spec) => spec.timeout(),
            Self::Tcp(spec) => spec.timeout(),
            Self::Http(spec) => spec.timeout(),
            Self::Dns(spec) => spec.timeout(),
            Self::Traceroute(spec) => spec.timeout(),
            Self::Mtr(spec) => spec.timeout(),
            Self::Pmtu(spec) => spec.timeout(),
            Self::Udp(spec) => spec.timeout(),
            Self::Observe(spec) => spec.timeout(),
            Self::Port(spec) => spec.timeout(),
            Self::Neighbor(spec) => spec.timeout(),
        }
    }

    /// Expected agent-seconds, 1 to [`crate::limits::COST_MAX`]: what the queue charges and credit counts.
    pub fn cost(&self) -> u32 {
        match self {
            Self::Ping(spec) => spec.cost(),
            Self::Tcp(spec) => spec.cost(),
            Self::Http(spec) => spec.cost(),
            Self::Dns(_) => DnsSpec::cost(),
            Self::Traceroute(spec) => spec.cost(),
            Self::Mtr(spec) => spec.cost(),
            Self::Pmtu(spec) => spec.cost(),
            Self::Udp(spec) => spec.cost(),
            Self::Observe(spec) => spec.cost(),
            Self::Port(spec) => spec.cost(),
            Self::Neighbor(spec) => spec.cost(),
        }
    }

    /// Most packets that it sends towards one target within a second, unasked: echo requests, first segments, datagrams, questions, requests.
    /// What a connection that stands carries is not counted: its target agrees to it.
    pub fn packets_per_second(&self) -> u32 {
        match self {
            Self::Ping(spec) => spec.packets_per_second(),
            Self::Tcp(spec) => spec.packets_per_second(),
            Self::Http(spec) => spec.requests(),
            // One question, and where its answer does not fit, once more.
            Self::Dns(_) => 2,
            Self::Traceroute(spec) => spec.packets_per_second(),
            Self::Mtr(spec) => spec.packets_per_second(),
            Self::Pmtu(spec) => spec.packets_per_second(),
            Self::Udp(spec) => spec.packets_per_second(),
            // One asks the host itself, the other its own link.
            Self::Observe(_) | Self::Neighbor(_) => 0,
            Self::Port(spec) => spec.packets_per_second(),
        }
    }

    /// Whether a tier includes this spec.
    ///
    /// # Errors
    /// [`InvalidField`] names the option that the tier does not include.
    pub fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        limits.includes(self.kind())?;
        match self {
            Self::Ping(spec) => spec.check_tier(limits),
            Self::Tcp(spec) => spec.check_tier(limits),
            Self::Http(spec) => spec.check_tier(limits),
            // One question each time, or a look at the host itself: no tier that includes them has less of it.
            Self::Dns(_) | Self::Observe(_) => Ok(()),
            Self::Traceroute(spec) => spec.check_tier(limits),
            Self::Mtr(spec) => spec.check_tier(limits),
            Self::Pmtu(spec) => spec.check_tier(limits),
            Self::Udp(spec) => spec.check_tier(limits),
            Self::Port(spec) => spec.check_tier(limits),
            Self::Neighbor(spec) => spec.check_tier(limits),
        }
    }
}

impl Serialize for ProbeSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Tagged<'a, T> {
            probe: ProbeKind,
            #[serde(flatten)]
            options: &'a T,
        }
        let probe = self.kind();
        match self {
            Self::Ping(options) => Tagged { probe, options }.serialize(serializer),
            Self::Tcp(options) => Tagged { probe, options }.serialize(serializer),
            Self::Http(options) => Tagged { probe, options }.serialize(serializer),
            Self::Dns(options) => Tagged { probe, options }.serialize(serializer),
            Self::Traceroute(options) => Tagged { probe, options }.serialize(serializer),
            Self::Mtr(options) => Tagged { probe, options }.serialize(serializer),
            Self::Pmtu(options) => Tagged { probe, options }.serialize(serializer),
            Self::Udp(options) => Tagged { probe, options }.serialize(serializer),
            Self::Observe(options) => Tagged { probe, options }.serialize(serializer),
            Self::Port(options) => Tagged { probe, options }.serialize(serializer),
            Self::Neighbor(options) => Tagged { probe, options }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ProbeSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target as Attacked};

    use super::*;

    #[test]
    fn job_12_fuzz_probe_spec() {
        let target = Attacked::new("probe_spec", include_str!("../corpus/probe_spec.txt")).of_json();
        target.survives(|bytes| {
            let Ok(spec) = ProbeSpec::parse(&String::from_utf8_lossy(bytes)) else {
                return Reading::Refused;
            };
            assert!(spec.cost() >= 1 && spec.timeout() > Duration::ZERO);
            let written = serde_json::to_string(&spec).unwrap();
            assert_eq!(
                ProbeSpec::parse(&written).as_ref(),
                Ok(&spec),
                "what is read is written so that it is read alike"
            );
            Reading::Taken
        });
    }
}
