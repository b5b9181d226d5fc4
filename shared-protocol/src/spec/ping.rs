//! Options of `ping`: ICMP echo requests and their replies (RFC 792, RFC 4443).

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::rounds::Rounds;
use super::sweep::Targets;
use crate::tier::ProbeLimits;

/// What a ping is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PingSpec {
    /// What is pinged: an address or a name, or many of them, which is a sweep.
    #[serde(flatten)]
    pub target: Targets,
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
    /// Whether the report of a sweep tells the time of every packet, not only what they come to for each target.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub each_packet: bool,
}

impl PingSpec {
    /// A ping of a target with every option at its default.
    pub const fn new(target: Targets) -> Self {
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
            each_packet: false,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let defaults = Self::new(Targets::read(fields)?);
        let spec = Self {
            af: fields.family("af")?,
            count: fields.integer("count", 1..=100, Some(defaults.count))?,
            interval_ms: fields.integer("interval_ms", 10..=60_000, Some(defaults.interval_ms))?,
            payload_bytes: fields.integer("payload_bytes", 0..=8_972, Some(defaults.payload_bytes))?,
            ttl: fields.integer("ttl", 1..=255, Some(defaults.ttl))?,
            df: fields.boolean("df", defaults.df)?,
            dscp: fields.integer("dscp", 0..=63, Some(defaults.dscp))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(defaults.wait_ms))?,
            each_packet: fields.boolean("each_packet", false)?,
            target: defaults.target,
        };
        spec.check_size()?;
        spec.rounds().check_run_time()?;
        Ok(spec)
    }

    fn check_size(&self) -> Result<(), InvalidField> {
        self.target.check_count()?;
        let targets = self.target.count();
        if self.target.is_sweep() && targets.saturating_mul(self.count) > SWEEP_PACKETS {
            return Err(InvalidField::new(
                "count",
                format!("times the number of targets must be at most {SWEEP_PACKETS}"),
            ));
        }
        let listed = self.target.is_sweep() && targets.saturating_mul(self.count) <= LISTED_PACKETS;
        if self.each_packet && !listed {
            return Err(InvalidField::new(
                "each_packet",
                format!("is for sweeps of at most {LISTED_PACKETS} packets: the report of one target has every packet"),
            ));
        }
        Ok(())
    }

    /// From the first request to the end of the wait for the last reply, with two seconds to resolve names. What a sweep sends is counted
    /// at 2,000 packets a second, which is what an owner allows by default.
    pub fn timeout(&self) -> Duration {
        self.rounds().timeout()
    }

    pub(super) fn cost(&self) -> u32 {
        self.rounds().cost()
    }

    pub(super) fn packets_per_second(&self) -> u32 {
        self.rounds().per_second()
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.target.count() > limits.targets {
            return Err(InvalidField::new(self.target.field(), format!("your tier allows at most {}", limits.targets)));
        }
        self.rounds().check_tier(limits)
    }

    /// Time that a sweep may take to send what it has to send.
    pub fn sending(&self) -> Duration {
        let packets = if self.target.is_sweep() {
            self.target.count().saturating_mul(self.count)
        } else {
            0
        };
        Duration::from_secs(u64::from(packets.div_ceil(SWEEP_RATE)))
    }

    fn rounds(&self) -> Rounds {
        Rounds {
            count: self.count,
            interval_ms: self.interval_ms,
            wait_ms: self.wait_ms,
            beside: self.sending(),
        }
    }
}

/// Packets a second at which a sweep's time is planned: what an owner allows by default.
const SWEEP_RATE: u32 = 2_000;
/// Most packets of one sweep.
const SWEEP_PACKETS: u32 = 655_360;
/// Most packets of a sweep whose report tells of each.
const LISTED_PACKETS: u32 = 20_000;

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

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
    fn job_14_too_many_targets_or_packets_are_refused_by_name() {
        for (options, field) in [
            (r#""target":"10.0.0.0/8""#, "target"),
            (r#""target":"0.0.0.0/0""#, "target"),
            (r#""target":"10.0.0.1/24""#, "target"),
            (r#""targets":[]"#, "targets"),
            (r#""targets":"10.0.0.1""#, "targets"),
            (r#""targets":["10.0.0.1",7]"#, "targets"),
            (r#""targets":["0x7f.1"]"#, "targets"),
            (r#""targets":["10.0.0.0/16","10.1.0.0/16"]"#, "targets"),
            (r#""target":"10.0.0.1","targets":["10.0.0.1"]"#, "targets"),
            (r#""target":"10.0.0.0/16","count":11"#, "count"),
            (r#""target":"10.0.0.0/16","count":10"#, "interval_ms"),
            (r#""target":"10.0.0.0/16","each_packet":true"#, "each_packet"),
            (r#""target":"10.0.0.1","each_packet":true"#, "each_packet"),
        ] {
            let text = format!(r#"{{"probe":"ping",{options}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, field, "{text}");
        }
        let entries = serde_json::json!({"probe": "ping", "targets": vec!["127.0.0.1"; 4_097]});
        assert_eq!(ProbeSpec::from_value(entries).unwrap_err().field, "targets");
        let text = serde_json::json!({"probe": "ping", "targets": vec![format!("{}.example.test", "a".repeat(60)); 700]});
        assert_eq!(ProbeSpec::from_value(text).unwrap_err().field, "targets");
    }

    #[test]
    fn each_tier_has_its_number_of_targets() {
        let check = |tier, options: &str| {
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"ping",{options}}}"#)).unwrap();
            spec.check_tier(&TierLimits::starting(tier).probe).map_err(|refused| refused.field)
        };
        assert_eq!(check(Tier::Free, r#""targets":["127.0.0.1"]"#), Ok(()));
        assert_eq!(check(Tier::Free, r#""targets":["127.0.0.1","127.0.0.2"]"#), Err("targets".to_owned()));
        assert_eq!(check(Tier::Free, r#""target":"10.0.0.0/30""#), Err("target".to_owned()));
        assert_eq!(check(Tier::Standard, r#""target":"10.0.0.0/24""#), Ok(()));
        assert_eq!(check(Tier::Standard, r#""targets":["10.0.0.0/24","10.0.1.0/29"]"#), Err("targets".to_owned()));
        assert_eq!(check(Tier::Enterprise, r#""target":"10.0.0.0/16","count":3"#), Ok(()));
    }

    #[test]
    fn a_sweep_reads_back_as_it_was_written_and_plans_for_its_packets() {
        let spec = ProbeSpec::parse(r#"{"probe":"ping","targets":["10.0.0.0/16","Example.test","::1"],"count":3,"interval_ms":10}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"ping","targets":["10.0.0.0/16","example.test","::1"],"af":"auto","count":3,"interval_ms":10,"payload_bytes":56,"ttl":64,"df":false,"dscp":0,"wait_ms":1000}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        // 196,608 packets at 2,000 a second, two intervals, the wait, two seconds for names.
        assert_eq!(
            (spec.timeout().as_millis(), spec.cost(), spec.target()),
            (99_000 + 20 + 1_000 + 2_000, 10, None)
        );
        let block = ProbeSpec::parse(r#"{"probe":"ping","target":"10.0.0.0/24"}"#).unwrap();
        assert_eq!(ProbeSpec::parse(&serde_json::to_string(&block).unwrap()).unwrap(), block);
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
