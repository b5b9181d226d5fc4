//! The `Idempotency-Key` header: the same key within a day means the same request.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::problem::Refused;
use super::state::AppState;

/// The key, where one was sent.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl FromRequestParts<AppState> for IdempotencyKey {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let key = value.as_bytes();
        let acceptable = values.next().is_none() && !key.is_empty() && key.len() <= KEY_BYTES && key.iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if acceptable => Ok(Self(Some(key.to_owned()))),
            _ => Err(Refused::field(HEADER, "must be one header of 1 to 255 visible ASCII characters")),
        }
    }
}

/// The header's name.
const HEADER: &str = "Idempotency-Key";
/// Longest key, bytes.
const KEY_BYTES: usize = 255;
