//! Reports: stored once, each in the transaction that ends its job and moves the agent's outbox on.

mod history;
mod ingest;
mod read;

pub use history::{HistoryRow, ReportFilter, history, of_job_with_facts};
pub use ingest::{DiscardReason, Facts, IncomingReport, IncomingWindow, Ingest, IngestOutcome, ingest};
pub use read::{DiscardedRow, QuarantinedRow, ReportRow, discarded, of_job, of_measurement, quarantined};

/// Every statement below this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[history::STATEMENTS, read::STATEMENTS];
#[cfg(test)]
pub(crate) use ingest::STATEMENTS as INGEST;

/// Every way to list reports, for the test of their plans.
#[cfg(test)]
pub(crate) const HISTORY: &[&str] = history::WAYS;
