//! Ids in paths. Whatever is not an id names nothing, so the answer is 404.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::problem::Refused;
use super::state::AppState;

/// The one id in a route's path; the service knows what kind it must be.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<AppState> for Id {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| Refused::not_found())?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if id.is_empty() || id.len() > ID_BYTES || !id.bytes().all(plain) {
            return Err(Refused::not_found());
        }
        Ok(Self(id))
    }
}

/// Longest id of anything: the hash of a package.
const ID_BYTES: usize = 64;
