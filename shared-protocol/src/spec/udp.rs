//! Options of `udp`: datagrams to a port, to see whether anything answers and how fast (RFC 768).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::rounds::Rounds;
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What a UDP probe is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UdpSpec {
    /// Address or name.
    pub target: Target,
    /// Port to send to, 1 to 65,535.
    pub port: u16,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// Datagrams to send, 1 to 100.
    pub count: u32,
    /// Time between two datagrams, 10 to 60,000 milliseconds.
    pub interval_ms: u32,
    /// How long an answer is waited for after its datagram, 10 to 10,000 milliseconds.
    pub wait_ms: u32,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
    /// What each datagram carries, at most 1,024 bytes.
    pub payload: HexBytes,
    /// What an answer has to begin with, at most 256 bytes; without any, every answer will do.
    pub expect: HexBytes,
}

/// Bytes, written as pairs of hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HexBytes(Vec<u8>);

impl HexBytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Writes bytes so.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl FromStr for HexBytes {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Self, InvalidHex> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or(InvalidHex)?;
        let bytes = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
        Ok(Self(bytes.collect()))
    }
}

impl fmt::Display for HexBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be pairs of hexadecimal digits")]
pub struct InvalidHex;

impl UdpSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            target: fields.target("target")?,
            port: fields.port("port", None)?,
            af: fields.family("af")?,
            count: fields.integer("count", 1..=100, Some(4))?,
            interval_ms: fields.integer("interval_ms", 10..=60_000, Some(200))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(1_000))?,
            dscp: fields.integer("dscp", 0..=63, Some(0))?,
            payload: bytes(fields, "payload", PAYLOAD_BYTES)?,
            expect: bytes(fields, "expect", EXPECT_BYTES)?,
        };
        spec.rounds().check_run_time()?;
        Ok(spec)
    }

    /// From the first datagram to the end of the wait for the last answer, with two seconds to resolve the name.
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

fn bytes(fields: &mut Fields, name: &str, most: usize) -> Result<HexBytes, InvalidField> {
    let bytes: HexBytes = fields.parsed(name, Some(""))?;
    if bytes.as_slice().len() > most {
        return Err(InvalidField::new(name, format!("must be at most {most} bytes")));
    }
    Ok(bytes)
}

const PAYLOAD_BYTES: usize = 1_024;
const EXPECT_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("port", "0"),
            ("port", "65536"),
            ("port", "\"53\""),
            ("count", "0"),
            ("count", "101"),
            ("interval_ms", "9"),
            ("wait_ms", "10001"),
            ("dscp", "64"),
            ("payload", "\"0\""),
            ("payload", "\"0g\""),
            ("payload", "\" 00\""),
            ("payload", "null"),
            ("payload", "7"),
            ("expect", "\"+1\""),
            ("af", "5"),
            ("ttl", "64"),
        ] {
            let port = if option == "port" { "" } else { r#""port":53,"# };
            let text = format!(r#"{{"probe":"udp","target":"127.0.0.1",{port}"{option}":{value}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, option);
        }
        for (option, bytes) in [("payload", 1_025), ("expect", 257)] {
            let text = format!(r#"{{"probe":"udp","target":"127.0.0.1","port":53,"{option}":"{}"}}"#, "00".repeat(bytes));
            assert_eq!(ProbeSpec::parse(&text).unwrap_err().field, option);
        }
        assert_eq!(ProbeSpec::parse(r#"{"probe":"udp","target":"127.0.0.1"}"#).unwrap_err().field, "port");
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written_and_the_free_tier_has_less() {
        let spec = ProbeSpec::parse(r#"{"probe":"udp","target":"Example.test","port":123,"count":20,"payload":"E3000A"}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"udp","target":"example.test","port":123,"af":"auto","count":20,"interval_ms":200,"wait_ms":1000,"dscp":0,"payload":"e3000a","expect":""}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        assert_eq!((spec.port(), spec.cost(), spec.target().is_some()), (Some(123), 5, true));
        assert_eq!(spec.check_tier(&TierLimits::starting(Tier::Free).probe).unwrap_err().field, "count");
        assert_eq!(spec.check_tier(&TierLimits::starting(Tier::Standard).probe), Ok(()));
    }
}
