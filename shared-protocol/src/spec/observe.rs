//! Options of `observe`: what the kernel of the agent's own host sees, for a while.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, InvalidField};
use super::rounds::cost_of;
use crate::package::{PackageDigest, PackageName};
use crate::report::Masked;

/// What an observation is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObserveSpec {
    /// What is observed.
    pub observation: Observation,
    /// How long, 1 to 3,600 seconds.
    pub duration_s: u32,
    /// Time between two looks at what the kernel has counted, 200 to 60,000 milliseconds.
    pub interval_ms: u32,
    /// Most entries told, 1 to 100: those with most to tell.
    pub top: u32,
    /// Only what has this port at one of its ends; only where there are ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Only what has this address at one of its ends; only where there are addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Only what this process does; only where processes are told apart. Of `exec` also the programs that it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Which package is run; with `custom` only, and always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// Exactly which one; whichever the agent is to have of that name where this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<PackageDigest>,
    /// Whether the package is only given to the kernel, which says what it thinks of it; with `custom` only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub try_out: bool,
}

/// What can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// TCP connections: bytes, round-trip times, retransmits, whose they are.
    TcpFlows,
    /// Who connects where, how long it takes, why it fails.
    ConnectLatency,
    /// Packets that the kernel drops, by its reason.
    Drops,
    /// Segments of TCP that are sent again, by connection.
    Retransmits,
    /// How long tasks that could run waited for a CPU.
    Runqlat,
    /// How long block devices take for a request, by device and kind of request.
    Biolatency,
    /// Where the CPUs' time goes, by stacks of functions.
    Profile,
    /// Where tasks wait for something else than a CPU, by stacks of functions.
    Offcpu,
    /// Page faults, waiting for pages to be freed, and who was killed for want of memory.
    Memory,
    /// Who runs which program.
    Exec,
    /// Who opens which file.
    Files,
    /// Who dials whom, and what comes of it.
    Connects,
    /// Calls of the kernel by name: how often, with what success, how long they take.
    Syscalls,
    /// Packets by interface: protocols, flags, sizes.
    Packets,
    /// Traffic by interface, and whom it is with.
    Interface,
    /// Datagrams of UDP by flow, and sockets that had no room.
    UdpFlows,
    /// Questions to DNS, and how long answers take.
    DnsLatency,
    /// How long programs that use OpenSSL take to shake hands, to read and to write.
    TlsLatency,
    /// What a package of somebody's own sees.
    Custom,
}

