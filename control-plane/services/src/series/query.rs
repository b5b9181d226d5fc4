//! Asking for series: points over time from samples or roll-ups through one interface, and what the latest values are.

use control_api::metric::{HostMetricsQuery, Latest, LatestQuery, MetricPoint, MetricSeries, Metrics, MetricsQuery};
use control_api::page::Page;
use control_core::authorize::{Grant, TenantScope};
use control_core::series::{Contribution, Day, Good, Hour, InvalidRange, Plan, Point, Sample, Source, of_rollups, of_samples, plan};
use control_store::Reader;
use control_store::series::{self, SeriesFilter, SeriesKey};
use shared_protocol::id::AgentId;

use super::Series;
use crate::clock;
use crate::error::ServiceError;
use crate::jobs::read::{filter_id, limit_of};
use crate::reports::instant;

impl Series {
    /// A metric over time: of one agent, or of all of the tenant's agents together.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a range, a step or a name that cannot be.
    pub async fn metrics(&self, grant: &Grant, query: &MetricsQuery) -> Result<Metrics, ServiceError> {
        let scope = grant.scope()?;
        let (probe, name) = split(&query.metric)?;
        let agent = query.agent_id.as_deref().map(|id| filter_id::<AgentId>("agent_id", id)).transpose()?;
        let from = query.from.as_deref().map(|text| instant("from", text)).transpose()?;
        let to = query.to.as_deref().map(|text| instant("to", text)).transpose()?;
        // What all agents saw together is kept by the hour only.
        let step = query.step.or_else(|| agent.is_none().then_some(3_600));
        let plan = plan(from, to, step, clock::now()).map_err(refused)?;
        let filter = SeriesFilter {
            agent: Some(agent),
            probe: Some(probe.to_owned()),
            name: Some(name.to_owned()),
            // All agents together are asked for one target, or for all of them together.
            target: query.target.clone().or_else(|| agent.is_none().then(String::new)),
        };
        if agent.is_none() && plan.source == Source::Samples {
            return Err(ServiceError::invalid(
                "step",
                "must be 3600 or more without `agent_id`: all agents together are kept by the hour",
            ));
        }
        let mut reader = self.store.reader().await?;
        let mut found = series::find(&mut reader, scope, &filter, SERIES_MAX + 1).await?;
        let more = found.len() > usize::try_from(SERIES_MAX).unwrap_or(usize::MAX);
        found.truncate(usize::try_from(SERIES_MAX).unwrap_or(usize::MAX));
        let mut series = Vec::with_capacity(found.len());
        // One at a time: no more than one series' samples are in memory.
        for row in found {
            let points = points(&mut reader, scope, row.key, &plan).await?;
            series.push(MetricSeries {
                agent: row.identity.agent.map(|agent| agent.to_string()),
                target: Some(row.identity.target).filter(|target| !target.is_empty()),
                points: points.into_iter().map(|point| to_point(&point, plan.source)).collect(),
            });
        }
        Ok(Metrics {
            metric: query.metric.clone(),
            from: plan.from.into(),
            to: plan.to.into(),
            step_s: u32::try_from(plan.step.as_secs()).unwrap_or(u32::MAX),
            source: match plan.source {
                Source::Samples => "samples",
                Source::Hours => "hours",
            }
            .to_owned(),
            series,
            more,
        })
    }

    /// A number of an agent's own host over time.
    ///
    /// # Errors
    /// As [`Series::metrics`].
    pub async fn of_host(&self, grant: &Grant, agent: &str, query: HostMetricsQuery) -> Result<Metrics, ServiceError> {
        let query = MetricsQuery {
            metric: format!("{}.{}", Contribution::AGENT, query.metric),
            agent_id: Some(agent.to_owned()),
            target: Some(String::new()),
            from: query.from,
            to: query.to,
            step: query.step,
        };
        self.metrics(grant, &query).await
    }

