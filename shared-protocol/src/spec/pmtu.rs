//! Options of `pmtu`: the longest packet that reaches a target in one piece (RFC 8899, RFC 1191, RFC 8201).

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::path::{PathOptions, PathProtocol};
use super::rounds::{RESOLVE_TIME, RUN_TIME_MAX, cost_of};
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What a search for the path MTU is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PmtuSpec {
    /// Address or name.
    pub target: Target,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// What the packets are: ICMP or UDP.
    pub protocol: PathProtocol,
    /// Destination port of UDP; absent for ICMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Shortest packet that the search considers, 576 to 9,216 bytes with the IP header; over IPv6 at least 1,280.
    pub min_bytes: u32,
    /// Longest packet that the search considers, 576 to 9,216 bytes; what the interface does not take is never sent.
    pub max_bytes: u32,
    /// Packets of one length that stay unanswered before it counts as too long, 1 to 10.
    pub probes: u32,
    /// How long an answer is waited for at most, 10 to 10,000 milliseconds; less once the target has answered.
    pub wait_ms: u32,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
    /// Whether the report keeps what was sent and what came back, so that it can be derived again.
    pub raw: bool,
}

impl PmtuSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let target = fields.target("target")?;
        let protocol = PathProtocol::read(fields, &[PathProtocol::Icmp, PathProtocol::Udp])?;
        let spec = Self {
            target,
            af: fields.family("af")?,
            protocol,
            port: protocol.read_port(fields)?,
            min_bytes: fields.integer("min_bytes", BYTES_MIN..=BYTES_MAX, Some(BYTES_MIN))?,
            max_bytes: fields.integer("max_bytes", BYTES_MIN..=BYTES_MAX, Some(BYTES_MAX))?,
            probes: fields.integer("probes", 1..=10, Some(3))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(1_000))?,
            dscp: fields.integer("dscp", 0..=63, Some(0))?,
            raw: fields.boolean("raw", false)?,
        };
        if spec.min_bytes > spec.max_bytes {
            return Err(InvalidField::new("min_bytes", "must not be more than max_bytes"));
        }
        if spec.run_time() > RUN_TIME_MAX {
            return Err(InvalidField::new(
                "wait_ms",
                "with so many probes it must not be waited so long: 300 seconds together",
            ));
        }
        Ok(spec)
    }

    /// The longest the search can take, with two seconds to resolve the name.
    pub fn timeout(&self) -> Duration {
        self.run_time() + RESOLVE_TIME
    }

    /// Most packets it sends.
    pub const fn packets(&self) -> u32 {
        LENGTHS_MAX * self.probes + 2 * super::path::HOPS_MAX
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(Duration::from_millis(u64::from(self.wait_ms) * 3))
    }

    pub(super) fn packets_per_second(&self) -> u32 {
        PathOptions::per_second(self.packets())
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.probes > limits.ping_packets {
            return Err(InvalidField::new("probes", format!("your tier allows at most {}", limits.ping_packets)));
        }
        Ok(())
    }

    /// The lengths that nothing answers are waited for in full only until the target has answered once; to place a black hole, all hops
    /// are asked at the same time.
    fn run_time(&self) -> Duration {
        Duration::from_millis(u64::from(self.wait_ms) * u64::from(self.probes) * u64::from(WAITS_MAX))
    }
}

/// Least length that every host takes in one piece (RFC 1122 section 3.3.3); over IPv6 it is 1,280 (RFC 8200 section 5).
const BYTES_MIN: u32 = 576;
/// Longest packet that common networks carry.
const BYTES_MAX: u32 = 9_216;
/// Lengths that a search tries at most: halvings of the range, and what routers claim.
const LENGTHS_MAX: u32 = 32;
/// Lengths whose every packet may be waited for in full.
const WAITS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("protocol", "\"tcp\""),
            ("port", "33434"),
            ("min_bytes", "575"),
            ("min_bytes", "9217"),
            ("max_bytes", "65536"),
            ("max_bytes", "null"),
            ("probes", "0"),
            ("probes", "11"),
            ("wait_ms", "9"),
            ("df", "true"),
        ] {
            let text = format!(r#"{{"probe":"pmtu","target":"127.0.0.1","{option}":{value}}}"#);
            let refused = ProbeSpec::parse(&text).expect_err(&text);
            assert_eq!(refused.field, option, "{refused}");
        }
        for (options, field) in [
            (r#""min_bytes":1500,"max_bytes":1400"#, "min_bytes"),
            (r#""probes":10,"wait_ms":10000"#, "wait_ms"),
        ] {
            let text = format!(r#"{{"probe":"pmtu","target":"127.0.0.1",{options}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, field);
        }
    }
}
