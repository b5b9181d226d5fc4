//! Findings of `observe`: what the kernel of the agent's own host saw.

use serde::{Deserialize, Serialize};

use crate::frame::CapabilityLevel;

mod block;
mod budget;
mod calls;
mod connects;
mod custom;
mod datagrams;
mod dials;
mod drops;
mod executions;
mod files;
mod flows;
mod latencies;
mod memory;
mod packets;
mod questions;
mod retransmits;
mod stacks;
mod tls;
mod traffic;
mod tried;
mod waits;

pub use block::{BlockRequests, BlockSeen};
pub use budget::{CpuShare, OverBudget};
pub use calls::{CallTotals, Calls, CallsSeen};
pub use connects::{ConnectTotals, Connects, ConnectsSeen};
pub use custom::{CustomEvents, CustomRow, CustomRows, CustomSeen};
pub use datagrams::{DatagramTotals, DatagramsSeen, FullSocket, UdpFlow};
pub use dials::{Dial, DialOutcome, DialTotals, DialsSeen};
pub use drops::{DroppedPackets, DropsSeen};
pub use executions::{Execution, ExecutionTotals, ExecutionsSeen};
pub use files::{FileTotals, FilesSeen, Opener, Opening};
pub use flows::{FlowTotals, FlowsSeen, TcpFlow, TcpState};
pub use latencies::Latencies;
pub use memory::{Killed, MemorySeen, MemoryTotals, MemoryUser};
pub use packets::{InterfacePackets, NetworkInterface, PacketsSeen, ProtocolPackets, TcpFlagCounts};
pub use questions::{DnsSeen, DnsTotals, QuestionSeen};
pub use retransmits::{Retransmits, RetransmitsSeen};
pub use stacks::{HotFunction, StackUnit, StacksSeen, TaskStack};
pub use tls::{TlsCalls, TlsKind, TlsSeen, TlsTotals};
pub use traffic::{InterfaceSeen, InterfaceTraffic, Talker, Traffic};
pub use tried::{PackageTried, ProgramTried};
pub use waits::WaitsSeen;

/// Everything an observation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveFindings {
    /// How well it could be observed.
    pub level: CapabilityLevel,
    /// What was missing, where something was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Whether the programs saw what was done to check them.
    pub self_check: SelfCheck,
    /// How long was observed, microseconds.
    pub observed_us: u64,
    /// Intervals told.
    pub windows: u32,
    /// What the kernel saw and could not tell: there was no room for it, or the program was at work already on that CPU.
    pub lost: u64,
    /// What the owner has hidden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<Masked>,
    /// What the programs cost the host; absent before their first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<ProgramCost>,
    /// What was given up because the programs took more of a CPU than the owner allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_budget: Option<OverBudget>,
    /// What the kernel thinks of a package that was only tried out; nothing was seen then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<PackageTried>,
    /// What was seen.
    pub seen: Seen,
}

/// Whether the programs saw what was done to check them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfCheck {
    /// They did: what they did not see did not happen.
    Passed,
    /// They did not: that nothing was seen means nothing.
    Failed,
    /// Nothing was seen, and nothing tells whether they ran: a package that names no `check`.
    Unknown,
}

/// Something that the owner of a host hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Masked {
    /// The last part of remote addresses: 8 bits of IPv4, 80 bits of IPv6.
    Addresses,
    /// Names of programs, with their files and command lines.
    Commands,
    /// Command lines.
    Arguments,
    /// Names that DNS is asked for.
    Names,
    /// Names of files that are opened.
    Files,
}

/// What the programs of an observation cost their host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// How often they ran.
    pub runs: u64,
    /// How long they took together, nanoseconds. Our own programs time one run in 61, which speaks for the others; packages are timed by the kernel.
    pub run_ns: u64,
}

/// What was seen, by observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "observation", rename_all = "snake_case")]
pub enum Seen {
    /// TCP connections.
    TcpFlows(FlowsSeen),
    /// Tries to connect.
    ConnectLatency(ConnectsSeen),
    /// Dropped packets.
    Drops(DropsSeen),
    /// Segments of TCP sent again.
    Retransmits(RetransmitsSeen),
    /// Waits for a CPU.
    Runqlat(WaitsSeen),
    /// Requests to block devices.
    Biolatency(BlockSeen),
    /// Where the CPUs' time went.
    Profile(StacksSeen),
    /// Where tasks waited.
    Offcpu(StacksSeen),
    /// Memory running short.
    Memory(MemorySeen),
    /// Programs that were run.
    Exec(ExecutionsSeen),
    /// Files that were opened.
    Files(FilesSeen),
    /// Tries to connect, one by one.
    Connects(DialsSeen),
    /// Calls of the kernel.
    Syscalls(CallsSeen),
    /// Packets at interfaces.
    Packets(PacketsSeen),
    /// Traffic at interfaces.
    Interface(InterfaceSeen),
    /// Datagrams of UDP.
    UdpFlows(DatagramsSeen),
    /// Questions to DNS.
    DnsLatency(DnsSeen),
    /// What OpenSSL takes.
    TlsLatency(TlsSeen),
    /// What a package saw.
    Custom(CustomSeen),
}
