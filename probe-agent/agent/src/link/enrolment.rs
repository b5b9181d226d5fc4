//! Enrolment: one round trip in which a single-use token and a key made here become an identity.
//!
//! The order is what makes it safe: everything that can fail on this host is done before the token is spent, and the key is on disk before
//! it is shown, so that a lost answer is fetched again with the same key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared_protocol::close::Disposition;
use shared_protocol::fault::ProblemCode;
use shared_protocol::id::{AgentId, InstanceId, TenantId};
use shared_protocol::limits::{AGENT_TEXT_BYTES, ENROL_PATH};

use super::backoff::{Backoff, BackoffSettings, Next};
use super::bundle::JoinBundle;
use super::dial::{self, CONNECT_TIMEOUT, DialError};
use super::http::{self, HttpError, Refusal};
use super::identity::{AgentKey, IDENTITY_FILE, Identity, IdentityError};
use super::tls;
use super::verifier::pin_of;
use crate::clock;
use crate::state_dir::{ReservedFile, StateDir, StateDirError};

/// Why an enrolment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// This directory holds an identity already.
    #[error("this directory holds the identity of agent {name} ({agent}) already; use another directory, or remove this one to enrol anew")]
    AlreadyEnrolled {
        /// The agent.
        agent: AgentId,
        /// Its name.
        name: String,
    },
    /// The state directory cannot be used; the token was not spent.
    #[error("the token was not used: {0}")]
    State(#[from] StateDirError),
    /// Key or identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS cannot be set up.
    #[error("cannot set TLS up: {0}")]
    Tls(#[from] rustls::Error),
    /// The control plane could not be reached, or is not the one of the bundle.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The answer is not one.
    #[error("the control plane's answer is not usable: {0}")]
    Answer(String),
    /// The answer's certificates do not fit the bundle or the key.
    #[error("the control plane answered with a bundle that does not hold the pinned root")]
    ForeignBundle,
}

impl EnrolmentError {
    /// Whether another attempt with the same token and key may succeed by itself.
    pub fn is_retryable(&self) -> bool {
        self.disposition() != Disposition::Fatal
    }

    /// What is to be done after it.
    fn disposition(&self) -> Disposition {
        match self {
            Self::AlreadyEnrolled { .. } | Self::State(_) | Self::Identity(_) | Self::Tls(_) | Self::Answer(_) | Self::ForeignBundle => Disposition::Fatal,
            Self::Dial(error) => match error {
                DialError::Http(HttpError::Refused(refusal)) => after_refusal(refusal),
                DialError::Untrusted { .. } | DialError::Http(HttpError::Request(_) | HttpError::NotWebSocket) => Disposition::Fatal,
                DialError::Http(HttpError::Broken(_) | HttpError::Body)
                | DialError::Resolve { .. }
                | DialError::Connect { .. }
                | DialError::Handshake { .. }
                | DialError::Timeout { .. } => Disposition::Backoff,
            },
        }
    }
}

/// Enrols this host; what is stored afterwards is a complete identity, or nothing but the key.
///
/// # Errors
/// [`EnrolmentError`], after up to [`ATTEMPTS`] attempts where another one could help.
pub async fn enrol(state: &StateDir, bundle: &JoinBundle, hostname: &str) -> Result<Identity, EnrolmentError> {
    if let Some(identity) = Identity::load(state)? {
        return Err(EnrolmentError::AlreadyEnrolled {
            agent: identity.agent,
            name: identity.name,
        });
    }
    let key = AgentKey::load_or_create(state)?;
    let place = state.reserve(IDENTITY_FILE)?;
    let body = request_body(bundle, &key, hostname)?;
    let answer = ask(bundle, &body).await?;
    keep(place, bundle, &key, &answer)
}

async fn ask(bundle: &JoinBundle, body: &SecretString) -> Result<Bytes, EnrolmentError> {
    let mut backoff = Backoff::new(BackoffSettings {
        backoff_base_ms: 500,
        backoff_cap_ms: 8_000,
        ..BackoffSettings::default()
    });
    let mut attempt = 1;
    loop {
        let error = match ask_once(bundle, body).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let next = backoff.next(error.disposition(), rand::random(), clock::monotonic());
        match next {
            Next::Wait(delay) if attempt < ATTEMPTS && delay <= PATIENCE => {
                tracing::warn!(%error, attempt, delay_ms = delay.as_millis(), "enrolment did not succeed, trying again");
                tokio::time::sleep(delay).await;
                attempt += 1;
            }
            Next::Wait(_) | Next::Stop => return Err(error),
        }
    }
}

async fn ask_once(bundle: &JoinBundle, body: &SecretString) -> Result<Bytes, EnrolmentError> {
    let stream = dial::dial_tls(&bundle.endpoint, tls::for_enrolment(bundle.pin)?, |_| ()).await?;
    let post = http::post_json(stream, &bundle.endpoint, ENROL_PATH, body.expose_secret().to_owned(), clock::wall());
    match tokio::time::timeout(CONNECT_TIMEOUT, post).await {
        Ok(answer) => Ok(answer.map_err(DialError::Http)?),
        Err(_) => Err(EnrolmentError::Dial(DialError::Timeout {
            endpoint: bundle.endpoint.to_string(),
        })),
    }
}

fn request_body(bundle: &JoinBundle, key: &AgentKey, hostname: &str) -> Result<SecretString, EnrolmentError> {
    #[derive(Serialize)]
    struct Body<'a> {
        token: &'a str,
        csr: String,
        hostname: &'a str,
        version: &'static str,
        instance: InstanceId,
    }
    let body = Body {
        token: bundle.token.expose_secret(),
        csr: STANDARD.encode(key.signing_request()?),
        hostname: hostname.get(..hostname.floor_char_boundary(AGENT_TEXT_BYTES)).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION"),
        instance: InstanceId::new(clock::wall(), clock::random_id_bytes()),
    };
    let text = serde_json::to_string(&body).map_err(|error| EnrolmentError::Answer(error.to_string()))?;
    Ok(SecretString::from(text))
}

