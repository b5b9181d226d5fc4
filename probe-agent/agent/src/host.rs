//! The host: what it is, and when it wants the agent to stop.

pub mod facts;
pub mod stop;
