//! As much of an HTTP client as asking our own control plane on this machine takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body, if the request succeeded.
    pub(super) fn json(&self) -> Result<Value> {
        if self.status != 200 {
            bail!("the control plane answered {}: {}", self.status, String::from_utf8_lossy(&self.body).trim());
        }
        serde_json::from_slice(&self.body).context("the control plane's answer is not JSON")
    }
}

/// Asks for `path`. Speaks HTTP/1.0, so that the answer comes in one piece and ends with the connection (RFC 1945 section 7.2.2).
pub(super) fn get(address: &str, path: &str, key: Option<&str>) -> Result<Answer> {
    let address: SocketAddr = address.parse().with_context(|| format!("`{address}` is no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let authorization = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).context("asking the control plane")?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_LIMIT)
        .read_to_end(&mut answer)
        .context("reading the control plane's answer")?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let split = answer
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)
        .context("the answer has no end of its head")?;
    let (head, rest) = answer.split_at(split);
    let status = String::from_utf8_lossy(head)
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer has no status")?;
    Ok(Answer {
        status,
        body: rest.iter().skip(HEAD_END.len()).copied().collect(),
    })
}

const HEAD_END: &[u8] = b"\r\n\r\n";
const LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = parse(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!(answer.json().unwrap()["a"], 1);
    }

    #[test]
    fn a_refusal_is_told_with_its_words_and_half_an_answer_is_an_error() {
        assert!(
            parse(b"HTTP/1.1 401 Unauthorized\r\n\r\nno")
                .unwrap()
                .json()
                .unwrap_err()
                .to_string()
                .contains("401: no")
        );
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent").is_err());
    }
}