/// Checks the answer against bundle and key, then stores it under its name.
fn keep(place: ReservedFile, bundle: &JoinBundle, key: &AgentKey, answer: &Bytes) -> Result<Identity, EnrolmentError> {
    #[derive(Deserialize)]
    struct Answer {
        agent: AgentId,
        tenant: TenantId,
        name: String,
        certificate: String,
        ca_bundle: String,
        trust_domain: String,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| EnrolmentError::Answer(error.to_string()))?;
    let identity = Identity {
        agent: answer.agent,
        tenant: answer.tenant,
        name: answer.name,
        trust_domain: answer.trust_domain,
        endpoint: bundle.endpoint.clone(),
        certificate: answer.certificate,
        ca_bundle: answer.ca_bundle,
    };
    let roots = tls::certificates(&identity.ca_bundle)?;
    if !roots.iter().any(|root| pin_of(root) == Some(bundle.pin)) {
        return Err(EnrolmentError::ForeignBundle);
    }
    identity.tls(key)?;
    place.complete(&identity.to_text())?;
    Ok(identity)
}

fn after_refusal(refusal: &Refusal) -> Disposition {
    match refusal {
        Refusal::Problem {
            code: ProblemCode::RateLimited | ProblemCode::Unavailable | ProblemCode::Internal | ProblemCode::RequestTimeout,
            retry_after,
            ..
        }
        | Refusal::Intermediary { retry_after, .. } => http::come_back(*retry_after),
        Refusal::Problem { .. } => Disposition::Fatal,
    }
}

/// How often the control plane is asked.
pub const ATTEMPTS: u32 = 5;
/// Longest wait between two attempts; whoever asks for more is told to the person who enrols.
const PATIENCE: Duration = Duration::from_secs(30);
