//! How the API documents probes with their options. The bounds that count stand in `shared_protocol::spec`; a test holds the two together.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod http;
mod neighbor;
mod observe;
mod path;

pub use http::{HttpHeaderSchema, HttpMethodSchema, HttpOptions, HttpVersionSchema};
pub use neighbor::NeighborOptions;
pub use observe::{ObservationSchema, ObserveOptions};
pub use path::{MtrOptions, PathFlowSchema, PathProtocolSchema, PmtuOptions, PmtuProtocolSchema, TracerouteOptions};

/// A probe with its target and options; `probe` says which one it is. A member that none of them has is refused, which no schema says here: each
/// is joined with `probe`, of which it alone knows nothing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "probe", rename_all = "snake_case")]
#[schema(as = ProbeSpec)]
pub enum ProbeSpecSchema {
    /// ICMP echo requests and their replies.
    Ping(PingOptions),
    /// TCP connections, opened and reset again.
    Tcp(TcpOptions),
    /// An HTTP request, with its redirects.
    Http(Box<HttpOptions>),
    /// A DNS question and its whole answer.
    Dns(DnsOptions),
    /// Who forwards packets to a target, hop by hop.
    Traceroute(Box<TracerouteOptions>),
    /// The hops of a path, asked again in each round.
    Mtr(Box<MtrOptions>),
    /// The longest packet that reaches a target in one piece.
    Pmtu(PmtuOptions),
    /// Datagrams to a port.
    Udp(UdpOptions),
    /// What the kernel of the agent's own host sees.
    Observe(ObserveOptions),
    /// The states of several ports.
    Port(PortOptions),
    /// Who on a link of the agent's host has an address.
    Neighbor(NeighborOptions),
}

/// Options of a ping: ICMP echo requests (RFC 792, RFC 4443). `count` and `interval_ms` together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PingOptions)]
pub struct PingOptions {
    /// An IP address or a DNS name, which the agent resolves; or a block of addresses as `10.0.0.0/24`, of which the network's own address
    /// and the broadcast address are left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: Option<String>,
    /// Instead of `target`: a list of addresses, names and blocks, which together come to at most 65,536 addresses.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 4_096)]
    pub targets: Option<Vec<String>>,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// Echo requests to send.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100, default = 4)]
    pub count: u32,
    /// Time between two requests, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 60_000, default = 200)]
    pub interval_ms: u32,
    /// Data bytes of each request.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 8_972, default = 56)]
    pub payload_bytes: u32,
    /// Time to live, or hop limit.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 255, default = 64)]
    pub ttl: u32,
    /// Forbids fragmentation on the way.
    #[serde(default)]
    #[schema(default = false)]
    pub df: bool,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// How long a reply is waited for after its request, milliseconds; a reply that comes later in the run counts as late.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Whether the report of a sweep of at most 20,000 packets tells the time of every one, not only what they come to for each target.
    #[serde(default)]
    #[schema(default = false)]
    pub each_packet: bool,
}

/// Options of a TCP probe: connections to a port (RFC 9293). `count` and `interval_ms` together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TcpOptions)]
pub struct TcpOptions {
    /// An IP address or a DNS name, which the agent resolves.
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: String,
    /// Port to connect to.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65_535, default = 443)]
    pub port: u32,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// Connections to try.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100, default = 4)]
    pub count: u32,
    /// Time between two tries, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 60_000, default = 200)]
    pub interval_ms: u32,
    /// How long an answer is waited for after its try, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// How a try is made.
    #[serde(default)]
    #[schema(default = "connect")]
    pub mode: TcpModeSchema,
}

/// Options of a UDP probe: datagrams to a port (RFC 768). `count` and `interval_ms` together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = UdpOptions)]
pub struct UdpOptions {
    /// An IP address or a DNS name, which the agent resolves.
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: String,
    /// Port to send to.
    #[schema(minimum = 1, maximum = 65_535)]
    pub port: u32,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// Datagrams to send.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100, default = 4)]
    pub count: u32,
    /// Time between two datagrams, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 60_000, default = 200)]
    pub interval_ms: u32,
    /// How long an answer is waited for after its datagram, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// What each datagram carries, as pairs of hexadecimal digits.
    #[serde(default)]
    #[schema(max_length = 2_048, default = "")]
    pub payload: String,
    /// What an answer has to begin with, as pairs of hexadecimal digits; without any, every answer will do.
    #[serde(default)]
    #[schema(max_length = 512, default = "")]
    pub expect: String,
}

