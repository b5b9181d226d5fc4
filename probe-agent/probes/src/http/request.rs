//! The request as it goes out.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::Full;
use shared_protocol::spec::HttpSpec;

use super::conversation::Protocol;
use super::redirect::Request;

impl Request {
    /// The first request of a spec.
    pub(super) fn first(spec: &HttpSpec) -> Self {
        Self {
            url: spec.url.clone(),
            method: spec.method,
            headers: spec.headers.clone(),
            body: spec.body.clone(),
        }
    }
}

/// A request for a protocol. What the spec's headers say counts before what the agent would say by itself.
pub(super) fn message(request: &Request, protocol: Protocol, compression: bool) -> Result<http::Request<Full<Bytes>>, http::Error> {
    let builder = http::Request::builder().method(request.method.as_str());
    let builder = match protocol {
        // RFC 9112 section 3.2.1: the path in the request line, the host in its header. One answer is all that is wanted.
        Protocol::Http1 => builder
            .uri(request.url.path_and_query())
            .header(HOST, request.url.authority())
            .header(CONNECTION, "close"),
        // RFC 9113 section 8.3.1: all of it in pseudo-headers, which are made from this.
        Protocol::Http2 => builder.uri(request.url.to_string()),
    };
    let body = request.body.clone().map(Bytes::from).unwrap_or_default();
    let mut message = builder.body(Full::new(body))?;
    let headers = message.headers_mut();
    for header in &request.headers {
        headers.append(HeaderName::try_from(header.name.as_str())?, HeaderValue::try_from(header.value.as_str())?);
    }
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("ProbeOps/", env!("CARGO_PKG_VERSION"))));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let encodings = if compression { "gzip" } else { "identity" };
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static(encodings));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use shared_protocol::spec::HttpMethod;
    use shared_protocol::url::HttpUrl;

    use super::*;

    #[test]
    fn every_address_that_is_accepted_can_be_asked_for() {
        let visible: String = (0x21_u8..0x7f).map(char::from).filter(|c| !"\"<>\\^`#".contains(*c)).collect();
        for text in [format!("https://a.test:8443/{visible}?{visible}"), format!("http://[::1]/?{visible}")] {
            let request = Request {
                url: HttpUrl::parse(&text).unwrap(),
                method: HttpMethod::Get,
                headers: Vec::new(),
                body: None,
            };
            for protocol in [Protocol::Http1, Protocol::Http2] {
                message(&request, protocol, true).unwrap_or_else(|error| panic!("{text}: {error}"));
            }
        }
    }
}
