//! Reports as people look for them: filtered, newest first, one by one.

use control_api::measurement::JobReport;
use control_api::page::Page;
use control_api::report::{ReportFilter as Asked, ReportQuery, ReportRecord};
use control_api::timestamp::Timestamp;
use control_core::authorize::Grant;
use control_store::reports::{HistoryRow, ReportFilter};
use shared_protocol::fault::{Fault, Status};
use shared_protocol::id::{AgentId, JobId, MeasurementId};
use shared_protocol::time::UnixMicros;

use super::Reports;
use super::read::job_report;
use crate::error::ServiceError;
use crate::jobs::read::{self, cut, filter_id, page};

impl Reports {
    /// The tenant's reports that match, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page or filter.
    pub async fn history(&self, grant: &Grant, query: &ReportQuery) -> Result<Page<ReportRecord>, ServiceError> {
        let scope = grant.scope()?;
        let filter = filter(&query.filter)?;
        let page = page::<JobId>(query.limit, query.cursor.as_deref())?;
        let mut reader = self.store().reader().await?;
        let rows = control_store::reports::history(&mut reader, scope, &filter, &page).await?;
        let records = rows.into_iter().filter_map(|row| Some((row.report.job, record(row)?))).collect();
        Ok(cut(records, &page))
    }

    /// The report of a job.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such job, or it has no report.
    pub async fn report(&self, grant: &Grant, job: &str) -> Result<ReportRecord, ServiceError> {
        let scope = grant.scope()?;
        let job = read::parse_id::<JobId>(job)?;
        let mut reader = self.store().reader().await?;
        let row = control_store::reports::of_job_with_facts(&mut reader, scope, job).await?;
        row.and_then(record).ok_or(ServiceError::NotFound)
    }
}

/// Reads the conditions of a request.
pub(super) fn filter(asked: &Asked) -> Result<ReportFilter, ServiceError> {
    let from = asked.from.as_deref().map(|text| instant("from", text)).transpose()?;
    let to = asked.to.as_deref().map(|text| instant("to", text)).transpose()?;
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(ServiceError::invalid("from", "must be before `to`"));
    }
    Ok(ReportFilter {
        measurement: asked
            .measurement
            .as_deref()
            .map(|id| filter_id::<MeasurementId>("measurement", id))
            .transpose()?,
        agent: asked.agent.as_deref().map(|id| filter_id::<AgentId>("agent", id)).transpose()?,
        probe: asked.probe.clone(),
        target: asked.target.clone(),
        status: asked
            .status
            .as_deref()
            .map(|name| known("status", name, &Status::ALL.map(Status::as_str)))
            .transpose()?,
        fault: asked
            .fault
            .as_deref()
            .map(|name| known("fault", name, &Fault::ALL.map(Fault::as_str)))
            .transpose()?,
        from,
        to,
        late: asked.late,
    })
}

/// Reads an instant of a request.
pub(crate) fn instant(field: &str, text: &str) -> Result<UnixMicros, ServiceError> {
    text.parse::<Timestamp>()
        .map(Timestamp::unix_micros)
        .map_err(|_| ServiceError::invalid(field, "must be an instant of RFC 3339, as in 2026-11-21T09:00:00Z"))
}

fn known<T: std::str::FromStr>(field: &str, name: &str, names: &[&str]) -> Result<T, ServiceError> {
    name.parse()
        .map_err(|_| ServiceError::invalid(field, format!("must be one of {}", names.join(", "))))
}

pub(super) fn record(row: HistoryRow) -> Option<ReportRecord> {
    let report: JobReport = job_report(&row.report)?;
    Some(ReportRecord {
        report,
        probe: row.probe,
        target: row.target,
        measured_at: row.measured_at.into(),
        skewed: row.skewed,
    })
}
