//! The only sockets towards targets, the gate before them, and the resolver.

pub mod gate;
pub mod icmp;
mod pacer;
pub mod resolver;
pub(crate) mod route;
