//! Options of `port`: which of several TCP ports of a target are open, closed or filtered (RFC 9293).

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::rounds::{RESOLVE_TIME, RUN_TIME_MAX, cost_of};
use super::tcp::TcpMode;
use crate::target::Target;
use crate::tier::ProbeLimits;

mod list;

pub use list::{InvalidPorts, PortList};

/// What a scan of ports is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortSpec {
    /// Address or name.
    pub target: Target,
    /// The ports, at most 1,024.
    pub ports: PortList,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// How a port is asked.
    pub mode: TcpMode,
    /// In which order ports are asked.
    pub order: PortOrder,
    /// Ports to ask a second, 1 to 50.
    pub rate_pps: u32,
    /// How often a port that keeps silent is asked, 1 to 3.
    pub tries: u32,
    /// How long an answer is waited for after each try, 10 to 10,000 milliseconds.
    pub wait_ms: u32,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
}

/// In which order ports are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortOrder {
    /// Another one each time, so that what a firewall does after a while falls on no port in particular.
    #[default]
    Random,
    /// From the lowest.
    Ascending,
    /// From the highest.
    Descending,
}

impl PortSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            target: fields.target("target")?,
            ports: fields.parsed("ports", None)?,
            af: fields.family("af")?,
            mode: TcpMode::read(fields)?,
            order: match fields.choice("order", &["random", "ascending", "descending"], Some("random"))?.as_str() {
                "ascending" => PortOrder::Ascending,
                "descending" => PortOrder::Descending,
                _ => PortOrder::Random,
            },
            rate_pps: fields.integer("rate_pps", 1..=50, Some(50))?,
            tries: fields.integer("tries", 1..=3, Some(2))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(1_000))?,
            dscp: fields.integer("dscp", 0..=63, Some(0))?,
        };
        if spec.run_time() > RUN_TIME_MAX {
            let message = "is too low for so many ports, tries and so long a wait: a scan must not take more than 300 seconds";
            return Err(InvalidField::new("rate_pps", message));
        }
        Ok(spec)
    }

    /// Time from one port to the next: by the rate, and so that at most 64 answers are waited for at the same time.
    pub fn interval(&self) -> Duration {
        let by_rate = Duration::from_secs(1) / self.rate_pps.max(1);
        by_rate.max(self.wait() / IN_FLIGHT)
    }

    /// How long an answer is waited for.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms.into())
    }

    /// Most first segments that the probe itself sends; in connections that keep silent, the host's TCP may repeat some.
    pub fn packets(&self) -> u32 {
        self.ports.count().saturating_mul(self.tries)
    }

    /// The time of a scan to which no port answers, with two seconds to resolve the name.
    pub fn timeout(&self) -> Duration {
        self.run_time() + RESOLVE_TIME
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(self.run_time())
    }

    pub(super) const fn packets_per_second(&self) -> u32 {
        self.rate_pps
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.ports.count() > limits.ports {
            return Err(InvalidField::new("ports", format!("your tier allows at most {}", limits.ports)));
        }
        Ok(())
    }

    fn run_time(&self) -> Duration {
        self.interval().saturating_mul(self.packets()) + self.wait() * self.tries
    }
}

/// Most answers that are waited for at the same time: each takes a socket of the host.
const IN_FLIGHT: u32 = 64;

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("ports", "80"),
            ("ports", "null"),
            ("ports", "\"\""),
            ("ports", "\"0-70000\""),
            ("ports", "\"1-1025\""),
            ("rate_pps", "0"),
            ("rate_pps", "51"),
            ("tries", "4"),
            ("wait_ms", "9"),
            ("dscp", "64"),
            ("mode", "\"fin\""),
            ("order", "\"backwards\""),
            ("port", "80"),
            ("count", "1"),
        ] {
            let rest = if option == "ports" { "" } else { r#""ports":"80","# };
            let text = format!(r#"{{"probe":"port","target":"127.0.0.1",{rest}"{option}":{value}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, option);
        }
        let slow = r#"{"probe":"port","target":"127.0.0.1","ports":"1-1024","rate_pps":1}"#;
        assert_eq!(ProbeSpec::parse(slow).unwrap_err().field, "rate_pps");
        assert_eq!(ProbeSpec::parse(r#"{"probe":"port","target":"127.0.0.1"}"#).unwrap_err().field, "ports");
        assert_eq!(
            ProbeSpec::parse(r#"{"probe":"port","target":"10.0.0.0/24","ports":"80"}"#).unwrap_err().field,
            "target"
        );
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written_and_plans_for_silence() {
        let spec = ProbeSpec::parse(r#"{"probe":"port","target":"Example.test","ports":"443,22,8000-8002,80,22","mode":"syn"}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"port","target":"example.test","ports":"22,80,443,8000-8002","af":"auto","mode":"syn","order":"random","rate_pps":50,"tries":2,"wait_ms":1000,"dscp":0}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        // Six ports twice at 20 ms, two waits, two seconds for the name.
        assert_eq!((spec.timeout().as_millis(), spec.cost(), spec.port()), (240 + 2_000 + 2_000, 3, None));
        let ProbeSpec::Port(patient) = ProbeSpec::parse(r#"{"probe":"port","target":"::1","ports":"1-64","wait_ms":10000}"#).unwrap() else {
            panic!("another probe")
        };
        assert_eq!(patient.interval().as_micros(), 156_250, "so that no more than 64 are waited for");
    }

    #[test]
    fn each_tier_has_its_number_of_ports() {
        for (tier, most) in [(Tier::Free, 5), (Tier::Standard, 20), (Tier::Enterprise, 1_024)] {
            let check = |ports: u32| {
                let spec = ProbeSpec::parse(&format!(r#"{{"probe":"port","target":"127.0.0.1","ports":"1-{ports}"}}"#)).unwrap();
                spec.check_tier(&TierLimits::starting(tier).probe).map_err(|refused| refused.field)
            };
            assert_eq!(check(most), Ok(()), "{tier:?}");
            if most < 1_024 {
                assert_eq!(check(most + 1), Err("ports".to_owned()), "{tier:?}");
            }
        }
    }
}
