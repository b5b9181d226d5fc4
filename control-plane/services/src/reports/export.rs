//! Reports taken out: as many as there are, a page in memory at a time.

use control_api::report::{ExportFormat, ReportFilter as Asked, ReportRecord};
use control_core::authorize::{Grant, TenantScope};
use control_core::series::readings;
use control_store::reports::ReportFilter;
use control_store::{Page, Store};
use futures_util::{Stream, stream};
use shared_protocol::id::JobId;

use super::Reports;
use super::history::{filter, record};
use crate::error::ServiceError;
use crate::series::csv_line;

impl Reports {
    /// The tenant's reports that match, newest first, as text in pieces. A stream that ends with an error is cut short.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad filter.
    pub fn export(
        &self,
        grant: &Grant,
        asked: &Asked,
        format: ExportFormat,
    ) -> Result<impl Stream<Item = Result<String, ServiceError>> + Send + 'static + use<>, ServiceError> {
        let export = Export {
            store: self.store().clone(),
            scope: grant.scope()?,
            filter: filter(asked)?,
            format,
            after: None,
            state: State::Beginning,
        };
        Ok(stream::try_unfold(export, |mut export| async move {
            Ok(export.next().await?.map(|piece| (piece, export)))
        }))
    }
}

struct Export {
    store: Store,
    scope: TenantScope,
    filter: ReportFilter,
    format: ExportFormat,
    after: Option<JobId>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Beginning,
    /// Something was told.
    Going,
    Over,
}

impl Export {
    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<String>, ServiceError> {
        if self.state == State::Over {
            return Ok(None);
        }
        let page = Page {
            after: self.after,
            limit: REPORTS_PER_READ,
        };
        // The connection goes back between two pages: a slow reader of the export holds none.
        let rows = control_store::reports::history(&mut self.store.reader().await?, self.scope, &self.filter, &page).await?;
        let last = u32::try_from(rows.len()).is_ok_and(|read| read < REPORTS_PER_READ);
        self.after = rows.last().map(|row| row.report.job).or(self.after);
        let records: Vec<ReportRecord> = rows.into_iter().filter_map(record).collect();
        let mut piece = String::new();
        let begins = self.state == State::Beginning;
        match self.format {
            ExportFormat::Csv => {
                if begins {
                    piece.push_str(&csv_line(COLUMNS.into_iter().chain(NUMBERS)));
                }
                piece.extend(records.iter().map(cells));
            }
            ExportFormat::Ndjson => piece.extend(records.iter().map(|record| json(record) + "\n")),
            ExportFormat::Json => {
                if begins {
                    piece.push('[');
                }
                for (n, record) in records.iter().enumerate() {
                    if n > 0 || !begins {
                        piece.push(',');
                    }
                    piece.extend(["\n", json(record).as_str()]);
                }
                if last {
                    piece.push_str("\n]\n");
                }
            }
        }
        self.state = if last { State::Over } else { State::Going };
        Ok(Some(piece))
    }
}

fn json(record: &ReportRecord) -> String {
    serde_json::to_string(record).unwrap_or_else(|error| {
        tracing::error!(%error, job_id = record.report.job, "a report has no JSON form");
        "null".to_owned()
    })
}

fn cells(record: &ReportRecord) -> String {
    let report = &record.report.report;
    let error = report.error.as_ref().and_then(|error| serde_json::to_value(error.code).ok());
    let numbers = readings(report);
    let mut cells = vec![
        record.report.job.clone(),
        record.report.measurement.clone(),
        record.report.agent.clone(),
        record.probe.clone(),
        record.target.clone(),
        report.status.as_str().to_owned(),
        report.fault.as_str().to_owned(),
        error.as_ref().and_then(|code| code.as_str()).unwrap_or_default().to_owned(),
        record.measured_at.to_string(),
        record.report.received_at.to_string(),
        record.report.late.to_string(),
        record.skewed.to_string(),
        report.duration_us.to_string(),
    ];
    cells.extend(NUMBERS.map(|name| {
        let found = numbers.iter().find(|reading| reading.name == name);
        found.map(|reading| reading.value.to_string()).unwrap_or_default()
    }));
    csv_line(cells.iter().map(String::as_str))
}

/// Reports read at a time.
const REPORTS_PER_READ: u32 = 200;
const COLUMNS: [&str; 13] = [
    "job",
    "measurement",
    "agent",
    "probe",
    "target",
    "status",
    "fault",
    "error",
    "measured_at",
    "received_at",
    "late",
    "skewed",
    "duration_us",
];
/// The numbers of probes that have a column, by the name that their series have; empty where the probe has no such number.
const NUMBERS: [&str; 15] = [
    "loss",
    "duplicates",
    "open",
    "rtt_min_us",
    "rtt_avg_us",
    "rtt_p95_us",
    "jitter_us",
    "total_us",
    "dns_us",
    "tcp_us",
    "tls_us",
    "first_byte_us",
    "rtt_us",
    "answers",
    "status_code",
];
