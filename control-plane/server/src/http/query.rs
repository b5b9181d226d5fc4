//! Query parameters: each known by name, given once, within its bounds; anything else is refused by name.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use control_api::agent::AgentQuery;
use control_api::job::JobQuery;
use control_api::metric::{HostMetricsQuery, LatestQuery, MetricsQuery};
use control_api::page::PageQuery;
use control_api::report::{ExportFormat, ReportFilter, ReportQuery};
use control_api::standing::StandingWindowQuery;
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

/// Which reports are wanted, and which page of them.
#[derive(Debug)]
pub(crate) struct WhichReports(pub(crate) ReportQuery);

/// Which reports are to be taken out, and how.
#[derive(Debug)]
pub(crate) struct WhichExport(pub(crate) ReportFilter, pub(crate) ExportFormat);

/// Which metric is wanted.
#[derive(Debug)]
pub(crate) struct WhichMetric(pub(crate) MetricsQuery);

/// Which number of an agent's host is wanted.
#[derive(Debug)]
pub(crate) struct WhichHostMetric(pub(crate) HostMetricsQuery);

/// Which latest values are wanted.
#[derive(Debug)]
pub(crate) struct WhichLatest(pub(crate) LatestQuery);

/// Which windows of a standing observation are wanted.
#[derive(Debug)]
pub(crate) struct WhichWindows(pub(crate) StandingWindowQuery);

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
                "limit", "cursor", "label", "region", "zone", "network", "state", "duty", "presence", "sharing", "probe", "q",
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
            sharing: take("sharing"),
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

impl FromRequestParts<AppState> for WhichReports {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &[&["limit", "cursor"], REPORT_FILTER.as_slice()].concat())?;
        Ok(Self(ReportQuery {
            limit: limit(&mut given)?,
            cursor: given.remove("cursor"),
            filter: report_filter(&mut given)?,
        }))
    }
}

impl FromRequestParts<AppState> for WhichExport {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &[&["format"], REPORT_FILTER.as_slice()].concat())?;
        let format = match given.remove("format") {
            None => ExportFormat::default(),
            Some(name) => {
                let known = ExportFormat::ALL.into_iter().find(|format| format.as_str() == name);
                known.ok_or_else(|| Refused::field("format", "must be ndjson, json or csv"))?
            }
        };
        Ok(Self(report_filter(&mut given)?, format))
    }
}

impl FromRequestParts<AppState> for WhichMetric {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["metric", "agent_id", "target", "from", "to", "step"])?;
        let step = given
            .remove("step")
            .map(|text| text.parse().map_err(|_| Refused::field("step", "must be seconds, 1 or more")));
        let mut take = |name: &str| given.remove(name);
        Ok(Self(MetricsQuery {
            metric: take("metric").ok_or_else(|| Refused::field("metric", "must be given, as in `ping.rtt_avg_us`"))?,
            agent_id: take("agent_id"),
            target: take("target"),
            from: take("from"),
            to: take("to"),
            step: step.transpose()?,
        }))
    }
}

impl FromRequestParts<AppState> for WhichHostMetric {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["metric", "from", "to", "step"])?;
        let step = given
            .remove("step")
            .map(|text| text.parse().map_err(|_| Refused::field("step", "must be seconds, 1 or more")));
        let mut take = |name: &str| given.remove(name);
        Ok(Self(HostMetricsQuery {
            metric: take("metric").ok_or_else(|| Refused::field("metric", "must be given, as in `cpu_ratio`"))?,
            from: take("from"),
            to: take("to"),
            step: step.transpose()?,
        }))
    }
}

impl FromRequestParts<AppState> for WhichLatest {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["limit", "cursor", "agent_id", "target", "metric"])?;
        let limit = limit(&mut given)?;
        let mut take = |name: &str| given.remove(name);
        Ok(Self(LatestQuery {
            limit,
            cursor: take("cursor"),
            agent_id: take("agent_id"),
            target: take("target"),
            metric: take("metric"),
        }))
    }
}

impl FromRequestParts<AppState> for WhichWindows {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Refused> {
        let mut given = given(parts, &["limit", "cursor", "agent", "from", "to"])?;
        let limit = limit(&mut given)?;
        let mut take = |name: &str| given.remove(name);
        Ok(Self(StandingWindowQuery {
            limit,
            cursor: take("cursor"),
            agent: take("agent"),
            from: take("from"),
            to: take("to"),
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

fn report_filter(given: &mut BTreeMap<String, String>) -> Result<ReportFilter, Refused> {
    let late = given
        .remove("late")
        .map(|text| text.parse().map_err(|_| Refused::field("late", "must be true or false")));
    let mut take = |name: &str| given.remove(name);
    Ok(ReportFilter {
        measurement: take("measurement"),
        agent: take("agent"),
        probe: take("probe"),
        target: take("target"),
        status: take("status"),
        fault: take("fault"),
        from: take("from"),
        to: take("to"),
        late: late.transpose()?,
    })
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

/// The conditions on reports.
const REPORT_FILTER: [&str; 9] = ["measurement", "agent", "probe", "target", "status", "fault", "from", "to", "late"];
/// Most characters of an unknown name that are repeated to its sender.
const NAME_CHARS: usize = 64;
/// Longest value of a parameter, bytes.
const VALUE_BYTES: usize = 1_024;
