//! What probes that try something several times, or several things, tell the drivers between sockets and clock.

use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::time::MonotonicMicros;

/// What is asked of one address, try by try. Plain: time comes in as an argument.
pub(crate) trait Schedule {
    /// The try that is to begin now; each is given once, and then its outcome is told.
    fn poll_start(&mut self, now: MonotonicMicros) -> Option<Ask>;

    /// How long until `poll_start` has something; `None` while only outcomes are waited for.
    fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration>;

    /// The next try that is still to begin, and never will.
    fn poll_abandoned(&mut self) -> Option<u32>;

    /// Whether everything has its outcome.
    fn is_finished(&self) -> bool;
}

/// What takes outcomes of one kind.
pub(crate) trait Asking<Ended>: Schedule {
    /// A try has its outcome; gives what is to be told of it.
    fn handle_ended(&mut self, ended: Ended) -> Option<ProbeEvent>;

    /// What the other end of a try said first, where it was listened to; its outcome follows.
    fn handle_greeting(&mut self, _index: u32, _greeting: &[u8]) {}
}

/// A try that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Its number.
    pub index: u32,
    /// The port that it goes to.
    pub port: u16,
}
