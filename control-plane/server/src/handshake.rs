//! The opening of a WebSocket (RFC 6455 section 4.2), as both ports look at it.

use http::HeaderMap;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};

/// The key of a request that asks for a WebSocket.
///
/// # Errors
/// What the request lacks.
pub(crate) fn key(headers: &HeaderMap) -> Result<String, &'static str> {
    if !names(headers, UPGRADE, "websocket") || !names(headers, CONNECTION, "upgrade") {
        return Err("this is a WebSocket: send `Connection: upgrade` and `Upgrade: websocket`");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("a WebSocket needs `Sec-WebSocket-Version: 13`");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let key = key.filter(|key| key.len() == KEY_CHARACTERS && key.ends_with("=="));
    key.map(str::to_owned).ok_or("a WebSocket needs a `Sec-WebSocket-Key` of 16 bytes in base64")
}

/// Whether a list header names a token.
pub(crate) fn names(headers: &HeaderMap, header: HeaderName, token: &str) -> bool {
    listed(headers, header).any(|listed| listed.eq_ignore_ascii_case(token))
}

/// The tokens of a list header.
pub(crate) fn listed(headers: &HeaderMap, header: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// 16 bytes in base64 (RFC 6455 section 4.1).
const KEY_CHARACTERS: usize = 24;