impl Observation {
    /// Everything that comes with this build; [`Self::Custom`] needs a package.
    pub const ALL: [Self; 18] = [
        Self::TcpFlows,
        Self::ConnectLatency,
        Self::Drops,
        Self::Retransmits,
        Self::Runqlat,
        Self::Biolatency,
        Self::Profile,
        Self::Offcpu,
        Self::Memory,
        Self::Exec,
        Self::Files,
        Self::Connects,
        Self::Syscalls,
        Self::Packets,
        Self::Interface,
        Self::UdpFlows,
        Self::DnsLatency,
        Self::TlsLatency,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpFlows => "tcp_flows",
            Self::ConnectLatency => "connect_latency",
            Self::Drops => "drops",
            Self::Retransmits => "retransmits",
            Self::Runqlat => "runqlat",
            Self::Biolatency => "biolatency",
            Self::Profile => "profile",
            Self::Offcpu => "offcpu",
            Self::Memory => "memory",
            Self::Exec => "exec",
            Self::Files => "files",
            Self::Connects => "connects",
            Self::Syscalls => "syscalls",
            Self::Packets => "packets",
            Self::Interface => "interface",
            Self::UdpFlows => "udp_flows",
            Self::DnsLatency => "dns_latency",
            Self::TlsLatency => "tls_latency",
            Self::Custom => "custom",
        }
    }

    /// Whether what it sees has ports and addresses, so that it can be asked for some only.
    const fn has_endpoints(self) -> bool {
        matches!(
            self,
            Self::TcpFlows | Self::ConnectLatency | Self::Connects | Self::Retransmits | Self::UdpFlows | Self::DnsLatency
        )
    }

    /// Whether it tells processes apart, so that it can be asked for one only.
    const fn has_processes(self) -> bool {
        matches!(
            self,
            Self::Memory | Self::Exec | Self::Files | Self::Connects | Self::Syscalls | Self::TlsLatency
        )
    }

    /// What is hidden of its findings until the owner reveals it.
    pub const fn hidden(self) -> &'static [Masked] {
        if matches!(self, Self::Exec) {
            &[Masked::Arguments]
        } else if matches!(self, Self::Files) {
            &[Masked::Files]
        } else {
            &[]
        }
    }

    /// Whether it tells what people do on the host: an owner has to name it before it is made.
    pub const fn is_audit(self) -> bool {
        matches!(
            self,
            Self::Profile | Self::Offcpu | Self::Exec | Self::Files | Self::Connects | Self::Syscalls | Self::TlsLatency
        )
    }

    /// Whether it takes more rights than the observer's unit has: an owner who wants it gives them, and nobody else misses it.
    pub const fn is_extra(self) -> bool {
        matches!(self, Self::TlsLatency)
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Observation {
    type Err = UnknownObservation;

    fn from_str(text: &str) -> Result<Self, UnknownObservation> {
        let all = Self::ALL.into_iter().chain([Self::Custom]);
        all.into_iter().find(|observation| observation.as_str() == text).ok_or(UnknownObservation)
    }
}

/// The text names no observation that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no observation; there are: {}, custom", Observation::ALL.map(Observation::as_str).join(", "))]
pub struct UnknownObservation;

impl ObserveSpec {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let spec = Self {
            observation: fields.parsed("observation", None)?,
            duration_s: fields.integer("duration_s", 1..=3_600, Some(10))?,
            interval_ms: fields.integer("interval_ms", 200..=60_000, Some(1_000))?,
            top: fields.integer("top", 1..=100, Some(20))?,
            port: fields.optional_port("port")?,
            address: fields.optional_address("address")?,
            pid: fields.optional_integer("pid", 1..=PID_MAX)?,
            package: fields.optional("package")?,
            sha256: fields.optional("sha256")?,
            try_out: fields.boolean("try_out", false)?,
        };
        spec.check_package()?;
        spec.check_windows()?;
        spec.check_filters()?;
        Ok(spec)
    }

    /// Until the last window is told, with the time that loading the programs may take.
    pub fn timeout(&self) -> Duration {
        self.duration() + LOAD_TIME
    }

    /// How long is observed.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.duration_s.into())
    }

    /// Time between two windows.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }

    pub(super) fn cost(&self) -> u32 {
        cost_of(self.duration())
    }

    fn check_package(&self) -> Result<(), InvalidField> {
        let is_custom = self.observation == Observation::Custom;
        if self.try_out && !is_custom {
            return Err(InvalidField::new("try_out", "goes with custom only"));
        }
        match (is_custom, &self.package, &self.sha256) {
            (true, None, _) => Err(InvalidField::new("package", "is required with custom: the name of the package")),
            (false, Some(_), _) => Err(InvalidField::new("package", "goes with custom only")),
            (false, None, Some(_)) => Err(InvalidField::new("sha256", "goes with custom only")),
            (true, Some(_), _) | (false, None, None) => Ok(()),
        }
    }

    fn check_windows(&self) -> Result<(), InvalidField> {
        if self.interval() > self.duration() {
            return Err(InvalidField::new("interval_ms", "must not be longer than duration_s"));
        }
        if self.duration().as_millis() > u128::from(self.interval_ms) * WINDOWS_MAX {
            return Err(InvalidField::new(
                "interval_ms",
                format!("must be so long that there are at most {WINDOWS_MAX} windows in duration_s"),
            ));
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), InvalidField> {
        if self.pid.is_some() && !self.observation.has_processes() {
            return Err(InvalidField::new(
                "pid",
                format!("does not go with {}, which tells no processes apart", self.observation),
            ));
        }
        if self.observation.has_endpoints() {
            return Ok(());
        }
        let given = [("port", self.port.is_some()), ("address", self.address.is_some())];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(InvalidField::new(
                name,
                format!("does not go with {}, which sees no ports or addresses", self.observation),
            )),
            None => Ok(()),
        }
    }
}

