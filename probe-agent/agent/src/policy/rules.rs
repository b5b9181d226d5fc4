//! The `[policy]` table of the owner's file, with defaults that let a control plane do no harm.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use shared_protocol::spec::ProbeKind;

/// The owner's rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyRules {
    /// Probes that may run, by their names on the wire.
    pub allow_probes: BTreeSet<String>,
    /// Private networks that may be probed. Public addresses need no entry; see `allow_public`.
    #[serde(deserialize_with = "networks")]
    pub allow_cidrs: Vec<IpNet>,
    /// Networks that may not be probed, whatever else allows them.
    #[serde(deserialize_with = "networks")]
    pub deny_cidrs: Vec<IpNet>,
    /// Whether public unicast addresses may be probed without standing in `allow_cidrs`.
    pub allow_public: bool,
    /// Whether loopback addresses may be probed. A control plane on loopback may be probed then too: it is the only exception for it.
    pub allow_loopback: bool,
    /// Whether the host's own addresses and its gateways may be probed.
    pub allow_local: bool,
    /// Ports that may be probed.
    pub allow_ports: AllowPorts,
    /// Packets a second over all targets.
    pub max_pps: u32,
    /// Packets a second to one target.
    pub per_target_pps: u32,
    /// Jobs that run at the same time.
    pub max_concurrency: u32,
    /// Targets of one job.
    pub max_targets_per_job: u32,
    /// Bytes that one job may send.
    pub max_bytes_per_job: ByteCount,
    /// Ports of each target of a scan.
    pub scan_max_ports: u32,
}

impl Default for PolicyRules {
    fn default() -> Self {
        Self {
            allow_probes: ALLOWED_BY_DEFAULT.into_iter().map(str::to_owned).collect(),
            allow_cidrs: Vec::new(),
            deny_cidrs: Vec::new(),
            allow_public: true,
            allow_loopback: false,
            allow_local: false,
            allow_ports: AllowPorts::Any,
            max_pps: 2_000,
            per_target_pps: 100,
            max_concurrency: 32,
            max_targets_per_job: 256,
            max_bytes_per_job: ByteCount(4 * 1024 * 1024),
            scan_max_ports: 1_024,
        }
    }
}

impl PolicyRules {
    /// Refuses what cannot have been meant.
    ///
    /// # Errors
    /// [`InvalidPolicy`] names the key.
    pub fn validated(self) -> Result<Self, InvalidPolicy> {
        if let Some(name) = self.allow_probes.iter().find(|name| !PROBE_NAMES.contains(&name.as_str())) {
            return Err(InvalidPolicy::UnknownProbe(name.chars().take(64).collect()));
        }
        for (key, value, most) in [
            ("max_pps", self.max_pps, 1_000_000),
            ("per_target_pps", self.per_target_pps, 1_000_000),
            ("max_concurrency", self.max_concurrency, 1_024),
            ("max_targets_per_job", self.max_targets_per_job, 65_536),
            ("scan_max_ports", self.scan_max_ports, 65_535),
        ] {
            if !(1..=most).contains(&value) {
                return Err(InvalidPolicy::OutOfBounds { key, most });
            }
        }
        Ok(self)
    }

    /// Whether a probe may run.
    pub fn allows_probe(&self, kind: ProbeKind) -> bool {
        self.allow_probes.contains(kind.as_str())
    }
}

/// Reads networks in the plain spelling only: another parser might take `010.0.0.0/8` for 8.0.0.0/8.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = texts.iter().map(|text| {
        let (address, length) = text.split_once('/')?;
        let length = length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse().ok())??;
        IpNet::new(address.parse().ok()?, length).ok()
    });
    read.collect::<Option<_>>()
        .ok_or_else(|| D::Error::custom("must be networks in plain spelling, as \"10.0.0.0/8\" or \"fd12::/16\""))
}

