//! How the API documents the options of an HTTP probe.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AddressFamilySchema;

/// Options of an HTTP probe: a request and the redirects it leads to (RFC 9110). An answer with a status of 400 or more is a failure of the target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = HttpOptions)]
pub struct HttpOptions {
    /// What to fetch: `http` or `https`, without user and fragment. The agent resolves the host; each of its addresses, and of those that redirects lead to, has to be allowed by the agent's owner.
    #[schema(min_length = 1, max_length = 2_048, example = "http://127.0.0.1/")]
    pub url: String,
    /// Which addresses of a name may be used.
    #[serde(default)]
    #[schema(default = "auto")]
    pub af: AddressFamilySchema,
    /// The request's method; a tier may include some of them only.
    #[serde(default)]
    #[schema(default = "GET")]
    pub method: HttpMethodSchema,
    /// Headers of the request, together at most 32,768 bytes. Those that frame a message (`host`, `connection`, `content-length`, `transfer-encoding`, `proxy-*` and their like) and those that carry a secret (`authorization`, `cookie`) are refused.
    #[serde(default)]
    #[schema(max_items = 128, default = json!([]))]
    pub headers: Vec<HttpHeaderSchema>,
    /// The request's body, at most 64,000 bytes; only with POST, PUT, PATCH or DELETE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64_000, nullable = false)]
    pub body: Option<String>,
    /// Which version of HTTP to speak.
    #[serde(default)]
    #[schema(default = "auto")]
    pub version: HttpVersionSchema,
    /// Redirects to follow. One from `https` to `http`, to another scheme, or in a circle is never followed.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10, default = 5)]
    pub follow: u32,
    /// Bytes of the decoded body that the report keeps.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 131_072, default = 10_240)]
    pub body_keep_bytes: u32,
    /// Bytes of the body that are read at most, on the wire and decoded.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 4_194_304, default = 4_194_304)]
    pub body_max_bytes: u32,
    /// How long everything together may take, milliseconds.
    #[serde(default)]
    #[schema(minimum = 500, maximum = 60_000, default = 15_000)]
    pub timeout_ms: u32,
    /// Whether a server that cannot prove its name is spoken to no further. What its certificate is worth is in the report either way.
    #[serde(default)]
    #[schema(default = true)]
    pub verify: bool,
    /// Whether the server may compress the body.
    #[serde(default)]
    #[schema(default = true)]
    pub compression: bool,
    /// The IP address to connect to for the first request, instead of those that the host's name has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub connect_to: Option<String>,
    /// The name that TLS asks for in the first request, instead of the host of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 253, nullable = false)]
    pub sni: Option<String>,
}

/// A header of a request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HttpHeader)]
pub struct HttpHeaderSchema {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// Its value: visible ASCII, spaces and tabs.
    #[schema(max_length = 8_192)]
    pub value: String,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = HttpMethod)]
pub enum HttpMethodSchema {
    /// Fetch.
    #[default]
    Get,
    /// Fetch without the body.
    Head,
    /// Ask what can be done.
    Options,
    /// Hand in.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

/// Which version of HTTP to speak.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = HttpVersion)]
pub enum HttpVersionSchema {
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