    /// The latest value of everything that the tenant's agents measure, in pages.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page or filter.
    pub async fn latest(&self, grant: &Grant, query: &LatestQuery) -> Result<Page<Latest>, ServiceError> {
        let scope = grant.scope()?;
        let limit = limit_of(query.limit)?;
        let (probe, name) = match query.metric.as_deref().map(split).transpose()? {
            Some((probe, name)) => (Some(probe.to_owned()), Some(name.to_owned())),
            None => (None, None),
        };
        let filter = SeriesFilter {
            agent: query.agent_id.as_deref().map(|id| filter_id::<AgentId>("agent_id", id)).transpose()?.map(Some),
            probe,
            name,
            target: query.target.clone(),
        };
        let after = query
            .cursor
            .as_deref()
            .map(|cursor| cursor.parse::<i64>().ok().filter(|number| *number > 0))
            .map(|number| {
                number
                    .map(SeriesKey)
                    .ok_or_else(|| ServiceError::invalid("cursor", "must be the next_cursor of the page before"))
            })
            .transpose()?;
        let mut reader = self.store.reader().await?;
        let mut rows = series::latest(&mut reader, scope, &filter, after, limit + 1).await?;
        let more = u32::try_from(rows.len()).is_ok_and(|read| read > limit);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = rows.last().filter(|_| more).map(|row| row.series.key.0.to_string());
        let items = rows.into_iter().map(|row| {
            let identity = row.series.identity;
            Latest {
                agent: identity.agent.map(|agent| agent.to_string()),
                target: Some(identity.target).filter(|target| !target.is_empty()),
                metric: format!("{}.{}", identity.probe, identity.name),
                at: row.at.into(),
                value: row.value,
                ok: row.good == Good::Yes,
            }
        });
        Ok(Page {
            items: items.collect(),
            next_cursor,
        })
    }
}

async fn points(reader: &mut Reader, scope: TenantScope, key: SeriesKey, plan: &Plan) -> Result<Vec<Point>, ServiceError> {
    match plan.source {
        Source::Samples => {
            let chunks = series::samples(reader, scope, &[key], Day::of(plan.from), Day::of(plan.to)).await?;
            let mut samples: Vec<Sample> = chunks.into_iter().flat_map(|(_, samples)| samples).collect();
            samples.sort_by_key(|sample| sample.at());
            Ok(of_samples(plan, &samples))
        }
        Source::Hours => {
            let last = Hour(Hour::of(plan.to).0.saturating_add(1));
            let rows = series::rollups(reader, scope, &[key], Hour::of(plan.from), last).await?;
            let rollups: Vec<_> = rows.into_iter().map(|(_, hour, rollup)| (hour, rollup)).collect();
            Ok(of_rollups(plan, &rollups))
        }
    }
}

fn to_point(point: &Point, source: Source) -> MetricPoint {
    let rollup = &point.rollup;
    MetricPoint {
        at: point.at.into(),
        n: rollup.n,
        ok: match source {
            Source::Samples => None,
            Source::Hours => Some(rollup.ok),
        },
        min: rollup.min,
        max: rollup.max,
        avg: rollup.mean().unwrap_or_default(),
        p50: rollup.quantile(0.5).unwrap_or_default(),
        p95: rollup.quantile(0.95).unwrap_or_default(),
        p99: rollup.quantile(0.99).unwrap_or_default(),
    }
}

/// `ping.rtt_avg_us` is the number `rtt_avg_us` of the probe `ping`.
fn split(metric: &str) -> Result<(&str, &str), ServiceError> {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || "_.".contains(character));
    match metric.split_once('.') {
        Some((probe, name)) if plain(probe) && plain(name) && metric.len() <= METRIC_BYTES => Ok((probe, name)),
        Some(_) | None => Err(ServiceError::invalid(
            "metric",
            format!("must be PROBE.NAME, as in `ping.rtt_avg_us` or `{}.cpu_percent`", Contribution::AGENT),
        )),
    }
}

fn refused(range: InvalidRange) -> ServiceError {
    ServiceError::invalid(range.field, range.must)
}

/// Most series of one answer.
const SERIES_MAX: u32 = 20;
/// Longest name of a metric, bytes.
const METRIC_BYTES: usize = 100;
