//! How the API documents probes with their options. The bounds that count stand in `shared_protocol::spec`; a test holds the two together.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod http;

pub use http::{HttpHeaderSchema, HttpMethodSchema, HttpOptions, HttpVersionSchema};

/// A probe with its target and options; `probe` says which one it is.
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
}

/// Options of a ping: ICMP echo requests (RFC 792, RFC 4443). `count` and `interval_ms` together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PingOptions)]
pub struct PingOptions {
    /// An IP address or a DNS name, which the agent resolves.
    #[schema(min_length = 1, max_length = 253, example = "127.0.0.1")]
    pub target: String,
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
}

/// Options of a TCP probe: connections to a port (RFC 9293). `count` and `interval_ms` together must not take more than 300 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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

/// How a try of a TCP probe is made.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TcpMode)]
pub enum TcpModeSchema {
    /// The host's own TCP opens the connection, and resets it once it stands.
    #[default]
    Connect,
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
    fn probes() -> [(Value, Map<String, Value>, usize); 3] {
        [
            (json!({"probe": "ping", "target": "127.0.0.1"}), documented::<PingOptions>(), 6),
            (json!({"probe": "tcp", "target": "127.0.0.1"}), documented::<TcpOptions>(), 5),
            (
                json!({"probe": "http", "url": "http://127.0.0.1/", "method": "PUT", "body": "x", "connect_to": "::1", "sni": "a.test"}),
                documented::<HttpOptions>(),
                4,
            ),
        ]
    }

    fn documented<T: PartialSchema>() -> Map<String, Value> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().clone()
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
                    if name == "interval_ms" && value == maximum {
                        spec["count"] = json!(1);
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
            let plain = serde_json::to_value(ProbeSpec::from_value(least.clone()).unwrap()).unwrap();
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
