//! `POST /agent/v1/observe/packages`: packages of observations, for agents that are known, of their own tenant.

use bytes::Bytes;
use control_services::fleet::{AgentPrincipal, Fleet, PeerRefused};
use control_services::packages::{Packages, Told};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use shared_protocol::fault::ProblemCode;
use shared_protocol::package::{PackageTold, PackageWanted};
use shared_protocol::strict_json;

use super::enrol;
use super::problem::Refused;

/// Gives a package to an agent.
pub(super) async fn give(fleet: &Fleet, packages: &Packages, leaf: Option<&[u8]>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refused> {
    let peer = known(fleet, leaf)?;
    let wanted: PackageWanted = read(request).await?;
    let text = packages.for_agent(&peer, &wanted.name, wanted.sha256).await?;
    Ok(answer(text.into()))
}

/// Hears what an agent's observer made of one.
pub(super) async fn hear(fleet: &Fleet, packages: &Packages, leaf: Option<&[u8]>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refused> {
    let peer = known(fleet, leaf)?;
    let told: PackageTold = read(request).await?;
    let code = told.code.and_then(|code| serde_json::to_value(code).ok());
    let told = Told {
        name: told.name,
        digest: told.sha256,
        status: told.status,
        code: code.and_then(|code| code.as_str().map(str::to_owned)),
        message: told.message,
    };
    packages.hear(&peer, told).await?;
    Ok(answer(Bytes::from_static(b"{}")))
}

/// Who it is, before anything is read.
fn known(fleet: &Fleet, leaf: Option<&[u8]>) -> Result<AgentPrincipal, Refused> {
    let peer = leaf.map_or(Err(PeerRefused::NoCertificate), |leaf| fleet.authenticate_peer(leaf));
    peer.map_err(|refused| {
        tracing::info!(reason = refused.name(), "a peer was given no package");
        // One sentence for all: what exactly did not fit is in the log.
        Refused::new(ProblemCode::Unauthenticated, "a package needs the client certificate of an enrolled agent")
    })
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refused> {
    let body = enrol::read(request.into_body()).await?;
    let not_it = || Refused::malformed(None, "the body must be one JSON object that names a package");
    let text = std::str::from_utf8(&body).map_err(|_| not_it())?;
    serde_json::from_value(strict_json::parse(text).map_err(|_| not_it())?).map_err(|_| not_it())
}

fn answer(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
