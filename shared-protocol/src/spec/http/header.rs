//! Headers that a request may carry beside those that the agent sets.

use serde::Serialize;
use serde_json::Value;

use crate::spec::fields::{Fields, InvalidField};

/// A header of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpHeader {
    /// Its name, lower-case.
    pub name: String,
    /// Its value: visible ASCII, spaces and tabs.
    pub value: String,
}

pub(super) fn read(fields: &mut Fields) -> Result<Vec<HttpHeader>, InvalidField> {
    let Some(value) = fields.take("headers") else {
        return Ok(Vec::new());
    };
    let refusal = |message: &str| InvalidField::new("headers", message);
    let Value::Array(entries) = value else {
        return Err(refusal("must be a list of {\"name\", \"value\"}"));
    };
    if entries.len() > HEADERS {
        return Err(refusal("must be at most 128"));
    }
    let headers = entries.into_iter().map(read_one).collect::<Result<Vec<_>, _>>().map_err(refusal)?;
    if headers.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>() > HEADERS_BYTES {
        return Err(refusal("must be at most 32768 bytes together"));
    }
    Ok(headers)
}

fn read_one(entry: Value) -> Result<HttpHeader, &'static str> {
    let shape = "each must be an object of \"name\" and \"value\", both strings";
    let Value::Object(mut members) = entry else {
        return Err(shape);
    };
    let (Some(Value::String(name)), Some(Value::String(value)), true) = (members.remove("name"), members.remove("value"), members.is_empty()) else {
        return Err(shape);
    };
    let name = name.to_ascii_lowercase();
    if !(1..=NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_token) {
        return Err("a name must be 1 to 64 letters, digits and - _ . ! # $ % & ' * + ^ ` | ~");
    }
    if value.len() > VALUE_BYTES {
        return Err("a value must be at most 8192 bytes");
    }
    if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Err("a value must be visible ASCII, spaces and tabs");
    }
    if FRAMING.contains(&name.as_str()) || name.starts_with("proxy-") {
        return Err("host, connection, content-length, expect, keep-alive, te, trailer, transfer-encoding, upgrade and proxy-* are set by the agent alone");
    }
    if CREDENTIALS.contains(&name.as_str()) {
        return Err("authorization and cookie cannot be sent: a measurement is stored as it was asked for, and is no place for a secret");
    }
    Ok(HttpHeader { name, value })
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Headers that say where a message ends or whom it is for (RFC 9110 section 7.6.1, RFC 9112 section 6).
const FRAMING: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];
const HEADERS: usize = 128;
const HEADERS_BYTES: usize = 32 * 1024;
const NAME_BYTES: usize = 64;
const VALUE_BYTES: usize = 8 * 1024;
