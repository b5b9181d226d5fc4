//! Measurements and jobs as tenants read them: one by one and in pages.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use control_api::job::{Job, JobQuery};
use control_api::measurement::Measurement;
use control_api::page::{Page, PageQuery};
use control_core::authorize::{Grant, TenantScope};
use control_store::jobs::{JobFilter, JobRow, JobState, MeasurementRow, OpenState};
use control_store::{Page as StorePage, Reader};
use shared_protocol::id::{AgentId, JobId, JobRef, MeasurementId};

use super::{InFlight, Jobs};
use crate::error::ServiceError;

impl Jobs {
    /// A measurement with its jobs.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement.
    pub async fn measurement(&self, grant: &Grant, id: &str) -> Result<Measurement, ServiceError> {
        let mut reader = self.store().reader().await?;
        measurement_of(&mut reader, self.in_flight(), grant.scope()?, parse_id(id)?).await
    }

    /// The tenant's measurements, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page.
    pub async fn measurements(&self, grant: &Grant, query: &PageQuery) -> Result<Page<Measurement>, ServiceError> {
        let scope = grant.scope()?;
        let page = page::<MeasurementId>(query.limit, query.cursor.as_deref())?;
        let mut reader = self.store().reader().await?;
        let rows = control_store::jobs::measurements(&mut reader, scope, &page).await?;
        let ids: Vec<MeasurementId> = rows.iter().map(|row| row.id).collect();
        let mut jobs = control_store::jobs::jobs_of(&mut reader, scope, &ids).await?;
        let measurements = rows
            .into_iter()
            .map(|row| {
                let own = jobs.extract_if(.., |job| job.measurement == row.id).collect();
                (row.id, to_measurement(row, own, self.in_flight()))
            })
            .collect();
        Ok(cut(measurements, &page))
    }

    /// A job.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such job.
    pub async fn job(&self, grant: &Grant, id: &str) -> Result<Job, ServiceError> {
        let mut reader = self.store().reader().await?;
        let row = control_store::jobs::job(&mut reader, grant.scope()?, parse_id(id)?).await?;
        row.map(|row| to_job(row, self.in_flight())).ok_or(ServiceError::NotFound)
    }

    /// The tenant's jobs, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page or filter.
    pub async fn jobs(&self, grant: &Grant, query: &JobQuery) -> Result<Page<Job>, ServiceError> {
        let filter = JobFilter {
            measurement: query
                .measurement
                .as_deref()
                .map(|id| filter_id::<MeasurementId>("measurement", id))
                .transpose()?,
            agent: query.agent.as_deref().map(|id| filter_id::<AgentId>("agent", id)).transpose()?,
        };
        let page = page::<JobId>(query.limit, query.cursor.as_deref())?;
        let mut reader = self.store().reader().await?;
        let rows = control_store::jobs::jobs(&mut reader, grant.scope()?, filter, &page).await?;
        Ok(cut(rows.into_iter().map(|row| (row.id, to_job(row, self.in_flight()))).collect(), &page))
    }

    /// Waits until every job of a measurement has ended, or the time is over, and says how it stands then.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement.
    pub async fn wait_ended(&self, grant: &Grant, id: &str, timeout: Duration) -> Result<Measurement, ServiceError> {
        let measurement = parse_id::<MeasurementId>(id)?;
        if let Some(channel) = self.bus().channel(measurement) {
            let mut watch = channel.watch();
            // Time out or end: either way the measurement is told as it stands.
            let _ = tokio::time::timeout(timeout, watch.wait_for(|progress| progress.done)).await;
        }
        self.measurement(grant, id).await
    }
}

/// Reads one measurement with its jobs.
pub(crate) async fn measurement_of(reader: &mut Reader, in_flight: &InFlight, scope: TenantScope, id: MeasurementId) -> Result<Measurement, ServiceError> {
    let row = control_store::jobs::measurement(reader, scope, id).await?.ok_or(ServiceError::NotFound)?;
    let jobs = control_store::jobs::jobs_of(reader, scope, &[id]).await?;
    Ok(to_measurement(row, jobs, in_flight))
}

/// A path's id; one that is none cannot exist.
pub(crate) fn parse_id<T: FromStr>(text: &str) -> Result<T, ServiceError> {
    text.parse().map_err(|_| ServiceError::NotFound)
}

/// The page that is asked for, with one item to spare: it tells whether there is a next page.
pub(crate) fn page<T: FromStr>(limit: Option<u32>, cursor: Option<&str>) -> Result<StorePage<T>, ServiceError> {
    let limit = limit_of(limit)?;
    let after = cursor
        .map(|cursor| {
            cursor
                .parse()
                .map_err(|_| ServiceError::invalid("cursor", "must be the next_cursor of the page before"))
        })
        .transpose()?;
    Ok(StorePage { after, limit: limit + 1 })
}

/// How many items a page may have.
pub(crate) fn limit_of(limit: Option<u32>) -> Result<u32, ServiceError> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(ServiceError::invalid("limit", format!("must be from 1 to {PAGE_MAX}")))
    }
}

/// Makes a page of rows that were read with one to spare.
pub(crate) fn cut<K: Display, T>(mut rows: Vec<(K, T)>, page: &StorePage<K>) -> Page<T> {
    let limit = usize::try_from(page.limit.saturating_sub(1)).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = if more { rows.last().map(|(id, _)| id.to_string()) } else { None };
    Page {
        items: rows.into_iter().map(|(_, item)| item).collect(),
        next_cursor,
    }
}

/// A job as it stands. That its agent accepted it is written a moment later than it is known.
fn to_job(row: JobRow, in_flight: &InFlight) -> Job {
    let reference = JobRef {
        job: row.id,
        attempt: row.attempt,
    };
    let state = match row.state {
        JobState::Open(OpenState::Leased) if in_flight.is_running(reference) => JobState::Open(OpenState::Running),
        state @ (JobState::Open(_) | JobState::Ended(_)) => state,
    };
    Job {
        id: row.id.to_string(),
        measurement: row.measurement.to_string(),
        agent: row.agent.to_string(),
        agent_name: row.agent_name,
        state: state.as_str().to_owned(),
        reason: row.reason,
        attempt: row.attempt.0,
        created_at: row.created_at.into(),
        deadline_at: row.deadline_at.into(),
        cancel_requested_at: row.cancel_requested_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
        cached: row.cached,
    }
}

fn to_measurement(row: MeasurementRow, jobs: Vec<JobRow>, in_flight: &InFlight) -> Measurement {
    let open = jobs.iter().any(|job| job.ended_at.is_none());
    Measurement {
        id: row.id.to_string(),
        spec: row.spec,
        created_at: row.created_at.into(),
        deadline_at: row.deadline_at.into(),
        retry: row.retry.to_string(),
        estimated_start: None,
        state: if open { "open" } else { "ended" }.to_owned(),
        jobs: jobs.into_iter().map(|job| to_job(job, in_flight)).collect(),
    }
}

/// An id by which a list is filtered.
pub(crate) fn filter_id<T: FromStr>(field: &str, text: &str) -> Result<T, ServiceError> {
    text.parse().map_err(|_| ServiceError::invalid(field, "must be an id"))
}

/// Items of a page where the request names no limit.
const PAGE_DEFAULT: u32 = 50;
/// Most items of a page.
const PAGE_MAX: u32 = 200;
