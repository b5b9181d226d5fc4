//! Options of `http`: a request, its redirects and its answer (RFC 9110, 9112, 9113).

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::AddressFamily;
use super::fields::{Fields, InvalidField};
use crate::limits::COST_MAX;
use crate::target::{DnsName, Target};
use crate::tier::ProbeLimits;
use crate::url::HttpUrl;

mod header;
mod method;

pub use header::HttpHeader;
pub use method::HttpMethod;

/// What an HTTP probe is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpSpec {
    /// What to fetch.
    pub url: HttpUrl,
    /// Which addresses of a name may be used.
    pub af: AddressFamily,
    /// The request's method.
    pub method: HttpMethod,
    /// Headers of the request beside those that the agent sets, at most 128, together at most 32 KiB.
    pub headers: Vec<HttpHeader>,
    /// The request's body, at most 64,000 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Which version of HTTP to speak.
    pub version: HttpVersion,
    /// Redirects to follow, 0 to 10.
    pub follow: u32,
    /// Bytes of the decoded body that the report keeps, 0 to 131,072.
    pub body_keep_bytes: u32,
    /// Bytes of the body that are read at most, on the wire and decoded, 1 to 4,194,304.
    pub body_max_bytes: u32,
    /// How long everything together may take, 500 to 60,000 milliseconds.
    pub timeout_ms: u32,
    /// Whether a server that cannot prove its name is spoken to no further. The certificate's check is in the report either way.
    pub verify: bool,
    /// Whether the server may compress the body.
    pub compression: bool,
    /// The address to connect to for the first request, instead of those that the name has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<IpAddr>,
    /// The name that TLS asks for in the first request, instead of the host of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<DnsName>,
}

/// Which version of HTTP to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum HttpVersion {
    /// What TLS agrees upon; HTTP/1.1 in the clear.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2; in the clear with prior knowledge.
    #[serde(rename = "2")]
    Http2,
}

impl HttpSpec {
    /// A request with every option at its default.
    pub const fn new(url: HttpUrl) -> Self {
        Self {
            url,
            af: AddressFamily::Auto,
            method: HttpMethod::Get,
            headers: Vec::new(),
            body: None,
            version: HttpVersion::Auto,
            follow: 5,
            body_keep_bytes: 10_240,
            body_max_bytes: BODY_MAX_BYTES,
            timeout_ms: 15_000,
            verify: true,
            compression: true,
            connect_to: None,
            sni: None,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let url = fields.required_text("url")?;
        let defaults = Self::new(HttpUrl::parse(&url).map_err(|error| InvalidField::new("url", error.to_string()))?);
        Self {
            af: fields.family("af")?,
            method: HttpMethod::read(fields)?,
            headers: header::read(fields)?,
            body: fields.optional_text("body", BODY_BYTES)?,
            version: match fields.choice("version", &["auto", "1.1", "2"], Some("auto"))?.as_str() {
                "1.1" => HttpVersion::Http1,
                "2" => HttpVersion::Http2,
                _ => HttpVersion::Auto,
            },
            follow: fields.integer("follow", 0..=10, Some(defaults.follow))?,
            body_keep_bytes: fields.integer("body_keep_bytes", 0..=BODY_KEEP_BYTES, Some(defaults.body_keep_bytes))?,
            body_max_bytes: fields.integer("body_max_bytes", 1..=BODY_MAX_BYTES, Some(defaults.body_max_bytes))?,
            timeout_ms: fields.integer("timeout_ms", 500..=60_000, Some(defaults.timeout_ms))?,
            verify: fields.boolean("verify", defaults.verify)?,
            compression: fields.boolean("compression", defaults.compression)?,
            connect_to: read_address(fields)?,
            sni: read_sni(fields)?,
            url: defaults.url,
        }
        .consistent()
    }

    /// How long everything may take, with a second to spare for what is not the network.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms)) + Duration::from_secs(1)
    }

    /// A fetch mostly takes a second; one that waits longer than usual, or moves much, is worth two.
    pub(super) fn cost(&self) -> u32 {
        let long = self.timeout_ms > 15_000 || self.body_keep_bytes > 65_536;
        let cost = 1 + u32::from(self.follow > 5) + u32::from(long);
        cost.min(COST_MAX)
    }

    /// A request, and one for each redirect, as if all led to the same server.
    pub(super) const fn requests(&self) -> u32 {
        1 + self.follow
    }

    pub(super) fn check_tier(&self, limits: &ProbeLimits) -> Result<(), InvalidField> {
        if !limits.http_methods.iter().any(|method| method == self.method.as_str()) {
            return Err(InvalidField::new("method", format!("your tier allows {}", limits.http_methods.join(", "))));
        }
        let body = self.body.as_ref().map_or(0, String::len);
        if u32::try_from(body).unwrap_or(u32::MAX) > limits.http_body_bytes {
            return Err(InvalidField::new("body", format!("your tier allows at most {} bytes", limits.http_body_bytes)));
        }
        Ok(())
    }

    fn consistent(self) -> Result<Self, InvalidField> {
        if self.body.is_some() && !self.method.changes_things() {
            return Err(InvalidField::new("body", "goes only with POST, PUT, PATCH or DELETE"));
        }
        Ok(self)
    }
}

fn read_address(fields: &mut Fields) -> Result<Option<IpAddr>, InvalidField> {
    let refusal = || InvalidField::new("connect_to", "must be an IP address");
    match fields.optional_text("connect_to", NAME_BYTES)?.map(|text| Target::parse(&text)) {
        None => Ok(None),
        Some(Ok(Target::Address(address))) => Ok(Some(address)),
        Some(_) => Err(refusal()),
    }
}

fn read_sni(fields: &mut Fields) -> Result<Option<DnsName>, InvalidField> {
    let refusal = || InvalidField::new("sni", "must be a host name");
    match fields.optional_text("sni", NAME_BYTES)?.map(|text| Target::parse(&text)) {
        None => Ok(None),
        Some(Ok(Target::Name(name))) => Ok(Some(name)),
        Some(_) => Err(refusal()),
    }
}

/// Most bytes of a body that are read.
const BODY_MAX_BYTES: u32 = 4 * 1024 * 1024;
/// Most bytes of a body that a report keeps.
const BODY_KEEP_BYTES: u32 = 128 * 1024;
/// Longest body of a request, bytes.
const BODY_BYTES: usize = 64_000;
const NAME_BYTES: usize = 253;

#[cfg(test)]
mod tests;
