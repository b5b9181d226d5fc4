//! The `If-Match` and `ETag` headers of things that count their changes: a change is made only to what its sender has seen.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::Refused;
use super::state::AppState;

/// The revision that a change is meant for; none where any will do.
#[derive(Debug)]
pub(crate) struct IfMatch(pub(crate) Option<u64>);

impl FromRequestParts<AppState> for IfMatch {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        revision(&parts.headers).map(Self)
    }
}

/// The header that names a revision.
pub(crate) fn etag(revision: u64) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

fn revision(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match value.to_str() {
        Ok("*") if values.next().is_none() => Ok(None),
        Ok(text) if values.next().is_none() => Ok(Some(quoted(text).unwrap_or(NEVER))),
        Ok(_) | Err(_) => Err(Refused::field("If-Match", "must be one `ETag` as it came")),
    }
}

fn quoted(text: &str) -> Option<u64> {
    text.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// What we never sent as an `ETag` matches nothing: revisions count from 1.
const NEVER: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<u64>, Refused> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_static(value));
        }
        revision(&headers)
    }

    #[test]
    fn api_08_an_etag_reads_back_and_what_was_never_one_matches_nothing() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(None));
        assert_eq!(read(&[etag(7)[0].1.to_str().unwrap().to_owned().leak()]), Ok(Some(7)));
        for other in ["7", "\"x\"", "W/\"7\"", "\"7\", \"8\"", ""] {
            assert_eq!(read(&[other]), Ok(Some(NEVER)), "{other}");
        }
        assert!(read(&["\"1\"", "\"2\""]).is_err());
    }
}