/// Options of a scan of ports. The time it takes when no port answers must not be more than 300 seconds: of many targets, 64 are asked side by
/// side, each with its share of `rate_pps`; over UDP a target is asked again once in 1.05 seconds at most.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PortOptions)]
pub struct PortOptions {
    /// An IP address or a DNS name, which the agent resolves; or a block of addresses as `10.0.0.0/24`, of which the network's own address
    /// and the broadcast address are left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: Option<String>,
    /// Instead of `target`: a list of addresses, names and blocks.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 4_096)]
    pub targets: Option<Vec<String>>,
    /// Ports and ranges of ports, which together come to at most 1,024.
    #[schema(min_length = 1, max_length = 6_144, example = "22,80,443,8000-8010")]
    pub ports: String,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// How a port is asked.
    #[serde(default)]
    #[schema(default = "connect")]
    pub mode: PortModeSchema,
    /// In which order ports are asked.
    #[serde(default)]
    #[schema(default = "random")]
    pub order: PortOrderSchema,
    /// Ports to ask a second over all targets; fewer where more than 64 answers would be waited for at the same time.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 50, default = 50)]
    pub rate_pps: u32,
    /// How often a port that keeps silent is asked.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3, default = 2)]
    pub tries: u32,
    /// How long an answer is waited for after each try, milliseconds.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 10_000, default = 1_000)]
    pub wait_ms: u32,
    /// Differentiated services code point (RFC 2474).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 63, default = 0)]
    pub dscp: u32,
    /// Whether it is listened for half a second to what a service says first; at most 256 bytes are kept, and nothing is ever said to it. Of mode
    /// `connect` only.
    #[serde(default)]
    #[schema(default = false)]
    pub banner: bool,
}

/// How a port is asked.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PortMode)]
pub enum PortModeSchema {
    /// The host's own TCP opens the connection, and resets it once it stands.
    #[default]
    Connect,
    /// A first segment of TCP is sent and never followed up; the agent needs raw sockets for it.
    Syn,
    /// A datagram: what DNS, NTP, SNMP, QUIC and STUN answer to on their ports, and an empty one to all others.
    Udp,
}

/// In which order ports are asked.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PortOrder)]
pub enum PortOrderSchema {
    /// Another one each time.
    #[default]
    Random,
    /// From the lowest.
    Ascending,
    /// From the highest.
    Descending,
}

/// How a try of a TCP probe is made.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TcpMode)]
pub enum TcpModeSchema {
    /// The host's own TCP opens the connection, and resets it once it stands.
    #[default]
    Connect,
    /// A first segment is sent and never followed up; the agent needs raw sockets for it.
    Syn,
}

