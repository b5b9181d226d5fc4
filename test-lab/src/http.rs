//! A client that costs little beside what it measures: connections are kept, nothing is retried, nothing is decoded that nobody asks for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// One tenant's way to a control plane; clones share the connections.
#[derive(Clone)]
pub struct Tenant {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Seconds after which to come back, where the answer says so.
    pub retry_after: Option<u64>,
    body: Bytes,
}

impl Tenant {
    /// A tenant with a key at `http://host:port`.
    pub fn new(base: &str, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {key}"),
        }
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        whole(self.send(Method::GET, path, None, Bytes::new()).await?).await
    }

    /// Sends a body; the idempotency key makes it harmless to send it again.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn post(&self, path: &str, idempotency_key: Option<&str>, body: &Value) -> Result<Answer> {
        whole(self.send(Method::POST, path, idempotency_key, body.to_string().into()).await?).await
    }

    /// Opens a live stream.
    ///
    /// # Errors
    /// When it is not granted.
    pub async fn follow(&self, path: &str) -> Result<Events> {
        let response = self.send(Method::GET, path, None, Bytes::new()).await?;
        ensure!(response.status().is_success(), "{path} answered {}", response.status());
        Ok(Events {
            body: response.into_body(),
            text: String::new(),
        })
    }

    async fn send(&self, method: Method, path: &str, idempotency_key: Option<&str>, body: Bytes) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", &self.authorization);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let answering = self.client.request(request.body(Full::from(body))?);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answering).await;
        answer
            .with_context(|| format!("{path} was not answered in time"))?
            .with_context(|| format!("ask for {path}"))
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} with a body that is not JSON", self.status))
    }

    /// The body as JSON of an answer that grants what was asked.
    ///
    /// # Errors
    /// When it refuses, or is not JSON.
    pub fn granted(&self) -> Result<Value> {
        ensure!(self.status.is_success(), "answered {}: {}", self.status, String::from_utf8_lossy(&self.body));
        self.json()
    }
}

async fn whole(response: Response<Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let read = tokio::time::timeout(ANSWER_TIMEOUT, body.collect()).await;
    let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Answer {
        status: head.status,
        retry_after,
        body: read.context("the answer stopped")?.context("read the answer")?.to_bytes(),
    })
}

/// A live stream of Server-Sent Events.
pub struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The next event's name and data; none at the end of the stream.
    ///
    /// # Errors
    /// When the stream breaks, or says nothing for too long.
    pub async fn next(&mut self) -> Result<Option<(String, String)>> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                if let Some(parsed) = parse(&event) {
                    return Ok(Some(parsed));
                }
                continue;
            }
            let frame = tokio::time::timeout(EVENT_TIMEOUT, self.body.frame()).await.context("the stream is silent")?;
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.context("read the stream")?.into_data() {
                        self.text.push_str(std::str::from_utf8(&data).context("the stream is not text")?);
                    }
                }
            }
        }
    }
}

/// None for a comment.
fn parse(event: &str) -> Option<(String, String)> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    Some((field("event: ")?.to_owned(), field("data: ")?.to_owned()))
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time to the head of an answer, and then to its end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(65);
/// Longest silence of a stream; the control plane says each 15 seconds that it lives.
const EVENT_TIMEOUT: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_and_a_comment_is_not_one() {
        assert_eq!(
            parse("id: 1\nevent: job\ndata: {\"a\":1}\n\n"),
            Some(("job".to_owned(), "{\"a\":1}".to_owned()))
        );
        assert_eq!(parse(": still here\n\n"), None);
    }
}
