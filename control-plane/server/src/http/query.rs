//! Query parameters: each known by name, given once, within its bounds; anything else is refused by name.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use control_api::agent::AgentQuery;
use control_api::job::JobQuery;
use control_api::page::PageQuery;
use control_api::usage::UsageQuery;
use http::request::Parts;

use super::problem::Refused;
use super::state::AppState;

/// Which page of a list is wanted.
#[derive(Debug)]
pub(crate) struct Page(pub(crate) PageQuery);

/// Which jobs are wanted.
#[derive(Debug)]
pub(crate) struct JobFilter(pub(crate) JobQuery);

/// Which agents are wanted.
#[derive(Debug)]
pub(crate) struct AgentFilter(pub(crate) AgentQuery);

/// Which days are wanted.
#[derive(Debug)]
pub(crate) struct Days(pub(crate) UsageQuery);

/// How long the answer may wait for the measurement's end.
#[derive(Debug)]
pub(crate) struct Wait(pub(crate) Option<Duration>);

/// The route takes no parameters.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl FromRequestParts<AppState> for Page {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["limit", "cursor"])?;
        Ok(Self(PageQuery {
            limit: limit(&mut given)?,
            cursor: given.remove("cursor"),
        }))
    }
}

impl FromRequestParts<AppState> for JobFilter {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["limit", "cursor", "measurement", "agent"])?;
        let limit = limit(&mut given)?;
        let mut take = |name: &str| given.remove(name);
        Ok(Self(JobQuery {
            limit,
            cursor: take("cursor"),
            measurement: take("measurement"),
            agent: take("agent"),
        }))
    }
}

impl FromRequestParts<AppState> for AgentFilter {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(
            parts,
            &[
                "limit", "cursor", "label", "region", "zone", "network", "state", "duty", "presence", "probe", "q",
            ],
        )?;
        let limit = limit(&mut given)?;
        let mut take = |name: &str| given.remove(name);
        Ok(Self(AgentQuery {
            limit,
            cursor: take("cursor"),
            label: take("label"),
            region: take("region"),
            zone: take("zone"),
            network: take("network"),
            state: take("state"),
            duty: take("duty"),
            presence: take("presence"),
            probe: take("probe"),
            q: take("q"),
        }))
    }
}

impl FromRequestParts<AppState> for Days {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["from", "to"])?;
        Ok(Self(UsageQuery {
            from: given.remove("from"),
            to: given.remove("to"),
        }))
    }
}

impl FromRequestParts<AppState> for Wait {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let Some(text) = given(parts, &["wait"])?.remove("wait") else {
            return Ok(Self(None));
        };
        let seconds: Option<u64> = text.strip_suffix('s').unwrap_or(&text).parse().ok();
        match seconds {
            Some(seconds @ 1..=60) => Ok(Self(Some(Duration::from_secs(seconds)))),
            _ => Err(Refused::field("wait", "must be 1 to 60 seconds, as in `30s`")),
        }
    }
}

impl FromRequestParts<AppState> for NoQuery {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        given(parts, &[]).map(|_| Self)
    }
}

fn given(parts: &Parts, known: &[&str]) -> Result<BTreeMap<String, String>, Refused> {
    let unreadable = |_| Refused::field("", "the query is not readable");
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(unreadable)?;
    let mut given = BTreeMap::new();
    for (name, value) in pairs {
        if !known.contains(&name.as_str()) {
            let name: String = name.chars().take(NAME_CHARS).collect();
            return Err(Refused::field(name, unknown(known)));
        }
        if value.len() > VALUE_BYTES {
            return Err(Refused::field(name, "is too long"));
        }
        if given.insert(name.clone(), value).is_some() {
            return Err(Refused::field(name, "is given twice"));
        }
    }
    Ok(given)
}

fn unknown(known: &[&str]) -> String {
    if known.is_empty() {
        "unknown parameter; this path takes none".to_owned()
    } else {
        format!("unknown parameter; this path takes {}", known.join(", "))
    }
}

fn limit(given: &mut BTreeMap<String, String>) -> Result<Option<u32>, Refused> {
    let Some(text) = given.remove("limit") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(limit @ 1..=200) => Ok(Some(limit)),
        _ => Err(Refused::field("limit", "must be 1 to 200")),
    }
}

/// Most characters of an unknown name that are repeated to its sender.
const NAME_CHARS: usize = 64;
/// Longest value of a parameter, bytes.
const VALUE_BYTES: usize = 1_024;
