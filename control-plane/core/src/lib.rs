//! Decisions of the control plane, as plain functions and structures: who may do what, which job is next, what is admitted.
//!
//! Imports `shared-protocol` only; no I/O, no clock, no randomness: all three come in as arguments.
//!
//! ```
//! use control_core::authorize::{Action, Principal, Resource, authorize};
//!
//! assert!(authorize(&Principal::Anonymous, Action::AgentRead, Resource::OwnTenant).is_err());
//! ```

pub mod admission;
pub mod authorize;
pub mod board;
pub mod deadline;
pub mod drain;
pub mod duty;
pub mod host_load;
pub mod queue;
pub mod quota;
pub mod rate;
pub mod retry;
pub mod selection;
pub mod series;
pub mod sharing;
pub mod standing;
pub mod steady;
pub mod target_load;
