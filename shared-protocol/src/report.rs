//! The final answer of a job: verdict, findings, timings, clock quality; one file of findings a probe.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::fault::{ErrorCode, Fault, Status};
use crate::standing::StandingWindow;
use crate::time::UnixMicros;

mod dns;
mod evidence;
mod http;
mod mtr;
mod neighbor;
mod observe;
mod path;
mod ping;
mod pmtu;
mod port;
mod sweep;
mod tcp;
mod traceroute;
mod udp;
mod wire;

pub use dns::{DnsAnswer, DnsEdns, DnsExtendedError, DnsFindings, DnsFlags, DnsOutcome, DnsQuestion, DnsRecord, DnsTry};
pub use evidence::{Cause, ConnectionFacts, Direction, Evidence, FLOWS_MAX, FlowDrops, FlowFacts, KernelFacts, Peer, ProcessorWait, Transport};
pub use http::{
    BodySample, HttpBody, HttpFindings, HttpHop, HttpPhase, HttpPhases, HttpResponse, NotFollowed, NotFollowedReason, PeerCertificate, SampleForm, TlsFacts,
    TlsFailure, TlsVerification,
};
pub use mtr::{HopChange, MtrFindings, MtrHop};
pub use neighbor::{NeighborFindings, NeighborResult, NeighborState, NeighborStatistics};
pub use observe::{
    BlockRequests, BlockSeen, CallTotals, Calls, CallsSeen, ConnectTotals, Connects, ConnectsSeen, CpuShare, CustomEvents, CustomRow, CustomRows, CustomSeen,
    DatagramTotals, DatagramsSeen, Dial, DialOutcome, DialTotals, DialsSeen, DnsSeen, DnsTotals, DroppedPackets, DropsSeen, Execution, ExecutionTotals,
    ExecutionsSeen, FileTotals, FilesSeen, FlowTotals, FlowsSeen, FullSocket, HotFunction, InterfacePackets, InterfaceSeen, InterfaceTraffic, Killed,
    Latencies, Masked, MemorySeen, MemoryTotals, MemoryUser, NetworkInterface, ObserveFindings, Opener, Opening, OverBudget, PackageTried, PacketsSeen,
    ProgramCost, ProgramTried, ProtocolPackets, QuestionSeen, Retransmits, RetransmitsSeen, Seen, SelfCheck, StackUnit, StacksSeen, Talker, TaskStack,
    TcpFlagCounts, TcpFlow, TcpState, TlsCalls, TlsKind, TlsSeen, TlsTotals, Traffic, UdpFlow, WaitsSeen,
};
pub use path::{ExtensionObject, HopAddress, HopReply, IcmpExtensions, InterfaceRole, MplsLabel, PathEnd, QuotedPacket, Rewritten, RouterInterface, TcpReply};
pub use ping::{PingFindings, PingPacket, PingSocket, PingStatistics, RoundTripStatistics};
pub use pmtu::{BlackHole, Claim, PmtuBound, PmtuFindings, PmtuLength, TooBig};
pub use port::{PortFindings, PortReason, PortResult, PortState, PortStatistics, PortSweepColumns, PortSweepFindings, PortSweepTotals};
pub use sweep::{AddressRun, DeniedRun, RoundTripColumns, SweepColumns, SweepDrops, SweepFindings, SweepTotals, UnresolvedName};
pub use tcp::{TcpFindings, TcpInfo, TcpOffer, TcpOptions, TcpOutcome, TcpStatistics, TcpTry};
pub use traceroute::{EndToEnd, HopState, PathCircle, TracerouteFindings, TracerouteHop};
pub use udp::{UdpFindings, UdpOutcome, UdpStatistics, UdpTry};
pub use wire::{WIRE_LOG_BYTES, WireAnswer, WireCame, WireLog, WireRecord, WireSent, WireUnsent};

/// The complete answer of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape; 1.
    pub schema_version: u16,
    /// The probe's verdict.
    pub status: Status,
    /// Whose fault it is that it is not `ok`.
    pub fault: Fault,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ReportError>,
    /// When the probe began, by the agent's wall clock.
    pub started_at_us: UnixMicros,
    /// How long it took, by the agent's monotonic clock, microseconds.
    pub duration_us: u64,
    /// How far the agent's wall clock can be trusted.
    pub clock: ClockQuality,
    /// The addresses that the target's name had, in the order used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved: Vec<IpAddr>,
    /// What the owner's policy said.
    pub policy: PolicyVerdict,
    /// What the probe found; absent where it could not begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Findings>,
    /// Whether findings were left out to keep the report within its limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// What was sent and what came back, where that was to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<WireLog>,
    /// What the agent's host has to say about it: of `tcp`, `http` and `dns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
    /// Which standing work it is a window of; absent where it answers a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<StandingWindow>,
}

/// What went wrong in a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportError {
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
    /// The kernel's error number, where it was the kernel that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

/// How far the agent's wall clock can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockQuality {
    /// Agent's wall clock minus the control plane's, microseconds; absent before the first `welcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<i64>,
    /// How long ago that was measured, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

/// What the owner's policy said about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVerdict {
    /// Whether it may run.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: String,
}

/// Yes or no of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Allowed,
    /// It may not.
    Denied,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Findings {
    /// Of a ping.
    Ping(PingFindings),
    /// Of a ping of many targets.
    PingSweep(Box<SweepFindings>),
    /// Of a TCP probe.
    Tcp(TcpFindings),
    /// Of an HTTP probe.
    Http(HttpFindings),
    /// Of a DNS probe.
    Dns(DnsFindings),
    /// Of a traceroute.
    Traceroute(TracerouteFindings),
    /// Of an mtr.
    Mtr(MtrFindings),
    /// Of a search for the path MTU.
    Pmtu(PmtuFindings),
    /// Of a UDP probe.
    Udp(UdpFindings),
    /// Of an observation.
    Observe(Box<ObserveFindings>),
    /// Of a scan of ports.
    Port(PortFindings),
    /// Of a scan of the ports of many targets.
    PortSweep(Box<PortSweepFindings>),
    /// Of asking a link.
    Neighbor(NeighborFindings),
}
