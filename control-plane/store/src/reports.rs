//! Reports: stored once, each in the transaction that ends its job and moves the agent's outbox on.

mod ingest;
mod read;

pub use ingest::{DiscardReason, IncomingReport, IngestOutcome, ingest};
pub use read::{DiscardedRow, QuarantinedRow, ReportRow, discarded, of_job, of_measurement, quarantined};

/// Every statement below this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[ingest::STATEMENTS, read::STATEMENTS];
