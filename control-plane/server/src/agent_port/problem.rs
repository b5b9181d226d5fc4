//! Problems of the agent port (RFC 9457): the same form as the API's, with sentences for an agent's operator.

use bytes::Bytes;
use control_api::problem::{PROBLEM_CONTENT_TYPE, Problem};
use control_services::ServiceError;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use shared_protocol::fault::ProblemCode;

use crate::http::problem_catalogue::{name, title};

/// A refusal; the connection ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    code: ProblemCode,
    detail: String,
    field: Option<String>,
    retry_after_s: Option<u32>,
    allow: Option<&'static str>,
}

impl Refused {
    pub(super) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            retry_after_s: None,
            allow: None,
        }
    }

    /// A body or header that cannot be read; names the field where there is one.
    pub(super) fn malformed(field: Option<String>, detail: impl Into<String>) -> Self {
        Self {
            field,
            ..Self::new(ProblemCode::MalformedRequest, detail)
        }
    }

    pub(super) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(ProblemCode::MethodNotAllowed, "this path knows another method; `Allow` names it")
        }
    }

    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let status = StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Problem {
            kind: format!("/docs#problem-{}", name(self.code)),
            title: title(self.code).to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail,
            field: self.field,
            estimated_start: None,
            request_id: None,
        };
        let mut response = Response::new(Full::from(serde_json::to_vec(&problem).unwrap_or_default()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<ServiceError> for Refused {
    /// The form of what an agent sends is not negotiable, so a field that is not acceptable is a malformed request here.
    fn from(error: ServiceError) -> Self {
        if let ServiceError::Invalid(invalid) = error {
            return Self::malformed(Some(invalid.field), invalid.message);
        }
        if error.code() == ProblemCode::Unauthenticated {
            return Self::new(
                ProblemCode::Unauthenticated,
                "the join token is not valid: it is unknown, used, expired or revoked; make a new one",
            );
        }
        Self {
            retry_after_s: error.retry_after_s(),
            ..Self::new(error.code(), error.to_string())
        }
    }
}
