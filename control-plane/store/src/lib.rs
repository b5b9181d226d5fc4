//! All SQL of the project: one file for each aggregate, its statements as constants at the file's foot.
//!
//! Imports `control-core`, `shared-protocol` and sqlx; nothing but `control-services` imports it. Every function that touches a tenant's data
//! takes a [`control_core::authorize::TenantScope`] first, the control plane's own work a [`control_core::authorize::SystemScope`].
//! It reads no clock: instants come in as arguments. Writes go through one task that commits many operations at once and answers each
//! only after the commit is on disk.
//!
//! ```no_run
//! use control_core::authorize::SystemScope;
//! use control_store::{Database, Store, StoreOptions, tenants};
//! # async fn example(new: tenants::NewTenant) -> Result<(), control_store::StoreError> {
//! let store = Store::open(Database::file("probeops.db"), StoreOptions::default()).await?;
//! let tenant = new.id;
//! store.write(move |tx| Box::pin(async move { tenants::create(tx, SystemScope::for_own_work(), &new).await })).await?;
//! let found = tenants::find(&mut store.reader().await?, SystemScope::for_own_work(), tenant).await?;
//! assert!(found.is_some());
//! store.close().await;
//! # Ok(())
//! # }
//! ```

pub mod agents;
pub mod audit;
pub mod certificates;
mod connection;
mod database;
mod dialect;
mod error;
mod hot;
mod idempotency;
pub mod jobs;
pub mod join_tokens;
pub mod keys;
mod lock;
pub mod maintenance;
mod metrics;
pub mod packages;
mod page;
mod postgres;
pub mod quota;
mod readers;
pub mod reports;
pub mod retention;
mod row;
mod schema;
pub mod series;
pub mod sessions;
mod sqlite;
pub mod standing;
mod statement;
mod store;
mod tally;
pub mod tenants;
pub mod tiers;
mod trip;
mod tx;
pub mod usage;
mod writer;

#[cfg(test)]
mod conformance;

pub use database::{Database, Kind};
pub use error::{StoreError, Unavailable};
pub use hot::Hot;
pub use metrics::StoreMetrics;
pub use page::Page;
pub use store::{Store, StoreOptions};
pub use tx::{BoxFuture, Read, Reader, Tx};
