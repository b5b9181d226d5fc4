//! How the API documents observations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Options of an observation: what the kernel of the agent's own host sees, for a while. The host's owner has to allow it, and an observer has to
/// run beside the agent. At most 3,600 intervals.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ObserveOptions)]
pub struct ObserveOptions {
    /// What is observed.
    pub observation: ObservationSchema,
    /// How long, seconds.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3_600, default = 10)]
    pub duration_s: u32,
    /// Time between two looks at what the kernel has counted, milliseconds; not longer than `duration_s`.
    #[serde(default)]
    #[schema(minimum = 200, maximum = 60_000, default = 1_000)]
    pub interval_ms: u32,
    /// Most entries told: those with most to tell.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100, default = 20)]
    pub top: u32,
    /// Only what has this port at one of its ends.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65_535)]
    pub port: Option<u16>,
    /// Only what has this IP address at one of its ends.
    #[serde(default)]
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
    /// Only what this process does; only with `memory`, `exec` (also the programs that it starts), `files`, `connects`, `syscalls` and `tls_latency`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 4_194_304)]
    pub pid: Option<u32>,
    /// Which package is run; with `custom` only, and always. The host's owner has to allow it by name, and to trust whoever signed it.
    #[serde(default)]
    #[schema(example = "tcp-states", max_length = 40)]
    pub package: Option<String>,
    /// Exactly which package of that name, by its hash; whichever the agent is to have where this is left out.
    #[serde(default)]
    #[schema(min_length = 64, max_length = 64)]
    pub sha256: Option<String>,
    /// Whether the package is only given to the kernel, which says in `tried` of the findings what it thinks of each program; it is put onto no
    /// hook. With `custom` only, under the same rules of the host's owner.
    #[serde(default)]
    #[schema(default = false)]
    pub try_out: bool,
}

/// What can be observed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Observation)]
pub enum ObservationSchema {
    /// TCP connections: bytes, round-trip times, retransmits, whose they are.
    TcpFlows,
    /// Who connects where, how long it takes, why it fails: by command and remote end.
    ConnectLatency,
    /// Packets that the kernel drops, by its reason. Sees no ports or addresses.
    Drops,
    /// Segments of TCP that are sent again, by connection.
    Retransmits,
    /// How long tasks that could run waited for a CPU, as one histogram. Sees no ports or addresses.
    Runqlat,
    /// How long block devices take for a request, by device and kind of request. Sees no ports or addresses.
    Biolatency,
    /// Where the CPUs' time goes: what runs on each is looked at 49 times a second, with its stack of functions. Sees no ports or addresses.
    Profile,
    /// Where tasks wait for something else than a CPU, and how long, with their stacks of functions. Sees no ports or addresses.
    Offcpu,
    /// Page faults of programs, how long they waited for pages to be freed, and who was killed for want of memory. Sees no ports or addresses.
    Memory,
    /// Who runs which program, and how it ends. The host's owner has to name it.
    Exec,
    /// Who opens which file. The host's owner has to name it.
    Files,
    /// Who dials whom over TCP, and what comes of it: each try. The host's owner has to name it.
    Connects,
    /// Calls of the kernel by name: how often, how often with an error, how long they take. The host's owner has to name it.
    Syscalls,
    /// Packets by interface and direction: protocols, flags of TCP, sizes; nothing of what they carry. Takes no ports or addresses.
    Packets,
    /// Packets and bytes by interface, and the addresses that they are exchanged with. Takes no ports or addresses.
    Interface,
    /// Datagrams of UDP by flow, and sockets that had no room for one.
    UdpFlows,
    /// Questions that programs of the host ask of DNS over UDP, and how long the answers take.
    DnsLatency,
    /// How long programs that use OpenSSL take to shake hands, to read and to write; nothing of what they say. The host's owner has to name it, and
    /// to give the observer the right to it. Takes no ports or addresses.
    TlsLatency,
    /// What a package of one's own sees, by its own types. Takes no ports, addresses or processes.
    Custom,
}