/// Which ports may be probed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PortsText")]
pub enum AllowPorts {
    /// All.
    Any,
    /// These.
    Listed(BTreeSet<u16>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PortsText {
    Word(String),
    List(BTreeSet<u16>),
}

impl TryFrom<PortsText> for AllowPorts {
    type Error = InvalidPolicy;

    fn try_from(text: PortsText) -> Result<Self, InvalidPolicy> {
        match text {
            PortsText::Word(word) if word == "any" => Ok(Self::Any),
            PortsText::Word(_) => Err(InvalidPolicy::Ports),
            PortsText::List(ports) => Ok(Self::Listed(ports)),
        }
    }
}

/// A number of bytes, written as a number or as `"4MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "BytesText")]
pub struct ByteCount(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum BytesText {
    Number(u64),
    Word(String),
}

impl TryFrom<BytesText> for ByteCount {
    type Error = InvalidPolicy;

    fn try_from(text: BytesText) -> Result<Self, InvalidPolicy> {
        let word = match text {
            BytesText::Number(number) => return Ok(Self(number)),
            BytesText::Word(word) => word,
        };
        let (digits, unit) = [("KiB", 1_u64 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]
            .into_iter()
            .find_map(|(suffix, unit)| word.strip_suffix(suffix).map(|digits| (digits, unit)))
            .ok_or(InvalidPolicy::Bytes)?;
        let number: u64 = digits.trim_end().parse().map_err(|_| InvalidPolicy::Bytes)?;
        number.checked_mul(unit).map(Self).ok_or(InvalidPolicy::Bytes)
    }
}

/// A policy that cannot have been meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// No probe has this name.
    #[error("policy.allow_probes: no probe is called {0:?}")]
    UnknownProbe(String),
    /// A number is zero or too large.
    #[error("policy.{key}: must be from 1 to {most}")]
    OutOfBounds {
        /// The key.
        key: &'static str,
        /// The greatest value.
        most: u32,
    },
    /// Neither `"any"` nor a list of ports.
    #[error("must be \"any\" or a list of ports")]
    Ports,
    /// Not a number of bytes.
    #[error("must be a number of bytes, as 4194304 or \"4MiB\"")]
    Bytes,
}

/// Probes that run unless the owner says otherwise; those missing here are off until allowed.
const ALLOWED_BY_DEFAULT: [&str; 15] = [
    "ping",
    "tcp",
    "udp",
    "traceroute",
    "mtr",
    "pmtu",
    "dns",
    "http",
    "tls",
    "banner",
    "grpc",
    "websocket",
    "ntp",
    "rdap",
    "host",
];
/// Every name that `allow_probes` may hold, also of probes that this build does not have: one file serves several versions.
const PROBE_NAMES: [&str; 18] = [
    "ping",
    "tcp",
    "udp",
    "traceroute",
    "mtr",
    "pmtu",
    "dns",
    "http",
    "tls",
    "banner",
    "grpc",
    "websocket",
    "ntp",
    "rdap",
    "host",
    "port",
    "neighbor",
    "observe",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PolicyRules, String> {
        let rules: PolicyRules = toml::from_str(text).map_err(|error| error.to_string())?;
        rules.validated().map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_table_is_the_safe_default() {
        let rules = read("").unwrap();
        assert_eq!(rules, PolicyRules::default());
        assert!(!rules.allow_loopback && !rules.allow_local && rules.allow_cidrs.is_empty());
        assert!(rules.allows_probe(ProbeKind::Ping) && !rules.allow_probes.contains("port"));
    }

    #[test]
    fn every_key_is_read() {
        let rules = read(
            r#"
            allow_probes = ["port"]
            allow_cidrs = ["10.0.0.0/8", "fd12::/16"]
            deny_cidrs = ["10.1.0.0/16"]
            allow_public = false
            allow_loopback = true
            allow_local = true
            allow_ports = [80, 443]
            max_pps = 1
            per_target_pps = 2
            max_concurrency = 3
            max_targets_per_job = 4
            max_bytes_per_job = "5KiB"
            scan_max_ports = 6
            "#,
        )
        .unwrap();
        assert_eq!(rules.max_bytes_per_job, ByteCount(5 * 1024));
        assert_eq!(rules.allow_ports, AllowPorts::Listed([80, 443].into()));
        assert!(!rules.allows_probe(ProbeKind::Ping));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "allow_probe = []",
            "allow_probes = [\"pin\"]",
            "allow_probes = \"ping\"",
            "allow_cidrs = [\"10.0.0.0/33\"]",
            "allow_cidrs = [\"10.0.0\"]",
            "allow_cidrs = [\"010.0.0.0/8\"]",
            "allow_loopback = 1",
            "allow_ports = \"all\"",
            "allow_ports = [65536]",
            "max_pps = 0",
            "max_pps = -1",
            "max_concurrency = 1025",
            "max_bytes_per_job = \"4 MB\"",
            "max_bytes_per_job = \"18446744073709551615GiB\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
