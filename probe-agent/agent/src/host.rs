//! The host: what it is, when it wants the agent to stop, and what its service manager is told.

pub mod facts;
pub mod service_manager;
pub mod stop;
