//! The only sockets towards targets, the gate before them, and the resolver.

mod batch;
pub(crate) mod departures;
pub(crate) use agent_paths::errno;
mod filter;
pub mod gate;
pub mod icmp;
pub(crate) mod message;
pub(crate) mod neighbor;
pub(crate) mod observer;
mod pacer;
mod packet_listener;
#[cfg_attr(not(test), expect(dead_code, reason = "answers to first segments are read in full by tcp"))]
pub(crate) mod path;
pub mod resolver;
mod ring;
pub(crate) mod route;
mod stamped;
mod stamps;
pub(crate) mod tcp;
pub mod tls;
pub(crate) mod udp;
