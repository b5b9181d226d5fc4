//! `POST /agent/v1/enrol`: nobody is known yet, so the body is small, soon, and strictly read.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use control_services::fleet::{EnrolRequest, Fleet};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use shared_protocol::fault::ProblemCode;
use shared_protocol::limits::ENROL_BODY_BYTES;
use shared_protocol::strict_json;

use super::problem::Refused;

/// Reads the request, enrols, answers.
pub(super) async fn answer(fleet: &Fleet, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Full<Bytes>>, Refused> {
    let body = read(request.into_body()).await?;
    let enrolled = fleet.enrol(parse(&body)?, peer).await?;
    let body = serde_json::to_vec(&enrolled).map_err(|_| Refused::new(ProblemCode::Internal, "the answer could not be written"))?;
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

pub(super) async fn read(body: Incoming) -> Result<Bytes, Refused> {
    let too_large = || Refused::new(ProblemCode::BodyTooLarge, format!("a request of an agent has at most {ENROL_BODY_BYTES} bytes"));
    if body.size_hint().lower() > u64::try_from(ENROL_BODY_BYTES).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, ENROL_BODY_BYTES).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refused::malformed(None, "the body ended early")),
        Err(_) => Err(Refused::new(ProblemCode::RequestTimeout, "the body did not arrive within 5 seconds")),
    }
}

/// What was sent is not repeated in the refusal: it may hold a token.
fn parse(body: &[u8]) -> Result<EnrolRequest, Refused> {
    let not_json = || Refused::malformed(None, "the body must be one JSON object, each member named once");
    let text = std::str::from_utf8(body).map_err(|_| not_json())?;
    let value = strict_json::parse(text).map_err(|_| not_json())?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = (path != ".").then_some(path);
        Refused::malformed(
            field,
            "the body must have exactly token, csr, hostname, version and instance, each a text in its form",
        )
    })
}

/// Longest time for the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
