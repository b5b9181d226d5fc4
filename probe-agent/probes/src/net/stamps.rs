//! When packets left, by the kernel: it counts what a socket sends and tells the time of each by its number, later, on the error queue.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};

/// Packets whose transmit timestamp is still to come, by the number the kernel counts them with; `T` says whose each is. Pure.
#[derive(Debug)]
pub(crate) struct Book<T> {
    /// Number of the entry at the front.
    oldest: u32,
    awaited: VecDeque<Option<Awaited<T>>>,
}

#[derive(Debug)]
struct Awaited<T> {
    owner: T,
    /// Wall clock before the packet was handed to the kernel, nanoseconds.
    not_before_ns: i64,
}

impl<T> Book<T> {
    pub(crate) const fn new() -> Self {
        Self {
            oldest: 0,
            awaited: VecDeque::new(),
        }
    }

    /// Enters the next packet.
    pub(crate) fn enter(&mut self, owner: T, not_before_ns: i64) {
        self.awaited.push_back(Some(Awaited { owner, not_before_ns }));
        if self.awaited.len() > AWAITED_BOUND {
            self.awaited.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    /// Whose packet the kernel has stamped. `None` when it is not in the book, or the stamp cannot be its own.
    pub(crate) fn take(&mut self, number: u32, at_ns: i64) -> Option<T> {
        let place = usize::try_from(number.wrapping_sub(self.oldest)).ok()?;
        let awaited = self.awaited.get_mut(place)?.take()?;
        while self.awaited.front().is_some_and(Option::is_none) {
            self.awaited.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
        }
        (at_ns.saturating_add(STAMP_TOLERANCE_NS) >= awaited.not_before_ns).then_some(awaited.owner)
    }

    /// Whether stamps are still to come.
    pub(crate) fn awaits(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Begins again at 0, as the kernel does after [`restart_count`]; stamps that are still to come are given up.
    pub(crate) fn restart(&mut self) {
        self.oldest = 0;
        self.awaited.clear();
    }
}

/// Asks the kernel for the times at which what the socket sends leaves and what it receives comes.
pub(crate) fn ask_for(socket: &impl AsFd) -> nix::Result<()> {
    setsockopt(socket, sockopt::Timestamping, &flags())
}

/// Makes the kernel count what the socket sends from 0 again: after a failed send its count is unknown.
pub(crate) fn restart_count(socket: &impl AsFd) {
    for flags in [flags() - TimestampingFlag::SOF_TIMESTAMPING_OPT_ID, flags()] {
        // It was accepted when the socket was opened; where it is not now, timestamps fail their plausibility check.
        let _ = setsockopt(socket, sockopt::Timestamping, &flags);
    }
}

fn flags() -> TimestampingFlag {
    TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY
}

/// Wall clock and kernel timestamp are one clock; this much is for their reading.
const STAMP_TOLERANCE_NS: i64 = 1_000;
/// Timestamps awaited at the same time; when more are missing, the oldest are given up.
const AWAITED_BOUND: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_find_their_packets_in_any_order_and_once() {
        let mut book = Book::new();
        for owner in ["a", "b", "c"] {
            book.enter(owner, 1_000_000);
        }
        assert_eq!(book.take(2, 1_000_001), Some("c"));
        assert_eq!((book.take(0, 1_000_001), book.take(0, 1_000_001)), (Some("a"), None));
        assert_eq!((book.take(1, 1_000_001), book.take(3, 1_000_001)), (Some("b"), None));
        book.enter("d", 2_000_000);
        assert!(book.awaits());
        assert_eq!(book.take(3, 1_000_000), None, "from before it was sent");
        assert!(!book.awaits());
    }

    #[test]
    fn after_a_restart_the_count_begins_at_zero_and_old_stamps_are_nobodys() {
        let mut book = Book::new();
        for owner in 0..5 {
            book.enter(owner, 0);
        }
        book.take(1, 1);
        book.restart();
        assert_eq!(book.take(4, 1), None);
        book.enter(9, 0);
        assert_eq!(book.take(0, 1), Some(9));
    }

    #[test]
    fn when_too_many_are_missing_the_oldest_is_given_up() {
        let mut book = Book::new();
        for owner in 0..=AWAITED_BOUND {
            book.enter(owner, 0);
        }
        assert_eq!((book.take(0, 1), book.take(1, 1)), (None, Some(1)));
    }
}
