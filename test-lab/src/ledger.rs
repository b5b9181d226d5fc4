//! The independent ledger: what the client was promised, against what the product says later and what stands in its database.
//!
//! It is written by the load generator and by reading the API; nothing of the product's own code judges here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::database::Stored;
use crate::stand::text;

/// What the client was promised.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug, Default, Clone)]
struct Entry {
    measurement: String,
    /// Every end that was ever seen of the job, in order, without repetition.
    ends: Vec<String>,
}

/// The jobs of a measurement as the API shows it.
pub fn jobs_of(measurement: &Value) -> impl Iterator<Item = &Value> {
    measurement.get("jobs").and_then(Value::as_array).into_iter().flatten()
}

/// What the ledger found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Jobs accepted.
    pub accepted: usize,
    /// Jobs that have an end.
    pub ended: usize,
    /// Jobs accepted of which the product knows nothing, or which have no end.
    pub lost: usize,
    /// Jobs with two ends, a changed end, or two reports, and measurements that exist twice for one request.
    pub double: usize,
    /// How often each end came.
    pub ends: BTreeMap<String, usize>,
}

impl Ledger {
    /// Enters the jobs of a measurement that was accepted.
    pub fn accepted(&self, measurement: &Value) {
        for job in jobs_of(measurement) {
            self.seen(job, text(measurement, "id"));
        }
    }

    /// Enters a job as the API shows it.
    pub fn seen(&self, job: &Value, measurement: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(text(job, "id").to_owned()).or_default();
        measurement.clone_into(&mut entry.measurement);
        if !text(job, "ended_at").is_empty() {
            let reason = text(job, "reason");
            let end = if reason.is_empty() {
                text(job, "state").to_owned()
            } else {
                format!("{}({reason})", text(job, "state"))
            };
            if entry.ends.last() != Some(&end) {
                entry.ends.push(end);
            }
        }
    }

    /// The measurements of which a job has no end yet.
    pub fn open_measurements(&self) -> Vec<String> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open: Vec<String> = entries
            .values()
            .filter(|entry| entry.ends.is_empty())
            .map(|entry| entry.measurement.clone())
            .collect();
        open.dedup();
        open
    }

    /// How many jobs were accepted.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no job was accepted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Holds the ledger against what stands in the database of a control plane that is stopped.
    pub fn judge(&self, stored: &Stored) -> Verdict {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdict = Verdict {
            accepted: entries.len(),
            ended: 0,
            lost: 0,
            double: stored.jobs.len().saturating_sub(entries.len()),
            ends: BTreeMap::new(),
        };
        for (job, entry) in entries.iter() {
            let bare = job.replace('-', "");
            match (stored.jobs.get(&bare), entry.ends.as_slice()) {
                (Some(Some(end)), [seen]) if seen.starts_with(end.as_str()) => {
                    verdict.ended += 1;
                    *verdict.ends.entry(seen.clone()).or_default() += 1;
                }
                (Some(Some(_)), [_, ..]) => verdict.double += 1,
                _ => verdict.lost += 1,
            }
            verdict.double += usize::from(stored.reports.get(&bare).is_some_and(|reports| *reports > 1));
        }
        verdict
    }
}
