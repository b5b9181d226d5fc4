//! `probe-agent check`: climbs towards the control plane step by step, and says at which step it stops and why.

use std::io::{self, Write};
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::clock;
use crate::exit::Failure;
use crate::known::KnownFile;
use crate::link::dial::{self, CONNECT_TIMEOUT, DialError};
use crate::link::http::{self, HttpError, Refusal, ServerDate};
use crate::link::identity::{self, Identity, IdentityError};
use crate::link::verifier::{issuer_of, pin_of};
use crate::state_dir::StateDir;

/// Why the ladder ended before its top; the step was printed already.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no usable identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A step failed.
    #[error("the check failed at the step {0}")]
    Step(&'static str),
    /// The steps could not be printed.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl CheckError {
    /// What it means for the exit code.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Identity(_) | Self::Step(_) | Self::Print(_) => Failure::Failed,
        }
    }
}

/// Prints each step. It opens no session: a running agent on this host notices nothing.
///
/// # Errors
/// [`CheckError`] with the step that failed.
pub async fn check(state: &StateDir, out: &mut impl Write) -> Result<(), CheckError> {
    let (identity, key) = identity::load(state)?;
    writeln!(out, "agent {} ({}), control plane {}", identity.name, identity.agent, identity.endpoint)?;
    let tls = identity.tls(&key)?;
    Box::pin(climb(&identity, tls, &mut Ladder { out })).await
}

/// Prints what came of each file that says what is known of addresses, and gives the first failure: the agent runs without it, so it is no
/// reason to look no further.
///
/// # Errors
/// [`CheckError::Print`].
pub fn look_at(files: &[KnownFile], out: &mut impl Write) -> Result<Option<CheckError>, CheckError> {
    let mut ladder = Ladder { out };
    let mut failure = None;
    for file in files {
        match file.outcome {
            Ok(_) => ladder.good(file.key.as_str(), &file.to_string())?,
            Err(_) => failure = failure.or(Some(ladder.failed(file.key.as_str(), &file.to_string()))),
        }
    }
    Ok(failure)
}

struct Ladder<'a, W> {
    out: &'a mut W,
}

impl<W: Write> Ladder<'_, W> {
    fn good(&mut self, step: &str, what: &str) -> io::Result<()> {
        writeln!(self.out, "ok    {step:<10} {what}")
    }

    fn failed(&mut self, step: &'static str, why: &str) -> CheckError {
        match writeln!(self.out, "FAIL  {step:<10} {why}") {
            Ok(()) => CheckError::Step(step),
            Err(error) => CheckError::Print(error),
        }
    }
}

async fn climb<W: Write>(identity: &Identity, tls: Arc<ClientConfig>, ladder: &mut Ladder<'_, W>) -> Result<(), CheckError> {
    let endpoint = &identity.endpoint;
    let addresses = match dial::resolve(endpoint).await {
        Ok(addresses) => addresses,
        Err(error) => return Err(ladder.failed("dns", &error.to_string())),
    };
    let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    ladder.good("dns", &format!("{} is {}", endpoint.host(), shown.join(", ")))?;

    let stream = match within(endpoint, dial::connect(endpoint, &addresses)).await {
        Ok(stream) => stream,
        Err(error) => return Err(ladder.failed("tcp", &error.to_string())),
    };
    ladder.good("tcp", &format!("connected to {}", stream.peer_addr()?))?;

    let stream = match within(endpoint, dial::handshake(endpoint, stream, tls)).await {
        Ok(stream) => stream,
        Err(error) => return Err(ladder.failed("tls", &error.to_string())),
    };
    ladder.good("tls", &describe(&stream))?;

    let upgrade = async { Ok(http::upgrade(stream, endpoint, clock::wall()).await?) };
    let date = match within(endpoint, upgrade).await {
        Ok((mut socket, date)) => {
            // No frame was sent; what becomes of the goodbye does not matter.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), socket.close(None)).await;
            date
        }
        Err(DialError::Http(HttpError::Refused(Refusal::Problem { detail, .. }))) => {
            ladder.good("websocket", "the control plane answered")?;
            return Err(ladder.failed("auth", &detail));
        }
        Err(error) => return Err(ladder.failed("websocket", &error.to_string())),
    };
    ladder.good("websocket", "upgraded")?;
    ladder.good("auth", "the certificate was accepted")?;
    ladder.good("clock", &clock_text(date))?;
    Ok(())
}

async fn within<T>(endpoint: &crate::link::endpoint::Endpoint, step: impl Future<Output = Result<T, DialError>>) -> Result<T, DialError> {
    tokio::time::timeout(CONNECT_TIMEOUT, step).await.unwrap_or_else(|_| {
        Err(DialError::Timeout {
            endpoint: endpoint.to_string(),
        })
    })
}

fn describe(stream: &TlsStream<TcpStream>) -> String {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let issuer = chain.first().map_or_else(|| "nobody".to_owned(), issuer_of);
    let root = chain.last().and_then(pin_of).map_or_else(String::new, |pin| format!(", root {pin}"));
    format!("TLS 1.3, issued by \"{issuer}\"{root}")
}

fn clock_text(date: ServerDate) -> String {
    let Some(server) = date.0 else {
        return "the control plane did not tell its time here; a session will".to_owned();
    };
    let seconds = (clock::wall().micros() - server.micros()) / 1_000_000;
    if seconds.abs() <= 120 {
        format!("within {} s of the control plane's", seconds.abs().max(1))
    } else {
        format!("{seconds} s off the control plane's; measurements go on, but set the clock right")
    }
}

#[cfg(test)]
mod tests {
    use crate::config::KnownSettings;
    use crate::known;

    use super::*;

    #[test]
    fn kno_09_the_check_says_what_came_of_each_file_and_fails_by_the_first_that_is_of_no_use() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("good"), "8.0.0.0\t8\t64500\n").unwrap();
        let settings = KnownSettings {
            as_numbers: vec![folder.path().join("good")],
            vendors: vec![folder.path().join("missing")],
        };
        let mut out = Vec::new();
        let failure = look_at(&known::load(&settings).files, &mut out).unwrap();
        assert!(matches!(failure, Some(CheckError::Step("vendors"))), "{failure:?}");
        let said = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].starts_with("ok    as_numbers ") && lines[0].contains("/good: 1 prefixes, written 2"),
            "{said}"
        );
        assert!(
            lines[1].starts_with("FAIL  vendors ") && lines[1].contains("(file_unreadable); the agent runs without it"),
            "{said}"
        );
        assert!(look_at(&[], &mut Vec::new()).unwrap().is_none());
    }
}
