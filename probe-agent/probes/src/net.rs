//! The only sockets towards targets, the gate before them, and the resolver.

pub(crate) mod departures;
pub(crate) mod errno;
pub mod gate;
pub mod icmp;
pub(crate) mod message;
mod pacer;
pub mod resolver;
pub(crate) mod route;
pub(crate) mod tcp;
pub mod tls;
pub(crate) mod udp;
