//! Findings of `http`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::TcpInfo;
use crate::spec::HttpMethod;

mod tls;

pub use tls::{PeerCertificate, TlsFacts, TlsFailure, TlsVerification};

/// Everything an HTTP probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpFindings {
    /// One entry a request: the first, then one for each redirect that was followed. The last is the one that counts.
    pub hops: Vec<HttpHop>,
    /// From the first lookup to the end of the last body, microseconds.
    pub total_us: u64,
    /// Where the last answer asks to be followed, and why that was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_followed: Option<NotFollowed>,
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpHop {
    /// What was asked for.
    pub url: String,
    /// The method it was asked with.
    pub method: HttpMethod,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// This host's end of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// How long each part took.
    pub phases: HttpPhases,
    /// The phase in which it ended, where it did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_in: Option<HttpPhase>,
    /// The TLS connection, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// The answer, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<HttpResponse>,
    /// What the kernel knew about the connection at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_info: Option<TcpInfo>,
}

/// How long each part of a request took, microseconds; a part that there was not, or that did not end, is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpPhases {
    /// Resolving the name; absent for an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    /// Opening the connection, from asking the kernel until it stood; what the agent takes before that is in the total only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_us: Option<u64>,
    /// The TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// Handing the request to the kernel, with HTTP/2's preface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_us: Option<u64>,
    /// From then to the head of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// From then to the end of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_us: Option<u64>,
    /// All of it, with what lies between.
    pub total_us: u64,
}

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpPhase {
    /// Resolving the name.
    Dns,
    /// Opening the connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// Sending the request.
    Request,
    /// Waiting for the answer.
    FirstByte,
    /// Reading the body.
    Download,
}

impl HttpPhase {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::FirstByte => "first_byte",
            Self::Download => "download",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// `1.0`, `1.1` or `2`.
    pub version: String,
    /// Its headers in their order, as far as they fit; bytes that are not text are shown as U+FFFD.
    pub headers: Vec<(String, String)>,
    /// Headers left out, or cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub headers_cut: u32,
    /// `Alt-Svc` (RFC 7838).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_svc: Option<String>,
    /// `Server-Timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_timing: Option<String>,
    /// The body; absent where it was not read, as that of a redirect that was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<HttpBody>,
}

/// What is known of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpBody {
    /// Bytes of content that came, as they were compressed.
    pub wire_bytes: u64,
    /// Bytes after decompression.
    pub decoded_bytes: u64,
    /// How it was compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// SHA-256 of the decoded bytes that were read, hexadecimal.
    pub sha256: String,
    /// Whether there was more than was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The beginning of the decoded body.
    pub sample: BodySample,
}

/// The beginning of a body, in pieces of at most 32 KiB so that no string is longer than the wire allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodySample {
    /// How `pieces` hold it.
    pub form: SampleForm,
    /// One after another.
    pub pieces: Vec<String>,
}

/// How a sample holds its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleForm {
    /// As text.
    Text,
    /// In base64.
    Base64,
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFollowed {
    /// Where it leads, as far as it can be shown.
    pub location: String,
    /// Why it was not followed.
    pub reason: NotFollowedReason,
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFollowedReason {
    /// `follow` redirects were followed already.
    TooMany,
    /// It leads to where it came from.
    Loop,
    /// It leads from `https` to `http`.
    Downgrade,
    /// It leads to something that is no address of the web.
    NotHttp,
    /// `follow` is 0.
    NotAsked,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
