//! The HTTP API as the commands use it: one request, one answer or one error; every wait and every answer has a bound.

use std::time::Duration;

use control_api::page::Page;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Connection;
use crate::error::{ClientError, Problem};

/// The API of one control plane, for one key.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// Prepares requests; nothing is sent yet.
    pub(crate) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let bearer = format!("Bearer {}", connection.key.expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| ClientError::Setup("the API key cannot be sent in a header"))?;
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .user_agent(concat!("probectl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would take the key to another place.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| ClientError::Setup("no TLS configuration can be made"))?;
        Ok(Self {
            http,
            base: connection.url.clone(),
        })
    }

    /// Reads one thing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.send(self.request(Method::GET, path, query)?.timeout(REQUEST_TIMEOUT)).await
    }

    /// Reads a list to its end or to `limit` items, whichever comes first.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)], page: u32, limit: u32) -> Result<Listed<T>, ClientError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let page = page.to_string();
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut parameters = query.to_vec();
            parameters.push(("limit", &page));
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let next: Page<T> = self.get(path, &parameters).await?;
            let empty = next.items.is_empty();
            items.extend(next.items);
            let more = next.next_cursor.is_some() || items.len() > limit;
            if items.len() >= limit || next.next_cursor.is_none() || empty {
                items.truncate(limit);
                return Ok(Listed { items, more });
            }
            cursor = next.next_cursor;
        }
    }

    /// Asks for something to be made or done.
    pub(crate) async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(&self, path: &[&str], body: &B) -> Result<T, ClientError> {
        self.send(self.request(Method::POST, path, &[])?.json(body).timeout(REQUEST_TIMEOUT)).await
    }

    /// Asks for a measurement. The idempotency key keeps a request that was sent twice on the way from being measured twice.
    pub(crate) async fn create<B: Serialize + ?Sized, T: DeserializeOwned>(&self, path: &[&str], body: &B) -> Result<T, ClientError> {
        let key = uuid::Uuid::new_v4().hyphenated().to_string();
        let request = self.request(Method::POST, path, &[])?.header("idempotency-key", key);
        self.send(request.json(body).timeout(REQUEST_TIMEOUT)).await
    }

    /// Changes something, if it is still at the revision at which it was read.
    pub(crate) async fn patch<B: Serialize + ?Sized, T: DeserializeOwned>(&self, path: &[&str], body: &B, revision: u64) -> Result<T, ClientError> {
        let request = self.request(Method::PATCH, path, &[])?.header(IF_MATCH, format!("\"{revision}\""));
        self.send(request.json(body).timeout(REQUEST_TIMEOUT)).await
    }

    /// Asks for something to be done that has no body and no answer worth reading.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        let sent = self.request(Method::DELETE, path, &[])?.timeout(REQUEST_TIMEOUT).send().await;
        let response = sent.map_err(|error| self.transport_error(&error))?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(self.problem(response).await)
        }
    }

    /// Opens a stream of events, from the start or after `last_event_id`. The wait for its head is bounded, the stream itself is not.
    pub(crate) async fn events(&self, path: &[&str], last_event_id: Option<&str>) -> Result<Response, ClientError> {
        let mut request = self.request(Method::GET, path, &[])?.header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, request.send()).await.map_err(|_| ClientError::Timeout)?;
        let response = sent.map_err(|error| self.transport_error(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.problem(response).await)
        }
    }

    /// Opens an answer of any length that is read line by line. The wait for its head is bounded, and each wait for more of it.
    pub(crate) async fn lines(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Lines, ClientError> {
        let request = self.request(Method::GET, path, query)?;
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, request.send()).await.map_err(|_| ClientError::Timeout)?;
        let response = sent.map_err(|error| self.transport_error(&error))?;
        if response.status().is_success() {
            Ok(Lines { response, pending: Vec::new() })
        } else {
            Err(self.problem(response).await)
        }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, ClientError> {
        let mut url = self.base.clone();
        {
            let mut segments = url.path_segments_mut().map_err(|()| ClientError::Setup("the address has no path"))?;
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = request.send().await.map_err(|error| self.transport_error(&error))?;
        if !response.status().is_success() {
            return Err(self.problem(response).await);
        }
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|_| ClientError::Unreadable("it is not what the API describes"))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.transport_error(&error))? {
            if body.len() + piece.len() > BODY_BYTES {
                return Err(ClientError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    async fn problem(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let retry_after_s = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = tokio::time::timeout(REQUEST_TIMEOUT, self.body(response)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        ClientError::Problem(Problem::read(status, retry_after_s, &body))
    }

    fn transport_error(&self, error: &reqwest::Error) -> ClientError {
        if error.is_connect() {
            ClientError::Connect(self.base.origin().ascii_serialization())
        } else if error.is_timeout() {
            ClientError::Timeout
        } else {
            ClientError::Broken
        }
    }
}

/// An answer that is read line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    response: Response,
    pending: Vec<u8>,
}

impl Lines {
    /// The next line without its end; none at the end of the answer.
    pub(crate) async fn next(&mut self, client: &Client) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()));
            }
            if self.pending.len() > BODY_BYTES {
                return Err(ClientError::TooLong);
            }
            let read = tokio::time::timeout(REQUEST_TIMEOUT, self.response.chunk())
                .await
                .map_err(|_| ClientError::Timeout)?;
            match read.map_err(|error| client.transport_error(&error))? {
                Some(piece) => self.pending.extend_from_slice(&piece),
                None if self.pending.is_empty() => return Ok(None),
                None => self.pending.push(b'\n'),
            }
        }
    }
}

impl Problem {
    /// Reads a problem with whatever it has, so that one of a newer control plane, or of a proxy between, is still told.
    fn read(status: u16, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            status,
            code: text("code"),
            detail: text("detail")
                .or_else(|| text("title"))
                .unwrap_or_else(|| format!("the control plane answered with status {status}")),
            field: text("field").filter(|field| !field.is_empty()),
            request_id: text("request_id"),
            retry_after_s,
        }
    }
}

/// The items of a list that were wanted.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// Longest time to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time from a request to the end of its answer; of a stream, to its head.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer: a page of the longest reports.
const BODY_BYTES: usize = 64 * 1024 * 1024;
/// Items asked for in one page.
pub(crate) const PAGE: u32 = 200;
