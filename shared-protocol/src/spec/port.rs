//! Options of `port`: which of several ports of a target, or of many, are open, closed or filtered (TCP, RFC 9293; UDP, RFC 768).

use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use super::rounds::{RESOLVE_TIME, RUN_TIME_MAX, cost_of};
use super::sweep::Targets;
use crate::tier::ProbeLimits;

mod list;

pub use list::{InvalidPorts, PortList};

/// What a scan of ports is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortSpec {
    /// Whose ports are asked: an address or a name, or many of them, each of which is asked for every port.
    #[serde(flatten)]
    pub target: Targets,
    /// The ports, at most 1,024.
    pub ports: PortList,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// How a port is asked.
    pub mode: PortMode,
    /// In which order the ports of a target are asked.
    pub order: PortOrder,
    /// Ports to ask a second over all targets, 1 to 50.
    pub rate_pps: u32,
    /// How often a port that keeps silent is asked, 1 to 3.
    pub tries: u32,
    /// How long an answer is waited for after each try, 10 to 10,000 milliseconds.
    pub wait_ms: u32,
    /// Differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: u32,
    /// Whether what a service says first is listened to, for [`GREETING_TIME`]; of mode `connect` only, and nothing is ever said to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub banner: bool,
}

/// How a port is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortMode {
    /// The host's own TCP opens the connection, and resets it once it stands.
    #[default]
    Connect,
    /// A first segment of TCP is sent and never followed up (needs raw sockets).
    Syn,
    /// A datagram is sent: what some services answer to, and an empty one to all others.
    Udp,
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

impl PortMode {
    fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        Ok(match fields.choice("mode", &["connect", "syn", "udp"], Some("connect"))?.as_str() {
            "syn" => Self::Syn,
            "udp" => Self::Udp,
            _ => Self::Connect,
        })
    }
}

impl PortSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            target: Targets::read(fields)?,
            ports: fields.parsed("ports", None)?,
            af: fields.family("af")?,
            mode: PortMode::read(fields)?,
            order: match fields.choice("order", &["random", "ascending", "descending"], Some("random"))?.as_str() {
                "ascending" => PortOrder::Ascending,
                "descending" => PortOrder::Descending,
                _ => PortOrder::Random,
            },
            rate_pps: fields.integer("rate_pps", 1..=RATE_MAX, Some(RATE_MAX))?,
            tries: fields.integer("tries", 1..=3, Some(2))?,
            wait_ms: fields.integer("wait_ms", 10..=10_000, Some(1_000))?,
            dscp: fields.integer("dscp", 0..=63, Some(0))?,
            banner: fields.boolean("banner", false)?,
        };
        if spec.banner && spec.mode != PortMode::Connect {
            return Err(InvalidField::new(
                "banner",
                "needs the mode connect: only where a connection stands does a service say anything first",
            ));
        }
        spec.target.check_count()?;
        spec.check_run_time()?;
        Ok(spec)
    }

    /// Names the rate where a faster one would do, else the ports.
    fn check_run_time(&self) -> Result<(), InvalidField> {
        if self.run_time() <= RUN_TIME_MAX {
            return Ok(());
        }
        if self.rate_pps < RATE_MAX {
            let message = "is too low for so many targets, ports, tries and so long a wait: a scan must not take more than 300 seconds";
            return Err(InvalidField::new("rate_pps", message));
        }
        let message = match self.mode {
            PortMode::Connect | PortMode::Syn => "are too many with so many targets, tries and so long a wait: a scan must not take more than 300 seconds",
            PortMode::Udp => {
                "are too many with so many targets, tries and so long a wait: a scan must not take more than 300 seconds, and over UDP a target is asked \
                 again once in 1.05 seconds at most"
            }
        };
        Err(InvalidField::new("ports", message))
    }

    /// Time from one question to the next, whichever target it goes to: by the rate, and so that at most 64 answers are waited for at the
    /// same time.
    pub fn interval(&self) -> Duration {
        let by_rate = Duration::from_secs(1) / self.rate_pps.max(1);
        by_rate.max(self.answer_time() / IN_FLIGHT)
    }

    /// How many targets are asked side by side, each with the same share of the rate.
    pub fn lanes(&self) -> u32 {
        let targets = self.target.count().max(1);
        targets.div_ceil(targets.div_ceil(IN_FLIGHT))
    }

    /// Time from one question to a target to the next one to it.
    pub fn target_interval(&self) -> Duration {
        self.interval().saturating_mul(self.lanes())
    }

    /// Time from any question to a target to one that it has been asked before. Hosts answer few datagrams for closed ports: Linux one a
    /// second after a burst of six (`icmp_ratelimit`), so that only what is asked more slowly tells a closed port from a silent one.
    pub fn repeat_interval(&self) -> Duration {
        match self.mode {
            PortMode::Connect | PortMode::Syn => self.target_interval(),
            PortMode::Udp => self.target_interval().max(UDP_REPEAT),
        }
    }

    /// How long an answer is waited for.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms.into())
    }

    /// Most first segments or datagrams that the probe itself sends; in connections that keep silent, the host's TCP may repeat some.
    pub fn packets(&self) -> u32 {
        self.target.count().saturating_mul(self.ports.count()).saturating_mul(self.tries)
    }

    /// The time of a scan to which no port answers, with two seconds to resolve names.
    pub fn timeout(&self) -> Duration {
        self.run_time() + RESOLVE_TIME
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(self.run_time())
    }

    /// Each of many targets is sent its share of the rate only.
    pub(super) fn packets_per_second(&self) -> u32 {
        self.rate_pps.div_ceil(self.lanes())
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if self.target.count() > limits.targets {
            return Err(InvalidField::new(self.target.field(), format!("your tier allows at most {}", limits.targets)));
        }
        if self.ports.count() > limits.ports {
            return Err(InvalidField::new("ports", format!("your tier allows at most {}", limits.ports)));
        }
        Ok(())
    }

    /// How long a question may be open.
    fn answer_time(&self) -> Duration {
        if self.banner { self.wait() + GREETING_TIME } else { self.wait() }
    }

    fn run_time(&self) -> Duration {
        let ports = self.ports.count();
        let first = self.target_interval().saturating_mul(ports);
        let again = self.repeat_interval().saturating_mul(ports.saturating_mul(self.tries - 1));
        let one = first.saturating_add(again).saturating_add(self.answer_time() * self.tries);
        one.saturating_mul(self.target.count().div_ceil(self.lanes()))
    }
}

