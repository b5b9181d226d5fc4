//! Findings of `dns`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::fault::ErrorCode;
use crate::spec::DnsTransport;

/// Everything a DNS probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsFindings {
    /// What was asked.
    pub question: DnsQuestion,
    /// One entry a try, in order.
    pub tries: Vec<DnsTry>,
    /// The answer; absent where there was none that could be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<DnsAnswer>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsQuestion {
    /// The name, absolute, without trailing dot.
    pub name: String,
    /// Mnemonic of the type.
    pub r#type: String,
    /// Mnemonic of the class.
    pub class: String,
}

/// One try and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsTry {
    /// Number of the try, from 0.
    pub seq: u32,
    /// Who was asked.
    pub server: SocketAddr,
    /// What carried question and answer.
    pub transport: DnsTransport,
    /// What came of it.
    pub outcome: DnsOutcome,
    /// Time from question to answer between the kernel's timestamps, microseconds; absent over TCP, where the stream has none.
    pub rtt_us: Option<u64>,
    /// Time from question to answer by the clock of user space, microseconds.
    pub user_rtt_us: Option<u64>,
    /// Time until the connection stood, microseconds; over TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// Bytes of the question.
    pub query_bytes: u32,
    /// Bytes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u32>,
    /// Messages that were passed over because they answer another question or none: wrong identifier, wrong question, no answer at all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign: u32,
    /// Messages that were passed over because they could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub malformed: u32,
    /// What went wrong, where there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The kernel's error number, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// Who sent that ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsOutcome {
    /// The server answered, whatever it said.
    Answered,
    /// The answer was cut to fit a datagram, and is asked for again over TCP.
    Truncated,
    /// Nothing that answers the question came back in time.
    Unanswered,
    /// The server, its host or the way to it refused the question.
    Unreachable,
    /// The connection ended, or carried what is no DNS, before the answer was whole.
    Broken,
    /// The question did not leave this host.
    Unsent,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// Who answered.
    pub server: SocketAddr,
    /// What carried the answer.
    pub transport: DnsTransport,
    /// Whether the answer over UDP had been cut, so that it was asked for again over TCP.
    pub tc_retried: bool,
    /// Response code by its mnemonic, the upper bits of EDNS included.
    pub rcode: String,
    /// Flags of the header.
    pub flags: DnsFlags,
    /// Time from question to answer between the kernel's timestamps, microseconds.
    pub rtt_us: Option<u64>,
    /// Time from question to answer by the clock of user space, microseconds.
    pub user_rtt_us: Option<u64>,
    /// Time until the connection stood, microseconds; over TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// Bytes of the answer.
    pub bytes: u32,
    /// Records of the answer section.
    pub answer: Vec<DnsRecord>,
    /// Records of the authority section.
    pub authority: Vec<DnsRecord>,
    /// Records of the additional section, without OPT.
    pub additional: Vec<DnsRecord>,
    /// How many records the header says there are in answer, authority and additional section.
    pub counts: (u16, u16, u16),
    /// What the OPT record says (RFC 6891).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edns: Option<DnsEdns>,
    /// Serial of the first SOA record in the answer or authority section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_serial: Option<u32>,
}

/// Flags of a header (RFC 1035 section 4.1.1, RFC 4035 section 3.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "these are the six flags of the header")]
pub struct DnsFlags {
    /// Authoritative answer.
    pub aa: bool,
    /// Truncated.
    pub tc: bool,
    /// Recursion desired.
    pub rd: bool,
    /// Recursion available.
    pub ra: bool,
    /// Authentic data.
    pub ad: bool,
    /// Checking disabled.
    pub cd: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// Owner.
    pub name: String,
    /// Mnemonic of the type.
    pub r#type: String,
    /// Mnemonic of the class.
    pub class: String,
    /// Time to live, seconds.
    pub ttl: u32,
    /// The data as a zone file has it; in the form of RFC 3597 where the type has no other here.
    pub rdata: String,
    /// The data as it came, names uncompressed, in base64; absent where it is longer than 4,096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
}

/// What an OPT record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsEdns {
    /// Version.
    pub version: u8,
    /// Longest datagram that the server takes, bytes.
    pub udp_size: u16,
    /// DNSSEC records included.
    pub r#do: bool,
    /// The server's identifier (RFC 5001), as text where it is text, else in hexadecimal with `0x` before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsid: Option<String>,
    /// Extended errors (RFC 8914).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ede: Vec<DnsExtendedError>,
}

/// An extended error (RFC 8914).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsExtendedError {
    /// Its number.
    pub code: u16,
    /// What the server says about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
