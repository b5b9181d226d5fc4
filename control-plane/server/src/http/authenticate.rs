//! The only way into a service: an extractor that knows who asks, and holds what `authorize` granted.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use control_core::authorize::{Action, Grant, Principal, Resource, authorize};
use control_services::ServiceError;
use control_services::identity::Identity;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use secrecy::{ExposeSecret, SecretString};
use shared_protocol::fault::ProblemCode;

use super::problem::Refused;
use super::state::AppState;
use crate::handshake;

/// Names, by type, the one action that a route performs.
pub(crate) trait Permission: Send + Sync + 'static {
    /// The action.
    const ACTION: Action;
}

/// Whoever asks was authenticated and may perform the action `P`.
pub(crate) struct Authz<P> {
    grant: Grant,
    key: SecretString,
    action: PhantomData<P>,
}

impl<P: Permission> Authz<P> {
    /// What was granted.
    pub(crate) const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The same question again, for answers that last: a key may be revoked meanwhile.
    pub(crate) async fn still_granted(&self, identity: &Identity) -> Result<(), ServiceError> {
        granted(identity, &self.key, P::ACTION).await.map(drop)
    }
}

impl<P: Permission> FromRequestParts<AppState> for Authz<P> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        no_key_in_address(parts.uri.query().unwrap_or_default())?;
        Self::of(presented(parts), state).await
    }
}

impl<P: Permission> Authz<P> {
    async fn of(key: Option<SecretString>, state: &AppState) -> Result<Self, Refused> {
        let key = key.ok_or(ServiceError::Unauthenticated)?;
        let grant = granted(&state.services.identity, &key, P::ACTION).await?;
        Ok(Self {
            grant,
            key,
            action: PhantomData,
        })
    }
}

/// The same for a WebSocket: a browser can set no header of it but the list of subprotocols, so a key may stand there.
pub(crate) struct StreamAuthz<P>(Authz<P>);

impl<P> StreamAuthz<P> {
    /// What was authorised.
    pub(crate) fn into_inner(self) -> Authz<P> {
        self.0
    }
}

impl<P: Permission> FromRequestParts<AppState> for StreamAuthz<P> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        no_key_in_address(parts.uri.query().unwrap_or_default())?;
        Ok(Self(Authz::of(presented(parts).or_else(|| offered(parts)), state).await?))
    }
}

async fn granted(identity: &Identity, key: &SecretString, action: Action) -> Result<Grant, ServiceError> {
    let principal: Principal = identity.authenticate(key.expose_secret()).await?;
    Ok(authorize(&principal, action, Resource::OwnTenant)?)
}

/// The key of the one `Authorization` header; two headers are as good as none.
fn presented(parts: &Parts) -> Option<SecretString> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (values.next()?, values.next());
    let text = first.to_str().ok().filter(|text| second.is_none() && text.len() <= HEADER_BYTES)?;
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(key.trim_start_matches(' ')))
}

/// The key among the subprotocols that a WebSocket offers; two are as good as none.
fn offered(parts: &Parts) -> Option<SecretString> {
    let mut keys = handshake::listed(&parts.headers, SEC_WEBSOCKET_PROTOCOL).filter_map(|offered| offered.strip_prefix(KEY_SUBPROTOCOL));
    let (first, second) = (keys.next()?, keys.next());
    (second.is_none() && first.len() <= HEADER_BYTES).then(|| SecretString::from(first))
}

/// Addresses end in logs and histories, so a key there is refused even where it would be valid.
fn no_key_in_address(query: &str) -> Result<(), Refused> {
    let holds_key = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        KEY_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || value.starts_with("po_live_") || value.starts_with("po_test_")
    });
    if holds_key {
        return Err(Refused::new(
            ProblemCode::MalformedRequest,
            "an API key never goes into the address; send it as `Authorization: Bearer po_…`, and revoke this one, which logs may hold now",
        ));
    }
    Ok(())
}

/// Names under which people try to send a key in the address.
const KEY_NAMES: [&str; 6] = ["key", "api_key", "apikey", "token", "access_token", "authorization"];
/// What stands before a key among the subprotocols of a WebSocket.
const KEY_SUBPROTOCOL: &str = "probeops.key.";
/// Longest `Authorization` header looked at, bytes; a key has 72.
const HEADER_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[&str]) -> Parts {
        let mut request = http::Request::builder();
        for value in headers {
            request = request.header(AUTHORIZATION, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn key(headers: &[&str]) -> Option<String> {
        presented(&parts(headers)).map(|key| key.expose_secret().to_owned())
    }

    #[test]
    fn aut_04_a_key_comes_in_one_bearer_header_only() {
        assert_eq!(key(&["Bearer k"]).as_deref(), Some("k"));
        assert_eq!(key(&["bearer k"]).as_deref(), Some("k"));
        for bad in [
            &[][..],
            &["k"],
            &["Basic k"],
            &["Bearer k", "Bearer k"],
            &[&format!("Bearer {}", "k".repeat(600))],
        ] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn aut_04_a_key_in_the_address_is_refused() {
        for bad in ["key=x", "a=b&API_KEY=x", "access_token", "limit=po_live_abc"] {
            assert!(no_key_in_address(bad).is_err(), "{bad}");
        }
        assert!(no_key_in_address("limit=5&cursor=x").is_ok());
    }
}