/// Options of a DNS probe: one question to one name server (RFC 1035; terms of RFC 9499). `do` and `nsid` need `edns`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = DnsOptions)]
#[expect(clippy::struct_excessive_bools, reason = "these are the flags of a question")]
pub struct DnsOptions {
    /// The name asked about, absolute; `.` is the root. An international name is written in its `xn--` form.
    #[schema(min_length = 1, max_length = 254, example = "example.com")]
    pub name: String,
    /// Type of the records asked for: a mnemonic, or `TYPE` and a number (RFC 3597). Zone transfers cannot be asked for.
    #[serde(default)]
    #[schema(default = "A")]
    pub r#type: String,
    /// Class of the records asked for.
    #[serde(default)]
    #[schema(default = "IN")]
    pub class: DnsClassSchema,
    /// Who is asked: `system` for the name servers of the agent's host, or an IP address, with a port if it has another than `port`.
    #[serde(default)]
    #[schema(default = "system")]
    pub server: String,
    /// Port of a server that is named by its address.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65_535, default = 53)]
    pub port: u32,
    /// What carries the question; over UDP a truncated answer is asked for again over TCP.
    #[serde(default)]
    #[schema(default = "udp")]
    pub transport: DnsTransportSchema,
    /// Recursion desired.
    #[serde(default)]
    #[schema(default = true)]
    pub rd: bool,
    /// Checking disabled (RFC 4035).
    #[serde(default)]
    #[schema(default = false)]
    pub cd: bool,
    /// Wish to see whether the data is authentic (RFC 6840).
    #[serde(default)]
    #[schema(default = false)]
    pub ad: bool,
    /// DNSSEC records wanted (RFC 3225).
    #[serde(default)]
    #[schema(default = false)]
    pub r#do: bool,
    /// Whether the question carries an OPT record (RFC 6891).
    #[serde(default)]
    #[schema(default = true)]
    pub edns: bool,
    /// Longest answer over UDP that is asked for, bytes.
    #[serde(default)]
    #[schema(minimum = 512, maximum = 4_096, default = 1_232)]
    pub edns_size: u32,
    /// Asks the server for its identifier (RFC 5001).
    #[serde(default)]
    #[schema(default = false)]
    pub nsid: bool,
    /// Further tries after one without an answer.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 5, default = 1)]
    pub retries: u32,
    /// How long an answer is waited for in each try, milliseconds.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 10_000, default = 3_000)]
    pub timeout_ms: u32,
}

/// Class of records.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = DnsClass)]
pub enum DnsClassSchema {
    /// The Internet.
    #[default]
    #[serde(rename = "IN")]
    In,
    /// Chaos, in which servers tell about themselves (RFC 4892).
    #[serde(rename = "CH")]
    Ch,
}

/// What carries a DNS question.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DnsTransport)]
pub enum DnsTransportSchema {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection (RFC 7766).
    Tcp,
}

/// Which addresses of a name may be used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AddressFamily)]
pub enum AddressFamilySchema {
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

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use shared_protocol::spec::ProbeSpec;
    use utoipa::PartialSchema;

    use super::*;

    /// Each probe: the least that its spec says, what is documented of it, and how many of its options have bounds.
    fn probes() -> [(Value, Map<String, Value>, usize); 11] {
        [
            (json!({"probe": "ping", "target": "127.0.0.1"}), documented::<PingOptions>(), 6),
            (json!({"probe": "tcp", "target": "127.0.0.1"}), documented::<TcpOptions>(), 5),
            (json!({"probe": "udp", "target": "127.0.0.1", "port": 53}), documented::<UdpOptions>(), 5),
            (json!({"probe": "port", "target": "127.0.0.1", "ports": "80"}), documented::<PortOptions>(), 4),
            (
                json!({"probe": "neighbor", "target": "192.0.2.1", "interface": "eth0"}),
                documented::<NeighborOptions>(),
                3,
            ),
            (
                json!({"probe": "http", "url": "http://127.0.0.1/", "method": "PUT", "body": "x", "connect_to": "::1", "sni": "a.test"}),
                documented::<HttpOptions>(),
                4,
            ),
            (json!({"probe": "dns", "name": "example.test"}), documented::<DnsOptions>(), 4),
            (
                json!({"probe": "traceroute", "target": "127.0.0.1", "protocol": "udp"}),
                documented::<TracerouteOptions>(),
                10,
            ),
            (
                json!({"probe": "mtr", "target": "127.0.0.1", "protocol": "udp", "max_ttl": 64}),
                documented::<MtrOptions>(),
                11,
            ),
            (
                json!({"probe": "pmtu", "target": "127.0.0.1", "protocol": "udp"}),
                documented::<PmtuOptions>(),
                6,
            ),
            (
                json!({"probe": "observe", "observation": "tcp_flows", "duration_s": 60, "interval_ms": 1_000, "port": 1, "address": "127.0.0.1"}),
                documented::<ObserveOptions>(),
                5,
            ),
        ]
    }

