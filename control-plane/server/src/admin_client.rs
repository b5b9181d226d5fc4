//! Asks the running control plane over its administration socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use control_api::problem::Problem;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;

use crate::admin::SOCKET_NAME;

/// Sends something and returns the JSON of the answer.
pub(crate) async fn post<T: Serialize>(data_dir: &Path, path: &str, body: &T) -> anyhow::Result<String> {
    within_time(exchange(data_dir, Method::POST, path, serde_json::to_vec(body)?)).await
}

/// Asks for something and returns the JSON of the answer.
pub(crate) async fn get(data_dir: &Path, path: &str) -> anyhow::Result<String> {
    within_time(exchange(data_dir, Method::GET, path, Vec::new())).await
}

async fn within_time(exchange: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .context("the control plane did not answer within 30 seconds")?
}

async fn exchange(data_dir: &Path, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<String> {
    let socket = data_dir.join(SOCKET_NAME);
    let stream = UnixStream::connect(&socket).await.with_context(|| {
        format!(
            "connect to {}: is `control-plane run` running on this data directory, and are you root or its user?",
            socket.display()
        )
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "admin")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        // Ends the connection, which is otherwise kept for a next request.
        drop(sender);
        anyhow::Ok((status, String::from_utf8(body.to_vec())?))
    };
    let (answer, ended) = tokio::join!(answer, connection);
    let (status, text) = answer?;
    ended?;
    if status.is_success() {
        return Ok(text);
    }
    match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => bail!(problem.detail),
        Err(_) => bail!("the control plane answered {status}"),
    }
}

/// Longest wait for the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
