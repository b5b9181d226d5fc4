//! Simulated agents: the real enrolment, the real TLS, the real session machine, the agent's own backoff; only the probes are made up.
//!
//! One tokio task each. Over sockets to a control plane of its own process ([`SimulatedAgent`]), or machine to machine within one
//! process ([`House`]), where no descriptor and no cipher stands between a fleet and the dispatcher.

mod house;
mod identity;
mod made_up;
mod pipe;
mod simulated;

pub use house::House;
pub use identity::{Identity, found};
pub use made_up::{MadeUp, Probes};
pub use pipe::PipedAgent;
pub use simulated::{News, SimulatedAgent};
