//! Reports: taken in once, made readable, published live.

mod bus;
mod ingest;
mod read;

pub use bus::StreamItem;
pub use read::Reports;

pub(crate) use bus::Bus;
pub(crate) use ingest::{Ingested, Ingestion};
