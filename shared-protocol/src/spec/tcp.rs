//! Options of `tcp`: connections opened and closed again, to see whether a port answers and how fast (RFC 9293).

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::rounds::Rounds;
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What a TCP probe is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TcpSpec {
    /// Address or name.
    pub target: Target,
    /// Port to connect to, 1 to 65,535.
    pub port: u16,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// Connections to try, 1 to 100.
    pub count: u32,
    /// Time between two tries, 10 to 60,000 milliseconds.
    pub interval_ms: u32,
    /// How long an answer is waited for after its try, 10 to 10,000 milliseconds.
    pub wait_ms: u32,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
    /// How a try is made.
    pub mode: TcpMode,
}

/// How a try is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpMode {
    /// The host's own TCP opens the connection, and resets it once it stands.
    #[default]
    Connect,
    /// A first segment is sent and never followed up: the answer shows the port's state and what its host offers (needs raw sockets).
    Syn,
}

impl TcpMode {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        Ok(match fields.choice("mode", &["connect", "syn"], Some("connect"))?.as_str() {
            "syn" => Self::Syn,
            _ => Self::Connect,
        })
    }
}

impl TcpSpec {
    /// A TCP probe of a target with every option at its default.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            port: 443,
            af: AddressFamily::Auto,
            count: 4,
            interval_ms: 200,
            wait_ms: 1_000,
            dscp: 0,
            mode: TcpMode::Connect,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let defaults = Self::new(fields.target("target")?);
        let spec = Self {
            port: fields.port("port", Some(defaults.port))?,
            af: fields.family("af")?,
            count: fields.integer("count", 1..=100, Some(defaults.count))?,
            interval_ms: fields.integer("interval_ms", 10..=60_000, Some(defaults.interval_ms))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(defaults.wait_ms))?,
            dscp: fields.integer("dscp", 0..=63, Some(defaults.dscp))?,
            mode: TcpMode::read(fields)?,
            target: defaults.target,
        };
        spec.rounds().check_run_time()?;
        Ok(spec)
    }

    /// From the first try to the end of the wait for the last answer, with two seconds to resolve the name.
    pub fn timeout(&self) -> Duration {
        self.rounds().timeout()
    }

    pub(super) fn cost(&self) -> u32 {
        self.rounds().cost()
    }

    pub(super) const fn packets_per_second(&self) -> u32 {
        self.rounds().per_second()
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        self.rounds().check_tier(limits)
    }

    const fn rounds(&self) -> Rounds {
        Rounds {
            count: self.count,
            interval_ms: self.interval_ms,
            wait_ms: self.wait_ms,
            beside: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("port", "0"),
            ("port", "65536"),
            ("port", "\"443\""),
            ("port", "\"0-70000\""),
            ("port", "null"),
            ("count", "0"),
            ("count", "101"),
            ("count", "4294967296"),
            ("interval_ms", "9"),
            ("interval_ms", "-200"),
            ("wait_ms", "0"),
            ("wait_ms", "10001"),
            ("dscp", "64"),
            ("mode", "\"fin\""),
            ("mode", "null"),
            ("af", "4"),
            ("payload_bytes", "1"),
            ("ttl", "64"),
        ] {
            let text = format!(r#"{{"probe":"tcp","target":"127.0.0.1","{option}":{value}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, option);
        }
        let too_long = r#"{"probe":"tcp","target":"127.0.0.1","count":100,"interval_ms":60000}"#;
        assert_eq!(ProbeSpec::parse(too_long).unwrap_err().field, "interval_ms");
        assert_eq!(ProbeSpec::parse(r#"{"probe":"tcp"}"#).unwrap_err().field, "target");
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written() {
        let spec = ProbeSpec::parse(r#"{"probe":"tcp","target":"Example.test","port":22,"count":2,"af":"6"}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"tcp","target":"example.test","port":22,"af":"6","count":2,"interval_ms":200,"wait_ms":1000,"dscp":0,"mode":"connect"}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        assert_eq!((spec.cost(), spec.port()), (2, Some(22)));
    }

    #[test]
    fn the_free_tier_has_fewer_and_slower_tries() {
        let limits = TierLimits::starting(Tier::Free).probe;
        for (options, field) in [("\"count\":17", "count"), ("\"interval_ms\":10", "interval_ms")] {
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"tcp","target":"127.0.0.1",{options}}}"#)).unwrap();
            assert_eq!(spec.check_tier(&limits).unwrap_err().field, field);
            assert_eq!(spec.check_tier(&TierLimits::starting(Tier::Enterprise).probe), Ok(()));
        }
    }
}