/// How long it is listened to what a service says first, once a connection stands.
pub const GREETING_TIME: Duration = Duration::from_millis(500);
/// How much of what a service says first is kept, bytes.
pub const GREETING_BYTES: usize = 256;

/// Most questions a second.
const RATE_MAX: u32 = 50;
/// Most answers that are waited for at the same time, each of which takes a socket of the host; and so the most targets at a time.
const IN_FLIGHT: u32 = 64;
/// Longer than the second in which Linux grants one more ICMP error, so that the host's timers cannot make it less.
const UDP_REPEAT: Duration = Duration::from_millis(1_050);

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
            ("banner", "1"),
            ("banner", "null"),
        ] {
            let rest = if option == "ports" { "" } else { r#""ports":"80","# };
            let text = format!(r#"{{"probe":"port","target":"127.0.0.1",{rest}"{option}":{value}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, option);
        }
        let slow = r#"{"probe":"port","target":"127.0.0.1","ports":"1-1024","rate_pps":1}"#;
        assert_eq!(ProbeSpec::parse(slow).unwrap_err().field, "rate_pps");
        assert_eq!(ProbeSpec::parse(r#"{"probe":"port","target":"127.0.0.1"}"#).unwrap_err().field, "ports");
        for mode in ["syn", "udp"] {
            let mute = format!(r#"{{"probe":"port","target":"127.0.0.1","ports":"80","mode":"{mode}","banner":true}}"#);
            assert_eq!(ProbeSpec::parse(&mute).unwrap_err().field, "banner");
        }
    }

    #[test]
    fn job_14_more_targets_and_ports_than_can_be_asked_in_time_are_refused_by_name() {
        for (options, field) in [
            (r#""target":"10.0.0.0/8","ports":"80""#, "target"),
            (r#""target":"10.0.0.1/24","ports":"80""#, "target"),
            (r#""targets":[],"ports":"80""#, "targets"),
            (r#""targets":["0x7f.1"],"ports":"80""#, "targets"),
            (r#""targets":["10.0.0.0/16","10.1.0.0/16"],"ports":"80""#, "targets"),
            (r#""target":"10.0.0.1","targets":["10.0.0.1"],"ports":"80""#, "targets"),
            (r#""target":"10.0.0.0/16","ports":"80""#, "ports"),
            (r#""target":"10.0.0.0/24","ports":"1-29""#, "ports"),
            (r#""target":"10.0.0.0/24","ports":"1-20","rate_pps":30"#, "rate_pps"),
            (r#""target":"10.0.0.1","ports":"1-279","mode":"udp""#, "ports"),
        ] {
            let text = format!(r#"{{"probe":"port",{options}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, field, "{text}");
        }
        for options in [
            r#""target":"10.0.0.0/24","ports":"1-28""#,
            r#""target":"10.0.0.0/20","ports":"80""#,
            r#""target":"10.0.0.1","ports":"1-278","mode":"udp""#,
            r#""target":"10.0.0.1","ports":"1-1024","mode":"udp","tries":1"#,
            r#""target":"10.0.0.0/24","ports":"1-28","mode":"udp""#,
        ] {
            let text = format!(r#"{{"probe":"port",{options}}}"#);
            assert!(ProbeSpec::parse(&text).unwrap().timeout().as_secs() <= 302, "{text}");
        }
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
        let text = r#"{"probe":"port","targets":["10.0.0.0/24","example.test"],"ports":"22","af":"4","mode":"connect","order":"random","rate_pps":50,"tries":1,"wait_ms":1000,"dscp":0,"banner":true}"#;
        assert_eq!(serde_json::to_string(&ProbeSpec::parse(text).unwrap()).unwrap(), text);
    }

    /// A host that is asked again hears of a closed port again: no sooner than Linux lets it be told.
    #[test]
    fn many_targets_share_the_rate_and_a_silent_port_of_udp_is_asked_again_slowly() {
        let read = |options: &str| {
            let ProbeSpec::Port(spec) = ProbeSpec::parse(&format!(r#"{{"probe":"port",{options}}}"#)).unwrap() else {
                panic!("another probe")
            };
            spec
        };
        let millis = |spec: &super::PortSpec| [spec.interval(), spec.target_interval(), spec.repeat_interval()].map(|time| time.as_millis());
        let one = read(r#""target":"10.0.0.1","ports":"1-20","mode":"udp""#);
        assert_eq!((one.lanes(), millis(&one), one.packets_per_second()), (1, [20, 20, 1_050], 50));
        // Twenty at 20 ms, twenty at 1,050 ms, two waits.
        assert_eq!(one.run_time().as_millis(), 400 + 21_000 + 2_000);
        let some = read(r#""target":"10.0.0.0/29","ports":"1-20","mode":"udp""#);
        assert_eq!((some.lanes(), millis(&some), some.packets_per_second()), (6, [20, 120, 1_050], 9));
        let many = read(r#""target":"10.0.0.0/24","ports":"1-5""#);
        assert_eq!((many.lanes(), millis(&many), many.packets_per_second()), (64, [20, 1_280, 1_280], 1));
        // Four times 64 targets: ten questions to each at 1,280 ms, two waits.
        assert_eq!((many.run_time().as_millis(), many.packets()), (4 * (12_800 + 2_000), 254 * 5 * 2));
        let uneven = read(r#""targets":["10.0.0.0/26","10.0.1.0/30","10.0.2.1"],"ports":"1""#);
        assert_eq!((uneven.target.count(), uneven.lanes()), (65, 33), "two turns of about the same length");
        let talking = read(r#""target":"10.0.0.1","ports":"1","wait_ms":10000,"banner":true"#);
        assert_eq!(talking.interval().as_micros(), 164_062, "a port that is listened to is open for longer");
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
        for (tier, prefix, allowed) in [
            (Tier::Free, 31, false),
            (Tier::Standard, 24, true),
            (Tier::Standard, 23, false),
            (Tier::Enterprise, 20, true),
        ] {
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"port","target":"10.0.0.0/{prefix}","ports":"80"}}"#)).unwrap();
            let refused = spec.check_tier(&TierLimits::starting(tier).probe).map_err(|refused| refused.field);
            assert_eq!(refused, if allowed { Ok(()) } else { Err("target".to_owned()) }, "{tier:?} /{prefix}");
        }
    }
}
