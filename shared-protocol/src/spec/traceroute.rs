//! Options of `traceroute`: who forwards packets to a target, hop by hop.

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::path::PathOptions;
use super::rounds::{RESOLVE_TIME, RUN_TIME_MAX, cost_of};
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What a traceroute is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TracerouteSpec {
    /// Address or name.
    pub target: Target,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// Packets to each hop, 1 to 10.
    pub queries: u32,
    /// What is sent, and how it is waited for.
    #[serde(flatten)]
    pub path: PathOptions,
}

impl TracerouteSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            target: fields.target("target")?,
            af: fields.family("af")?,
            queries: fields.integer("queries", 1..=10, Some(3))?,
            path: PathOptions::read(fields)?,
        };
        if spec.run_time() > RUN_TIME_MAX {
            return Err(InvalidField::new(
                "wait_ms",
                "all packets together, inflight of them at a time, must not be waited for longer than 300 seconds",
            ));
        }
        Ok(spec)
    }

    /// The longest that every packet can be waited for, with one further for each hop, and two seconds to resolve the name,
    /// and as many for the names of the hops where they are asked for.
    pub fn timeout(&self) -> Duration {
        self.run_time() + RESOLVE_TIME + self.path.naming()
    }

    /// Most packets it sends.
    pub const fn packets(&self) -> u32 {
        // One further packet for each hop that answered some of the first.
        self.path.hops() * (self.queries + 1)
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(Duration::from_millis(self.path.wait_ms.into()))
    }

    pub(super) fn packets_per_second(&self) -> u32 {
        PathOptions::per_second(self.packets())
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.queries > limits.ping_packets {
            return Err(InvalidField::new("queries", format!("your tier allows at most {}", limits.ping_packets)));
        }
        Ok(())
    }

    fn run_time(&self) -> Duration {
        self.path.waves(self.packets())
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("protocol", "\"sctp\""),
            ("protocol", "null"),
            ("port", "443"),
            ("flow", "\"dublin\""),
            ("first_ttl", "0"),
            ("first_ttl", "31"),
            ("max_ttl", "0"),
            ("max_ttl", "256"),
            ("queries", "0"),
            ("queries", "11"),
            ("inflight", "0"),
            ("inflight", "4294967296"),
            ("wait_ms", "0"),
            ("wait_ms", "315360000000"),
            ("gap_limit", "0"),
            ("size_bytes", "59"),
            ("size_bytes", "65536"),
            ("dscp", "64"),
            ("df", "1"),
            ("ptr", "\"yes\""),
            ("asn", "64500"),
            ("mask_first_hops", "-1"),
            ("raw", "null"),
            ("af", "\"5\""),
            ("unknown", "1"),
        ] {
            let text = format!(r#"{{"probe":"traceroute","target":"127.0.0.1","{option}":{value}}}"#);
            let refused = ProbeSpec::parse(&text).expect_err(&text);
            assert_eq!(refused.field, option, "{refused}");
        }
        for (options, field) in [
            (r#""protocol":"udp","port":0"#, "port"),
            (r#""wait_ms":10000,"inflight":1"#, "wait_ms"),
            (r#""raw":true,"mask_first_hops":2"#, "raw"),
        ] {
            let text = format!(r#"{{"probe":"traceroute","target":"127.0.0.1",{options}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, field);
        }
    }

    #[test]
    fn each_protocol_has_the_port_it_needs() {
        for (options, port) in [
            ("", None),
            (r#","protocol":"udp""#, Some(33_434)),
            (r#","protocol":"tcp""#, Some(443)),
            (r#","protocol":"tcp","port":22"#, Some(22)),
        ] {
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"traceroute","target":"127.0.0.1"{options}}}"#)).unwrap();
            assert_eq!(spec.port(), port);
            assert_eq!(ProbeSpec::parse(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
        }
    }
}
