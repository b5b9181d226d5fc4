//! Reports: what came of each job, to look for and to take out.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::measurement::JobReport;
use crate::timestamp::Timestamp;

/// A report with what it is found by.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReportRecord {
    /// The report.
    #[serde(flatten)]
    pub report: JobReport,
    /// The probe.
    pub probe: String,
    /// What was measured.
    pub target: String,
    /// When it counts: when the probe began, or when the report was received where the agent's clock cannot be right.
    pub measured_at: Timestamp,
    /// The agent's clock says that the probe began before it was asked for, or after its report came.
    pub skewed: bool,
}

/// Which reports are wanted; every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReportFilter {
    /// Only of this measurement.
    pub measurement: Option<String>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only of this probe.
    pub probe: Option<String>,
    /// Only about this target, as it was asked for; with its port where it has one, as in `example.com:443`.
    pub target: Option<String>,
    /// Only with this verdict: `ok`, `degraded`, `failed` or `timeout`.
    pub status: Option<String>,
    /// Only with this fault: `none`, `target`, `path`, `resolver`, `agent`, `policy` or `control`.
    pub fault: Option<String>,
    /// Only of work accepted at or after this instant.
    pub from: Option<String>,
    /// Only of work accepted before this instant.
    pub to: Option<String>,
    /// Only late ones, or only those in time.
    pub late: Option<bool>,
}

/// Which page of which reports is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// Most items of the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// The conditions.
    #[param(ignore)]
    pub filter: ReportFilter,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// One JSON document a line.
    #[default]
    Ndjson,
    /// One JSON array.
    Json,
    /// Comma-separated values (RFC 4180) with one column for each number; text never becomes a formula of a spreadsheet.
    Csv,
}

impl ExportFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Ndjson, Self::Json, Self::Csv];

    /// Its name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// The media type of what is exported.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// How an export is wanted.
#[derive(Debug, Clone, Copy, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `ndjson` (without it), `json` or `csv`.
    #[param(inline)]
    pub format: ExportFormat,
}
