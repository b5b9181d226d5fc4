//! Reports as series: which numbers a report yields, at which instant they count, how they are rolled up, packed, asked for and let go.
//!
//! Everything here is a function of stored reports and of instants that come in as arguments, so that a roll-up can be computed again at any time.

mod chunk;
mod contribution;
mod instant;
mod range;
mod reading;
mod retention;
mod rollup;
mod sketch;
mod varint;

pub use chunk::{Sample, Unreadable, pack, unpack};
pub use contribution::{Contribution, Detail, Identity};
pub use instant::{Day, Hour, Measured, Trust, asked_at, measured_at, measured_since};
pub use range::{InvalidRange, Plan, Point, Source, of_rollups, of_samples, plan};
pub use reading::{Reading, readings};
pub use retention::{Cutoff, Retention, first_job_at, series_max};
pub use rollup::{Good, Rollup};
pub use sketch::Sketch;
