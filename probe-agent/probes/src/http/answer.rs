//! The head of an answer as a report tells it: bounded, and as text.

use http::header::{ALT_SVC, HeaderMap, HeaderName};
use http::response::Parts;
use shared_protocol::report::{HttpResponse, TlsFacts};

use crate::text::shown;

/// What is told of a head.
pub(super) fn describe(head: &Parts) -> HttpResponse {
    let mut headers = Vec::new();
    let mut room = HEADERS_BYTES;
    let mut cut: u32 = 0;
    for (name, value) in &head.headers {
        let whole = String::from_utf8_lossy(value.as_bytes());
        let value = shown(&whole, VALUE_CHARACTERS);
        let size = name.as_str().len() + value.len();
        if headers.len() >= HEADERS || size > room {
            cut = cut.saturating_add(1);
            continue;
        }
        cut = cut.saturating_add(u32::from(value.len() < whole.len()));
        room -= size;
        headers.push((name.as_str().to_owned(), value));
    }
    HttpResponse {
        status: head.status.as_u16(),
        version: version(head.version).to_owned(),
        headers,
        headers_cut: cut,
        alt_svc: text(&head.headers, &ALT_SVC),
        server_timing: text(&head.headers, &HeaderName::from_static("server-timing")),
        body: None,
    }
}

/// The name of a version.
pub(super) const fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 => "0.9",
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// Nothing seen of TLS yet.
pub(super) const fn no_tls(sni: Option<String>) -> TlsFacts {
    TlsFacts {
        version: None,
        cipher: None,
        group: None,
        alpn: None,
        sni,
        verification: None,
        chain: Vec::new(),
        chain_length: 0,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(shown(&String::from_utf8_lossy(value.as_bytes()), VALUE_CHARACTERS))
}

/// Headers told of one answer.
const HEADERS: usize = 100;
/// Bytes of their names and values: eleven answers have to fit into a report beside a body.
const HEADERS_BYTES: usize = 12 * 1024;
const VALUE_CHARACTERS: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_16_headers_are_told_up_to_a_bound_and_the_others_counted() {
        let mut response = http::Response::builder()
            .status(200)
            .header("x-odd", http::HeaderValue::from_bytes(b"a\xffb").unwrap());
        for number in 0..500 {
            response = response.header(format!("x-{number}"), "v".repeat(50));
        }
        let told = describe(&response.header("x-long", "v".repeat(5_000)).body(()).unwrap().into_parts().0);
        assert_eq!(told.headers[0], ("x-odd".to_owned(), "a\u{fffd}b".to_owned()));
        let bytes: usize = told.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(told.headers.len() <= HEADERS && bytes <= HEADERS_BYTES);
        assert_eq!(usize::try_from(told.headers_cut).unwrap() + told.headers.len(), 502);
    }
}
