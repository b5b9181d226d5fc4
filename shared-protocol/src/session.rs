//! Both ends of a session as plain values: bytes, time and the owner's wishes go in, texts to send and effects come out.
//!
//! Neither machine does I/O, reads a clock or draws a random number. The driver of either feeds what arrived (`handle_text`,
//! `handle_received`), calls `handle_timeout` once `poll_timeout` has passed, and after each of these drains `poll_effect` and, as the
//! socket takes it, `poll_transmit`. After a `Close` effect the machine is inert: nothing more is sent, handled or waited for.
//!
//! Control overtakes bulk: acknowledgements, cancels, keepalives and credit leave before events, events before pieces of reports, and one
//! piece is handed out at a time, so that what is urgent waits for at most one piece.

mod agent;
mod jitter;
mod liveness;
mod rate;
mod server;

pub use agent::{AgentEffect, AgentSession};
pub use jitter::Jitter;
pub use server::{ServerEffect, ServerSession};
