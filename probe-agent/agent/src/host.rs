//! The host: what it is, where it is, how busy it is, when it wants the agent to stop, and what its service manager is told.

pub mod facts;
pub mod load;
pub mod place;
pub mod privilege;
pub mod sampler;
pub mod service_manager;
pub mod stop;
