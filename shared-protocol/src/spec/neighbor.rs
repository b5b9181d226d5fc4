//! Options of `neighbor`: who on a link of the agent's host has an address (ARP, RFC 826; neighbour discovery, RFC 4861).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use super::SweepTarget;
use super::fields::{Fields, InvalidField};
use super::rounds::{RESOLVE_TIME, RUN_TIME_MAX, cost_of};
use crate::target::Target;
use crate::tier::ProbeLimits;

/// What is asked of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeighborSpec {
    /// An address, or a block of at most 1,024: no name, for a link knows none.
    pub target: SweepTarget,
    /// Which interface's link is asked; without it, the one in whose network the target lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceName>,
    /// Questions a second, 1 to 500.
    pub rate_pps: u32,
    /// How often an address that keeps silent is asked for, 1 to 3.
    pub tries: u32,
    /// How long answers are waited for after each question, 10 to 10,000 milliseconds.
    pub wait_ms: u32,
}

/// The name of a network interface, as the kernel allows it: at most 15 bytes, without white space, `/` and `:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct InterfaceName(String);

impl NeighborSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            target: fields.parsed("target", None)?,
            interface: fields.optional("interface")?,
            rate_pps: fields.integer("rate_pps", 1..=500, Some(100))?,
            tries: fields.integer("tries", 1..=3, Some(2))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(1_000))?,
        };
        if matches!(spec.target, SweepTarget::One(Target::Name(_))) {
            return Err(InvalidField::new("target", "must be an address or a block of addresses: a link knows no names"));
        }
        if spec.target.count() > ADDRESSES {
            return Err(InvalidField::new("target", format!("must come to at most {ADDRESSES} addresses")));
        }
        if spec.run_time() > RUN_TIME_MAX {
            let message = "is too low for so many addresses, tries and so long a wait: it must not take more than 300 seconds";
            return Err(InvalidField::new("rate_pps", message));
        }
        Ok(spec)
    }

    /// The one address that is asked for, where it is one by its spelling.
    pub const fn one(&self) -> Option<&Target> {
        match &self.target {
            SweepTarget::One(target) => Some(target),
            SweepTarget::Block(_) => None,
        }
    }

    /// Time from one question to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.rate_pps.max(1)
    }

    /// How long answers are waited for.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms.into())
    }

    /// Most questions that are sent.
    pub fn packets(&self) -> u32 {
        self.target.count().saturating_mul(self.tries)
    }

    /// The time of a link on which nobody answers, with two seconds for what is waited for before.
    pub fn timeout(&self) -> Duration {
        self.run_time() + RESOLVE_TIME
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(self.run_time())
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.target.count() > limits.targets {
            return Err(InvalidField::new("target", format!("your tier allows at most {}", limits.targets)));
        }
        Ok(())
    }

    fn run_time(&self) -> Duration {
        self.interval().saturating_mul(self.packets()) + self.wait() * self.tries
    }
}

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidInterfaceName;

    fn from_str(text: &str) -> Result<Self, InvalidInterfaceName> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
        if text.is_empty() || text.len() > NAME_BYTES || text == "." || text == ".." || !text.bytes().all(plain) {
            return Err(InvalidInterfaceName);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The text is no name of a network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a network interface: at most 15 characters of ASCII, without white space, '/' and ':'")]
pub struct InvalidInterfaceName;

/// Most addresses of one job: each question of IPv4 wakes every host of the link.
const ADDRESSES: u32 = 1_024;
/// Longest name of an interface (`IFNAMSIZ` without the byte at its end).
const NAME_BYTES: usize = 15;

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

    #[test]
    fn job_12_nbr_01_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("rate_pps", "0"),
            ("rate_pps", "501"),
            ("rate_pps", "null"),
            ("tries", "0"),
            ("tries", "4"),
            ("wait_ms", "9"),
            ("wait_ms", "10001"),
            ("interface", "\"\""),
            ("interface", "\"..\""),
            ("interface", "\"eth0/x\""),
            ("interface", "\"eth0:1\""),
            ("interface", "\"eth 0\""),
            ("interface", "\"a234567890123456\""),
            ("interface", "null"),
            ("interface", "7"),
            ("count", "1"),
            ("af", "\"4\""),
        ] {
            let text = format!(r#"{{"probe":"neighbor","target":"10.0.0.1","{option}":{value}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, option);
        }
        let slow = r#"{"probe":"neighbor","target":"10.0.0.0/22","rate_pps":1}"#;
        assert_eq!(ProbeSpec::parse(slow).unwrap_err().field, "rate_pps");
    }

    #[test]
    fn nbr_02_names_zones_and_blocks_that_are_too_large_are_refused() {
        for target in [
            "\"router.example\"",
            "\"localhost\"",
            "\"fe80::1%eth0\"",
            "\"10.0.0.0/21\"",
            "\"10.0.0.1/24\"",
            "\"2001:db8::/64\"",
            "\"2001:db8::/117\"",
            "\"\"",
            "[\"10.0.0.1\"]",
            "null",
        ] {
            let text = format!(r#"{{"probe":"neighbor","target":{target}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, "target");
        }
        assert_eq!(ProbeSpec::parse(r#"{"probe":"neighbor"}"#).unwrap_err().field, "target");
        for target in ["10.0.0.0/22", "2001:db8::/118", "10.0.0.1", "fe80::1"] {
            ProbeSpec::parse(&format!(r#"{{"probe":"neighbor","target":"{target}"}}"#)).expect(target);
        }
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written_and_plans_for_silence() {
        let spec = ProbeSpec::parse(r#"{"probe":"neighbor","target":"10.0.0.0/24","interface":"br-lan.7"}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"neighbor","target":"10.0.0.0/24","interface":"br-lan.7","rate_pps":100,"tries":2,"wait_ms":1000}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        // 254 addresses twice at 10 ms, two waits, two seconds beside.
        assert_eq!((spec.timeout().as_millis(), spec.cost(), spec.port()), (5_080 + 2_000 + 2_000, 8, None));
        assert_eq!(spec.target(), None);
        let one = ProbeSpec::parse(r#"{"probe":"neighbor","target":"10.0.0.1"}"#).unwrap();
        assert_eq!(one.target().unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn a_tier_says_how_many_addresses_and_the_least_has_none_of_it() {
        let check = |tier, target: &str| {
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"neighbor","target":"{target}"}}"#)).unwrap();
            spec.check_tier(&TierLimits::starting(tier).probe).map_err(|refused| refused.field)
        };
        assert_eq!(check(Tier::Free, "10.0.0.1"), Err("probe".to_owned()));
        assert_eq!(check(Tier::Standard, "10.0.0.0/24"), Ok(()));
        assert_eq!(check(Tier::Standard, "10.0.0.0/23"), Err("target".to_owned()));
        assert_eq!(check(Tier::Enterprise, "10.0.0.0/22"), Ok(()));
    }
}