    fn documented<T: PartialSchema>() -> Map<String, Value> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().clone()
    }

    /// The option that says how often a probe does what it does.
    fn times_of(least: &Value) -> &'static str {
        match least["probe"].as_str() {
            Some("traceroute") => "queries",
            Some("mtr") => "rounds",
            Some("pmtu") => "probes",
            Some("observe") => "top",
            Some("port" | "neighbor") => "tries",
            _ => "count",
        }
    }

    #[test]
    fn the_documented_bounds_are_those_that_are_enforced() {
        for (least, documented, expected) in probes() {
            let mut bounded = 0;
            for (name, schema) in documented {
                let (Some(minimum), Some(maximum)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) else {
                    continue;
                };
                bounded += 1;
                for (value, accepted) in [(minimum, true), (maximum, true), (minimum - 1, false), (maximum + 1, false)] {
                    let mut spec = least.clone();
                    spec[&name] = json!(value);
                    if value == maximum && (name == "interval_ms" || name == "wait_ms") {
                        spec[times_of(&least)] = json!(1);
                    }
                    if least["probe"] == "observe" && name == "duration_s" {
                        spec["interval_ms"] = json!(1_000);
                    }
                    if name == "pid" {
                        spec = json!({"probe": "observe", "observation": "exec", "pid": value});
                    }
                    if name == "first_ttl" {
                        spec["max_ttl"] = json!(64);
                    }
                    if name == "inflight" && value == minimum {
                        spec["wait_ms"] = json!(10);
                    }
                    if name == "port" && least["probe"] == "dns" {
                        spec["server"] = json!("127.0.0.1");
                    }
                    let read = ProbeSpec::from_value(spec);
                    assert_eq!(read.is_ok(), accepted, "{name}: {value}: {read:?}");
                }
            }
            assert_eq!(bounded, expected, "{least}");
        }
    }

    #[test]
    fn the_documented_options_and_defaults_are_those_of_the_probe() {
        for (least, documented, _) in probes() {
            let mut plain = serde_json::to_value(ProbeSpec::from_value(least.clone()).unwrap()).unwrap();
            if least["probe"] == "ping" {
                // What is said of many targets only.
                let many = json!({"probe": "ping", "targets": ["127.0.0.1"], "each_packet": true});
                let many = serde_json::to_value(ProbeSpec::from_value(many).unwrap()).unwrap();
                plain["targets"] = many["targets"].clone();
                plain["each_packet"] = json!(false);
            }
            if least["probe"] == "traceroute" || least["probe"] == "mtr" {
                // Written only where it is not so.
                plain["asn"] = json!(true);
            }
            if least["probe"] == "port" {
                let many = json!({"probe": "port", "targets": ["127.0.0.1"], "ports": "80", "banner": true});
                let many = serde_json::to_value(ProbeSpec::from_value(many).unwrap()).unwrap();
                plain["targets"] = many["targets"].clone();
                plain["banner"] = json!(false);
            }
            if least["probe"] == "observe" {
                // What goes with observations of processes only.
                let process = json!({"probe": "observe", "observation": "exec", "pid": 1});
                plain["pid"] = serde_json::to_value(ProbeSpec::from_value(process).unwrap()).unwrap()["pid"].clone();
                // And with packages only.
                let package = json!({"probe": "observe", "observation": "custom", "package": "a", "sha256": "0".repeat(64)});
                let package = serde_json::to_value(ProbeSpec::from_value(package).unwrap()).unwrap();
                for name in ["package", "sha256"] {
                    plain[name] = package[name].clone();
                }
                plain["try_out"] = json!(false);
            }
            let mut names: Vec<String> = documented.keys().cloned().collect();
            names.push("probe".to_owned());
            let mut enforced: Vec<String> = plain.as_object().unwrap().keys().cloned().collect();
            names.sort();
            enforced.sort();
            assert_eq!(names, enforced);
            for (name, schema) in documented {
                if let Some(default) = schema.get("default").filter(|_| least.get(&name).is_none()) {
                    assert_eq!(default, &plain[&name], "{name}");
                }
            }
        }
    }
}
