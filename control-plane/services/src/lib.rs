//! What the control plane does, by domain: authorise, decide by `control-core`, store by `control-store`, publish.
//!
//! The only crate that reaches the store. Every function on behalf of a request needs a [`control_core::authorize::Grant`], so no route
//! can forget to ask. May use tokio and the store; knows nothing of HTTP or of WebSocket frames.
//!
//! ```no_run
//! # async fn example() -> Result<(), control_services::StartError> {
//! use control_services::{ServiceOptions, Services};
//!
//! let services = Services::start(ServiceOptions::new("./data".into())).await?;
//! services.stop().await;
//! # Ok(())
//! # }
//! ```

mod allocator;
mod allowances;
pub mod clock;
mod error;
pub mod fleet;
mod housekeeping;
pub mod identity;
pub mod jobs;
pub mod metrics;
pub mod packages;
mod private_file;
pub mod reports;
pub mod series;
mod services;
pub mod standing;
pub mod subscriptions;
mod tiers;

pub use allowances::RateAllowance;
pub use control_store::{Database, maintenance};
pub use error::{ServiceError, StartError};
pub use services::{Readiness, ServiceOptions, Services, TARGET_PACKETS_PER_SECOND};
