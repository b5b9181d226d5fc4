//! Problems: what every refused request is answered with (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use control_api::problem::{PROBLEM_CONTENT_TYPE, Problem};
use control_api::timestamp::Timestamp;
use control_services::ServiceError;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use shared_protocol::fault::ProblemCode;

use super::problem_catalogue::{name, title};

/// Why a request was refused. The edge writes it out, with the request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    code: ProblemCode,
    detail: Cow<'static, str>,
    /// The field it is about, where it is about one.
    pub(crate) field: Option<String>,
    retry_after_s: Option<u32>,
    estimated_start: Option<Timestamp>,
}

impl Refused {
    /// A refusal with a sentence that says what to do.
    pub(crate) fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            retry_after_s: None,
            estimated_start: None,
        }
    }

    /// A field is not acceptable.
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        ServiceError::invalid(&field.into(), detail).into()
    }

    /// No such thing, or not for this tenant.
    pub(crate) fn not_found() -> Self {
        ServiceError::NotFound.into()
    }

    /// The same refusal, with when to try again.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    /// The stable code.
    #[cfg(test)]
    pub(crate) const fn code(&self) -> ProblemCode {
        self.code
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The whole answer.
    pub(crate) fn render(self, request_id: &str) -> Response {
        let status = self.status();
        let retry_after_s = self.retry_after_s;
        let closes = matches!(self.code, ProblemCode::RequestTimeout | ProblemCode::BodyTooLarge);
        let problem = Problem {
            kind: format!("/docs#problem-{}", name(self.code)),
            title: title(self.code).to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail.into_owned(),
            field: self.field,
            estimated_start: self.estimated_start,
            request_id: Some(request_id.to_owned()),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if closes {
            // The rest of the body is not read, so the connection cannot carry another request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        let code = error.code();
        // One text for every way to be nobody, and for every way to be nothing, whichever service noticed.
        let detail = if code == ProblemCode::Unauthenticated {
            ServiceError::Unauthenticated.to_string()
        } else if code == ProblemCode::NotFound {
            ServiceError::NotFound.to_string()
        } else {
            error.to_string()
        };
        Self {
            code,
            // What is about the whole document has no field to name.
            detail: detail.strip_prefix(": ").map(str::to_owned).unwrap_or(detail).into(),
            field: error.field().map(str::to_owned),
            retry_after_s: error.retry_after_s(),
            estimated_start: error.estimated_start(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_core::authorize::Denied;
    use http_body_util::BodyExt;
    use shared_protocol::spec::InvalidField;

    async fn rendered(refused: Refused) -> String {
        let response = refused.render("r-1");
        let headers: Vec<String> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        format!("{status}\n{}\n{}", headers.join("\n"), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn problems_look_like_this() {
        let all = [
            Refused::from(ServiceError::Unauthenticated),
            Refused::from(ServiceError::Denied(Denied::Unauthenticated)),
            Refused::from(ServiceError::Denied(Denied::MissingScope("admin"))),
            Refused::from(ServiceError::Denied(Denied::ForeignTenant)),
            Refused::from(ServiceError::Invalid(InvalidField::new("spec.count", "must be 1 to 100"))),
            Refused::from(ServiceError::TooManyOpenJobs { retry_after_s: 10 }),
            Refused::from(ServiceError::Unavailable { retry_after_s: 2 }),
            Refused::from(ServiceError::Internal),
            Refused::new(ProblemCode::BodyTooLarge, "too long"),
        ];
        let mut text = Vec::new();
        for refused in all {
            text.push(rendered(refused).await);
        }
        insta::assert_snapshot!(text.join("\n\n"));
    }

    #[test]
    fn every_way_to_be_nobody_reads_the_same() {
        assert_eq!(
            Refused::from(ServiceError::Unauthenticated),
            Refused::from(ServiceError::Denied(Denied::Unauthenticated))
        );
        assert_eq!(
            Refused::from(ServiceError::NotFound),
            Refused::from(ServiceError::Denied(Denied::ForeignTenant))
        );
    }
}
