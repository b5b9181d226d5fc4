//! Options of `ping`: ICMP echo requests and their replies (RFC 792, RFC 4443).

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::rounds::Rounds;
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What a ping is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PingSpec {
    /// Address or name.
    pub target: Target,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// Echo requests to send, 1 to 100.
    pub count: u32,
    /// Time between two requests, 10 to 60,000 milliseconds.
    pub interval_ms: u32,
    /// Data bytes of each request, 0 to 8,972.
    pub payload_bytes: u32,
    /// Time to live, or hop limit, 1 to 255.
    pub ttl: u32,
    /// Forbids fragmentation on the way (IPv4 don't-fragment; always so on IPv6 routers).
    pub df: bool,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
    /// How long a reply is waited for after its request, 10 to 10,000 milliseconds; what comes later in the run counts as late.
    pub wait_ms: u32,
}

impl PingSpec {
    /// A ping of a target with every option at its default.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            af: AddressFamily::Auto,
            count: 4,
            interval_ms: 200,
            payload_bytes: 56,
            ttl: 64,
            df: false,
            dscp: 0,
            wait_ms: 1_000,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let defaults = Self::new(fields.target("target")?);
        let spec = Self {
            af: fields.family("af")?,
            count: fields.integer("count", 1..=100, Some(defaults.count))?,
            interval_ms: fields.integer("interval_ms", 10..=60_000, Some(defaults.interval_ms))?,
            payload_bytes: fields.integer("payload_bytes", 0..=8_972, Some(defaults.payload_bytes))?,
            ttl: fields.integer("ttl", 1..=255, Some(defaults.ttl))?,
            df: fields.boolean("df", defaults.df)?,
            dscp: fields.integer("dscp", 0..=63, Some(defaults.dscp))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(defaults.wait_ms))?,
            target: defaults.target,
        };
        spec.rounds().check_run_time()?;
        Ok(spec)
    }

    /// From the first request to the end of the wait for the last reply, with two seconds to resolve the name.
    pub fn timeout(&self) -> Duration {
        self.rounds().timeout()
    }

    pub(super) fn cost(&self) -> u32 {
        self.rounds().cost()
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        self.rounds().check_tier(limits)
    }

    const fn rounds(&self) -> Rounds {
        Rounds {
            count: self.count,
            interval_ms: self.interval_ms,
            wait_ms: self.wait_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("count", "0"),
            ("count", "4294967296"),
            ("count", "101"),
            ("count", "-1"),
            ("count", "1.5"),
            ("count", "\"4\""),
            ("count", "null"),
            ("interval_ms", "0"),
            ("interval_ms", "9"),
            ("interval_ms", "-200"),
            ("ttl", "0"),
            ("ttl", "256"),
            ("payload_bytes", "65536"),
            ("dscp", "64"),
            ("wait_ms", "0"),
            ("wait_ms", "315360000000"),
            ("df", "1"),
            ("df", "null"),
            ("af", "5"),
            ("af", "\"5\""),
            ("af", "null"),
            ("unknown", "1"),
            ("tenant_id", "\"x\""),
        ] {
            let text = format!(r#"{{"probe":"ping","target":"127.0.0.1","{option}":{value}}}"#);
            let refused = ProbeSpec::parse(&text).expect_err(&text);
            assert_eq!(refused.field, option, "{refused}");
        }
        let too_long = r#"{"probe":"ping","target":"127.0.0.1","count":100,"interval_ms":60000}"#;
        assert_eq!(ProbeSpec::parse(too_long).unwrap_err().field, "interval_ms");
    }

    #[test]
    fn required_fields_are_named_when_missing_or_of_the_wrong_type() {
        for (text, field) in [
            (r#"{"target":"127.0.0.1"}"#, "probe"),
            (r#"{"probe":"ping"}"#, "target"),
            (r#"{"probe":"ping","target":7}"#, "target"),
            (r#"{"probe":"ping","target":null}"#, "target"),
            (r#"{"probe":null,"target":"127.0.0.1"}"#, "probe"),
            (r#"{"probe":"shell","target":"127.0.0.1"}"#, "probe"),
            ("[]", ""),
            ("7", ""),
        ] {
            assert_eq!(ProbeSpec::parse(text).unwrap_err().field, field, "{text}");
        }
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written() {
        let spec = ProbeSpec::parse(r#"{"probe":"ping","target":"127.0.0.1","count":2,"df":true,"af":"4"}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"ping","target":"127.0.0.1","af":"4","count":2,"interval_ms":200,"payload_bytes":56,"ttl":64,"df":true,"dscp":0,"wait_ms":1000}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        assert_eq!(spec.cost(), 2);
    }
}