/// Room in an observation's time limit for loading its programs and reading what they counted.
const LOAD_TIME: Duration = Duration::from_secs(10);
/// Highest number of a process (`PID_MAX_LIMIT` of include/linux/threads.h).
const PID_MAX: u32 = 4_194_304;
/// Most windows of one observation.
const WINDOWS_MAX: u128 = 3_600;

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;
    use crate::tier::{Tier, TierLimits};

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("observation", "\"everything\""),
            ("observation", "7"),
            ("duration_s", "0"),
            ("duration_s", "3601"),
            ("duration_s", "null"),
            ("interval_ms", "199"),
            ("interval_ms", "60001"),
            ("interval_ms", "10001"),
            ("top", "0"),
            ("top", "101"),
            ("port", "0"),
            ("port", "65536"),
            ("port", "\"443\""),
            ("address", "\"example.test\""),
            ("address", "\"010.0.0.1\""),
            ("address", "7"),
            ("pid", "0"),
            ("pid", "4194305"),
            ("pid", "\"1\""),
            ("pid", "7"),
            ("target", "\"127.0.0.1\""),
            ("payload", "true"),
        ] {
            let observation = if option == "observation" { "" } else { r#""observation":"tcp_flows","# };
            let text = format!(r#"{{"probe":"observe",{observation}"{option}":{value}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, option, "{text}");
        }
        assert_eq!(ProbeSpec::parse(r#"{"probe":"observe"}"#).unwrap_err().field, "observation");
        let digest = "0f".repeat(32);
        for (options, field) in [
            (r#""observation":"custom""#.to_owned(), "package"),
            (r#""observation":"custom","package":"../x""#.to_owned(), "package"),
            (r#""observation":"custom","package":7"#.to_owned(), "package"),
            (r#""observation":"drops","package":"x""#.to_owned(), "package"),
            (r#""observation":"custom","package":"x","sha256":"0f""#.to_owned(), "sha256"),
            (format!(r#""observation":"drops","sha256":"{digest}""#), "sha256"),
            (r#""observation":"drops","try_out":true"#.to_owned(), "try_out"),
            (r#""observation":"custom","package":"x","try_out":1"#.to_owned(), "try_out"),
            (r#""observation":"custom","package":"x","port":1"#.to_owned(), "port"),
            (r#""observation":"custom","package":"x","pid":1"#.to_owned(), "pid"),
        ] {
            let text = format!(r#"{{"probe":"observe",{options}}}"#);
            assert_eq!(ProbeSpec::parse(&text).expect_err(&text).field, field, "{text}");
        }
        let custom = format!(r#"{{"probe":"observe","observation":"custom","duration_s":10,"interval_ms":1000,"top":20,"package":"x-1","sha256":"{digest}"}}"#);
        assert_eq!(serde_json::to_string(&ProbeSpec::parse(&custom).unwrap()).unwrap(), custom);
        let tried = custom.replace('}', r#","try_out":true}"#);
        assert_eq!(serde_json::to_string(&ProbeSpec::parse(&tried).unwrap()).unwrap(), tried);
        for filter in [r#""port":1"#, r#""address":"::1""#, r#""pid":7"#] {
            for observation in ["drops", "runqlat", "biolatency", "profile", "offcpu", "packets", "interface"] {
                let text = format!(r#"{{"probe":"observe","observation":"{observation}",{filter}}}"#);
                let message = ProbeSpec::parse(&text).unwrap_err().message;
                assert!(message.contains(&format!("does not go with {observation}")), "{text}: {message}");
            }
        }
        let many = r#"{"probe":"observe","observation":"tcp_flows","duration_s":3600,"interval_ms":200}"#;
        assert_eq!(ProbeSpec::parse(many).unwrap_err().field, "interval_ms");
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written_and_the_free_tier_has_none() {
        let spec = ProbeSpec::parse(r#"{"probe":"observe","observation":"tcp_flows","port":443,"address":"192.0.2.1"}"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"observe","observation":"tcp_flows","duration_s":10,"interval_ms":1000,"top":20,"port":443,"address":"192.0.2.1"}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        // Nothing is sent to that port or address: they are no target, which a policy would have to allow.
        assert_eq!((spec.port(), spec.target(), spec.cost()), (None, None, 10));
        assert_eq!(spec.timeout().as_secs(), 20);
        assert_eq!(spec.check_tier(&TierLimits::starting(Tier::Free).probe).unwrap_err().field, "probe");
        assert_eq!(spec.check_tier(&TierLimits::starting(Tier::Standard).probe), Ok(()));
    }
}
