//! What an agent says about its host: what it is, in `hello`, and how busy it is, in `keepalive`. What cannot be read is absent, never guessed.

use serde::{Deserialize, Serialize};

use crate::limits::{AGENT_TEXT_BYTES, HOST_ADDRESSES, HOST_DISKS, HOST_INTERFACES};
use crate::time::{MonotonicMicros, UnixMicros};

/// What an agent runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The host's name for itself.
    pub hostname: String,
    /// Operating system, as `Debian GNU/Linux 12`.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine, as `x86_64`.
    pub architecture: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Where the host is, as its owner wrote it into the agent's configuration.
    #[serde(default, skip_serializing_if = "Place::is_empty")]
    pub place: Place,
    /// The processor's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// Physical cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Size of all disks mounted, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// What the host is a guest of, as `QEMU`; absent on bare metal and where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualisation: Option<String>,
    /// Whether the agent runs in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<bool>,
    /// IANA name of the host's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When the host started, by its own wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at_us: Option<UnixMicros>,
    /// Network interfaces; at most [`HOST_INTERFACES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
}

/// Where a host is, in words that its owner chose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The region, as `eu-central`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The zone within the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The network: an AS number, as `AS64500`, or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

impl Place {
    /// Whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.region.is_none() && self.zone.is_none() && self.network.is_none()
    }
}

/// A network interface of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Largest packet it sends, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<u32>,
    /// Speed of its link, megabits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u32>,
    /// Its addresses with the length of their prefix, as `192.0.2.1/24`; at most [`HOST_ADDRESSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// How busy a host was at a moment. Counters count since the host, or the interface, came up, and start again with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostLoad {
    /// When it was read, by the agent's monotonic clock.
    pub monotonic_us: MonotonicMicros,
    /// Share of all processors' time that was used since the reading before, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ratio: Option<f64>,
    /// Load averages over 1, 5 and 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_average: Option<[f64; 3]>,
    /// Memory in use, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Memory that could be had without swapping, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
    /// Swap in use, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_used_bytes: Option<u64>,
    /// Disks mounted; at most [`HOST_DISKS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskLoad>,
    /// Interfaces; at most [`HOST_INTERFACES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceLoad>,
}

/// How full and how busy a disk is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLoad {
    /// Where it is mounted.
    pub mount: String,
    /// Its size, bytes.
    pub total_bytes: u64,
    /// What may still be written, bytes.
    pub available_bytes: u64,
    /// Bytes read since the host started.
    pub read_bytes: u64,
    /// Bytes written since the host started.
    pub written_bytes: u64,
}

/// What went over an interface since it came up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceLoad {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets that could not be received whole.
    pub received_errors: u64,
    /// Packets that could not be sent.
    pub sent_errors: u64,
}

/// A list is longer than an agent may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) path: &'static str,
    pub(crate) found: usize,
    pub(crate) limit: usize,
}

impl HostFacts {
    /// Refuses lists that are too long and shortens every text.
    pub(crate) fn bound(&mut self) -> Result<(), TooMany> {
        within("host.interfaces", self.interfaces.len(), HOST_INTERFACES)?;
        for interface in &mut self.interfaces {
            within("host.interfaces.addresses", interface.addresses.len(), HOST_ADDRESSES)?;
            interface.name = shorten(&interface.name);
            shorten_all(interface.mac.iter_mut().chain(&mut interface.addresses));
        }
        let place = &mut self.place;
        shorten_all([&mut self.hostname, &mut self.os, &mut self.kernel, &mut self.architecture]);
        shorten_all([&mut place.region, &mut place.zone, &mut place.network].into_iter().flatten());
        shorten_all([&mut self.cpu_model, &mut self.virtualisation, &mut self.time_zone].into_iter().flatten());
        Ok(())
    }
}

impl HostLoad {
    /// Refuses lists that are too long, shortens every text, and drops numbers that no host can have.
    pub(crate) fn bound(&mut self) -> Result<(), TooMany> {
        within("load.disks", self.disks.len(), HOST_DISKS)?;
        within("load.interfaces", self.interfaces.len(), HOST_INTERFACES)?;
        shorten_all(self.disks.iter_mut().map(|disk| &mut disk.mount));
        shorten_all(self.interfaces.iter_mut().map(|interface| &mut interface.name));
        self.cpu_ratio = self.cpu_ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        self.load_average = self
            .load_average
            .filter(|averages| averages.iter().all(|average| (0.0..=LOAD_AVERAGE_MAX).contains(average)));
        Ok(())
    }
}

/// Keeps what people may see of an agent's text: at most [`AGENT_TEXT_BYTES`], no control characters.
pub(crate) fn shorten(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if kept.len() + character.len_utf8() > AGENT_TEXT_BYTES {
            break;
        }
        kept.push(character);
    }
    kept
}

fn shorten_all<'a>(texts: impl IntoIterator<Item = &'a mut String>) {
    for text in texts {
        *text = shorten(text);
    }
}

const fn within(path: &'static str, found: usize, limit: usize) -> Result<(), TooMany> {
    if found <= limit { Ok(()) } else { Err(TooMany { path, found, limit }) }
}

/// Above every load average that was ever seen.
const LOAD_AVERAGE_MAX: f64 = 1_000_000.0;
