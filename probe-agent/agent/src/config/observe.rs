//! The `[observe]` table: what the owner lets be observed on this host, once `allow_probes` lists `observe`. Agent and observer read the same file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ebpf_package::PublicKey;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use shared_protocol::end::RefuseReason;
use shared_protocol::package::PackageName;
use shared_protocol::report::{CpuShare, Masked};
use shared_protocol::spec::{Observation, ObserveSpec};

use super::paths::whole_paths;
use crate::policy::Refused;

/// What may be observed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObserveSettings {
    /// The observations that may be made. Those that tell what people do on the host have to be named, and packages too, as `custom:<name>`.
    pub allow: Allowed,
    /// Longest observation, seconds.
    pub max_duration_s: u32,
    /// Whether an observation may go on, window after window, until it is taken back; a window is no longer than an observation may be.
    pub allow_standing: bool,
    /// What the programs of all observations together may take, percent of one CPU.
    #[serde(deserialize_with = "percent_of_a_cpu")]
    pub max_cpu_percent: CpuShare,
    /// Whether the agent's own `tcp`, `http` and `dns` probes say what the kernel saw of them.
    pub beside_probes: bool,
    /// What is hidden from whoever asks.
    pub mask: BTreeSet<Masked>,
    /// What is told though it is hidden unless the owner says so.
    #[serde(deserialize_with = "what_is_hidden_by_default")]
    pub reveal: BTreeSet<Masked>,
    /// Who may stand for a package: keys as `probectl packages key` prints them. Nobody else can, whatever a control plane sends.
    #[serde(deserialize_with = "keys")]
    pub custom_keys: BTreeSet<PublicKey>,
    /// A folder of this host with packages, `<name>.package` each.
    pub packages: Option<PathBuf>,
    /// The files with OpenSSL that `tls_latency` looks at; those that are found where there are none.
    #[serde(deserialize_with = "whole_paths::<_, LIBRARIES_MAX>")]
    pub tls_libraries: Vec<PathBuf>,
    /// The observer's socket.
    pub socket: PathBuf,
    /// A file with the BTF of this kernel, where it carries none itself.
    pub btf: Option<PathBuf>,
}

/// What the owner allows by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeSet<String>")]
pub struct Allowed {
    observations: BTreeSet<Observation>,
    packages: BTreeSet<PackageName>,
}

impl TryFrom<BTreeSet<String>> for Allowed {
    type Error = String;

    fn try_from(names: BTreeSet<String>) -> Result<Self, String> {
        let mut allowed = Self::default();
        for name in names {
            if let Some(package) = name.strip_prefix("custom:") {
                allowed.packages.insert(package.parse().map_err(|error| format!("{name:?}: {error}"))?);
                continue;
            }
            match name.parse() {
                Ok(Observation::Custom) => return Err("\"custom\": packages are allowed by name, as \"custom:tcp-states\"".to_owned()),
                Ok(observation) => allowed.observations.insert(observation),
                Err(error) => return Err(format!("{name:?} {error}")),
            };
        }
        Ok(allowed)
    }
}

impl Allowed {
    fn has(&self, spec: &ObserveSpec) -> bool {
        match &spec.package {
            Some(package) => self.packages.contains(package),
            None => self.observations.contains(&spec.observation),
        }
    }
}

impl Default for ObserveSettings {
    fn default() -> Self {
        Self {
            allow: Allowed {
                observations: Observation::ALL.into_iter().filter(|observation| !observation.is_audit()).collect(),
                packages: BTreeSet::new(),
            },
            max_duration_s: 300,
            allow_standing: false,
            max_cpu_percent: CpuShare::from_millionths(10_000),
            beside_probes: true,
            mask: BTreeSet::new(),
            reveal: BTreeSet::new(),
            custom_keys: BTreeSet::new(),
            packages: None,
            tls_libraries: Vec::new(),
            socket: SOCKET.into(),
            btf: None,
        }
    }
}

