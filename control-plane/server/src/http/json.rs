//! JSON bodies: bounded in size and time, strict in form, and every field that is not acceptable named by its path.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_protocol::fault::ProblemCode;
use shared_protocol::limits::HTTP_BODY_BYTES;
use shared_protocol::strict_json;

use super::problem::Refused;

/// A body read as `T`.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        check_headers(request.headers())?;
        let body = receive(request.into_body()).await?;
        let text = std::str::from_utf8(&body).map_err(|_| Refused::new(ProblemCode::MalformedRequest, "the body is not UTF-8"))?;
        let value = strict_json::parse(text).map_err(|error| Refused::new(ProblemCode::MalformedRequest, format!("the body is {error}")))?;
        read(value).map(Self)
    }
}

/// A body of JSON as it came, for whoever has a reader of its own.
#[derive(Debug)]
pub(crate) struct JsonText(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        check_headers(request.headers())?;
        receive(request.into_body()).await.map(Self)
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refused> {
    let unsupported = |detail: &'static str| Err(Refused::new(ProblemCode::UnsupportedMediaType, detail));
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = parameters.trim().to_ascii_lowercase();
    if !kind.trim().eq_ignore_ascii_case("application/json") || !matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"") {
        return unsupported("the body must be JSON; send `Content-Type: application/json`");
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return unsupported("the body must come without content encoding");
    }
    let announced: Option<usize> = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    if announced.is_some_and(|length| length > HTTP_BODY_BYTES) {
        return Err(too_large());
    }
    Ok(())
}

async fn receive(body: Body) -> Result<Bytes, Refused> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, HTTP_BODY_BYTES).collect()).await;
    match collected {
        Err(_) => Err(Refused::new(ProblemCode::RequestTimeout, "the body did not arrive within 10 seconds")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refused::new(ProblemCode::MalformedRequest, "the body did not arrive whole")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

fn too_large() -> Refused {
    Refused::new(ProblemCode::BodyTooLarge, "the body is longer than 1 MiB")
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    // Without this a list of the right length would be read as the members in their order.
    if !value.is_object() {
        return Err(Refused::field("", "the body must be a JSON object"));
    }
    if let Some(path) = null_in(&value) {
        return Err(Refused::field(path, "must not be null; leave it out instead"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let message = error.inner().to_string();
        let parent = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        Refused::field(offender(&parent, &message), message)
    })
}

/// The path of the first null: no field of any request means something by being null.
fn null_in(value: &Value) -> Option<String> {
    let step = |name: String, inner: &Value| {
        let path = null_in(inner)?;
        let joint = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        Some(format!("{name}{joint}{path}"))
    };
    match value {
        Value::Null => Some(String::new()),
        Value::Array(elements) => elements.iter().enumerate().find_map(|(index, inner)| step(format!("[{index}]"), inner)),
        Value::Object(members) => members.iter().find_map(|(name, inner)| step(name.clone(), inner)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The path ends at the object; the name of an unknown or missing member stands only in serde's own sentence.
fn offender(parent: &str, message: &str) -> String {
    let named = ["unknown field `", "missing field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split_once('`'));
    match named {
        Some((name, _)) if parent.is_empty() => name.to_owned(),
        // The path of an unknown member may already name it.
        Some((name, _)) if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        Some((name, _)) => format!("{parent}.{name}"),
        None => parent.to_owned(),
    }
}

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused matters")]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        #[serde(default)]
        list: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused matters")]
    struct Inner {
        count: u32,
    }

    #[test]
    fn api_04_the_field_that_is_not_acceptable_is_named_by_its_path() {
        for (text, path) in [
            (r#"{"name":1}"#, "name"),
            ("{}", "name"),
            (r#"{"name":"a","tenant_id":1}"#, "tenant_id"),
            (r#"{"name":"a","inner":{"count":"1"}}"#, "inner.count"),
            (r#"{"name":"a","inner":{"count":1,"tier":"x"}}"#, "inner.tier"),
            (r#"{"name":"a","inner":{}}"#, "inner.count"),
            (r#"{"name":"a","inner":null}"#, "inner"),
            (r#"{"name":"a","inner":{"count":-1}}"#, "inner.count"),
            (r#"{"name":"a","list":[1,null]}"#, "list[1]"),
            (r#"{"name":"a","list":[1,300]}"#, "list[1]"),
            (r#"{"name":"a","labels":{"k":1}}"#, "labels.k"),
            ("[]", ""),
        ] {
            let value = strict_json::parse(text).unwrap();
            let Err(refused) = read::<Outer>(value) else { panic!("{text} was read") };
            assert_eq!(refused.field.as_deref(), Some(path), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn api_11_a_body_that_does_not_arrive_is_refused_408() {
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = receive(endless).await.unwrap_err();
        assert_eq!(refused.code(), ProblemCode::RequestTimeout);
    }

    #[tokio::test]
    async fn api_01_a_body_without_announced_length_is_cut_at_its_bound() {
        let chunk = Bytes::from(vec![b' '; 64 * 1024]);
        let long = Body::from_stream(futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone())));
        assert_eq!(receive(long).await.unwrap_err().code(), ProblemCode::BodyTooLarge);
    }
}
