//! Jobs: admission, the dispatcher that hands them to agents, and the one place where a job's end is made known.

mod accepts;
mod admission;
mod arriving;
mod choice;
mod decide;
mod dispatch;
mod draft;
mod in_flight;
mod lifecycle;
mod plan;
mod rates;
pub(crate) mod read;
mod relocate;
mod take_back;
mod targets;

pub use admission::Jobs;

pub(crate) use accepts::Accepts;
pub(crate) use admission::idempotency;
pub(crate) use decide::within;
pub(crate) use dispatch::{Dispatch, Dispatcher, Load, Loaded, OpenedSession};
pub(crate) use in_flight::InFlight;
pub(crate) use lifecycle::Lifecycle;
pub(crate) use rates::Rates;
pub(crate) use relocate::stranded;
pub(crate) use targets::Targets;