impl ObserveSettings {
    /// What is hidden of this observation's findings.
    pub fn hidden(&self, observation: Observation) -> Vec<Masked> {
        let by_default = observation.hidden().iter().filter(|masked| !self.reveal.contains(masked));
        self.mask.iter().chain(by_default).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether a package of this name may be run.
    pub fn allows_package(&self, name: &PackageName) -> bool {
        self.allow.packages.contains(name)
    }

    /// Whether any package may be run.
    pub fn allows_packages(&self) -> bool {
        !self.allow.packages.is_empty()
    }

    /// Whether some observation is allowed that takes more rights than the observer's unit has.
    pub fn allows_extra(&self) -> bool {
        self.allow.observations.iter().any(|observation| observation.is_extra())
    }

    /// Whether an observation may be made.
    ///
    /// # Errors
    /// [`Refused`] with the rule.
    pub fn check(&self, spec: &ObserveSpec) -> Result<(), Refused> {
        if !self.allow.has(spec) {
            let what = spec
                .package
                .as_ref()
                .map_or_else(|| spec.observation.to_string(), |name| format!("custom:{name}"));
            return Err(Refused {
                reason: RefuseReason::PolicyDenied,
                rule: "observe.allow",
                message: format!("the owner of this agent does not allow the observation {what} (observe.allow)"),
            });
        }
        let most = self.max_duration_s;
        if spec.duration_s > most {
            return Err(Refused {
                reason: RefuseReason::CapExceeded,
                rule: "observe.max_duration_s",
                message: format!("the owner of this agent allows {most} seconds (observe.max_duration_s)"),
            });
        }
        Ok(())
    }

    /// Whether observations may go on until they are taken back.
    ///
    /// # Errors
    /// [`Refused`] with the rule.
    pub fn check_standing(&self) -> Result<(), Refused> {
        if self.allow_standing {
            return Ok(());
        }
        Err(Refused {
            reason: RefuseReason::PolicyDenied,
            rule: "observe.allow_standing",
            message: "the owner of this agent allows no observation that goes on until it is taken back (observe.allow_standing)".to_owned(),
        })
    }
}

fn what_is_hidden_by_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Masked>, D::Error> {
    let revealed = BTreeSet::<Masked>::deserialize(deserializer)?;
    let hidden = |masked: &Masked| Observation::ALL.iter().any(|observation| observation.hidden().contains(masked));
    if revealed.iter().all(hidden) {
        return Ok(revealed);
    }
    Err(D::Error::custom("only what is hidden by default can be revealed"))
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<PublicKey>, D::Error> {
    let texts = BTreeSet::<String>::deserialize(deserializer)?;
    let read = texts
        .iter()
        .map(|text| text.parse().map_err(|error| D::Error::custom(format!("{text:?} {error}"))));
    read.collect()
}

fn percent_of_a_cpu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CpuShare, D::Error> {
    let percent = f64::deserialize(deserializer)?;
    if !(LEAST_PERCENT..=MOST_PERCENT).contains(&percent) {
        return Err(D::Error::custom(format!("must be {LEAST_PERCENT} to {MOST_PERCENT} percent of one CPU")));
    }
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the bounds leave a small number above nothing"
    )]
    let millionths = (percent * 10_000.0).round() as u64;
    Ok(CpuShare::from_millionths(millionths))
}

/// Bounds of `max_cpu_percent`; a host may have many CPUs.
const LEAST_PERCENT: f64 = 0.001;
const MOST_PERCENT: f64 = 10_000.0;
/// Most files of `tls_libraries`.
const LIBRARIES_MAX: usize = 16;
/// Where the observer's unit puts its socket.
const SOCKET: &str = "/run/probe-agent-observe/observe.sock";

#[cfg(test)]
mod tests {
    use shared_protocol::spec::ProbeSpec;

    use super::*;

