//! Reports: taken in once, made readable, published live.

mod bus;
mod export;
mod history;
mod ingest;
mod read;
mod tenant;

pub use bus::StreamItem;
pub use read::Reports;
pub use tenant::{TenantItem, Topic};

pub(crate) use bus::{Beginning, Bus, content};
pub(crate) use history::instant;
pub(crate) use ingest::{Ingested, Intake};
