//! The way to the control plane: enrolment, identity, dialling, backoff, and the driver of the session machine.
//!
//! Nothing here listens. The agent trusts the certificates it got at enrolment, never the system's store.

pub mod backoff;
pub mod bundle;
pub mod dial;
pub mod driver;
pub mod endpoint;
pub mod enrolment;
pub mod heard;
pub mod http;
pub mod identity;
pub mod tls;
pub mod verifier;
mod wire;

#[cfg(test)]
mod tests;