    fn spec(options: &str) -> ObserveSpec {
        let text = format!(r#"{{"probe":"observe","observation":"tcp_flows"{options}}}"#);
        let ProbeSpec::Observe(spec) = ProbeSpec::parse(&text).unwrap() else {
            panic!("another probe")
        };
        spec
    }

    #[test]
    fn what_the_owner_does_not_allow_is_refused_by_its_rule() {
        let settings = ObserveSettings::default();
        assert!(settings.check(&spec("")).is_ok());
        assert!(settings.check(&spec(r#","duration_s":300"#)).is_ok());
        assert_eq!(settings.check(&spec(r#","duration_s":301"#)).unwrap_err().rule, "observe.max_duration_s");
        let audit = ObserveSpec {
            observation: Observation::Exec,
            ..spec("")
        };
        assert_eq!(settings.check(&audit).unwrap_err().rule, "observe.allow");
        let named: ObserveSettings = toml::from_str("allow = [\"exec\"]").unwrap();
        assert!(named.check(&audit).is_ok());
        let custom = ObserveSpec {
            observation: Observation::Custom,
            package: Some("tcp-states".parse().unwrap()),
            ..spec("")
        };
        assert_eq!(settings.check(&custom).unwrap_err().rule, "observe.allow");
        let other: ObserveSettings = toml::from_str("allow = [\"custom:tcp\", \"exec\"]").unwrap();
        assert!(other.check(&custom).unwrap_err().message.contains("custom:tcp-states"));
        let named: ObserveSettings = toml::from_str("allow = [\"custom:tcp-states\"]").unwrap();
        assert!(named.check(&custom).is_ok() && named.check(&audit).is_err());
        let none: ObserveSettings = toml::from_str("allow = []").unwrap();
        assert_eq!(none.check(&spec("")).unwrap_err().rule, "observe.allow");
    }

    #[test]
    fn command_lines_are_hidden_until_the_owner_reveals_them() {
        for (text, hidden) in [
            ("", &[Masked::Arguments][..]),
            ("mask = [\"commands\"]", &[Masked::Commands, Masked::Arguments]),
            ("mask = [\"commands\"]\nreveal = [\"arguments\"]", &[Masked::Commands]),
            ("mask = [\"arguments\"]\nreveal = [\"arguments\"]", &[Masked::Arguments]),
            ("reveal = [\"arguments\"]", &[]),
        ] {
            let settings: ObserveSettings = toml::from_str(text).unwrap();
            assert_eq!(settings.hidden(Observation::Exec), hidden, "{text}");
        }
        assert_eq!(ObserveSettings::default().hidden(Observation::Files), [Masked::Files]);
        assert_eq!(ObserveSettings::default().hidden(Observation::TcpFlows), []);
    }

    #[test]
    fn the_share_of_a_cpu_is_one_percent_unless_the_owner_says_otherwise() {
        for (text, millionths) in [
            ("", 10_000),
            ("max_cpu_percent = 2", 20_000),
            ("max_cpu_percent = 0.001", 10),
            ("max_cpu_percent = 1e4", 100_000_000),
        ] {
            let settings: ObserveSettings = toml::from_str(text).unwrap();
            assert_eq!(settings.max_cpu_percent, CpuShare::from_millionths(millionths), "{text}");
        }
    }

    #[test]
    fn more_rights_than_the_units_are_kept_only_for_what_the_owner_names() {
        for (text, extra) in [("", false), ("allow = [\"exec\"]", false), ("allow = [\"exec\", \"tls_latency\"]", true)] {
            let settings: ObserveSettings = toml::from_str(text).unwrap();
            assert_eq!(settings.allows_extra(), extra, "{text}");
        }
        let settings: ObserveSettings = toml::from_str("tls_libraries = [\"/usr/bin/node\"]").unwrap();
        assert_eq!(settings.tls_libraries, [PathBuf::from("/usr/bin/node")]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "allow = [\"everything\"]",
            "allow = \"tcp_flows\"",
            "allow = [\"custom\"]",
            "allow = [\"custom:\"]",
            "allow = [\"custom:../x\"]",
            "custom_keys = \"ed25519:\"",
            "custom_keys = [\"ed25519:AAAA\"]",
            "beside_probes = 1",
            "tls_libraries = \"/usr/lib/libssl.so.3\"",
            "tls_libraries = [\"libssl.so.3\"]",
            "tls_libraries = [\"/0\", \"/1\", \"/2\", \"/3\", \"/4\", \"/5\", \"/6\", \"/7\", \"/8\", \"/9\", \"/a\", \"/b\", \"/c\", \"/d\", \"/e\", \"/f\", \"/g\"]",
            "mask = [\"payload\"]",
            "reveal = [\"payload\"]",
            "reveal = [\"addresses\"]",
            "reveal = \"arguments\"",
            "max_duration = 5",
            "max_duration_s = -1",
            "max_cpu_percent = 0",
            "max_cpu_percent = -1.0",
            "max_cpu_percent = nan",
            "max_cpu_percent = inf",
            "max_cpu_percent = 10000.1",
            "max_cpu_percent = \"1\"",
        ] {
            assert!(toml::from_str::<ObserveSettings>(text).is_err(), "{text}");
        }
    }
}
