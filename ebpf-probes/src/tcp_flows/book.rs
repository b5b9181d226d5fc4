//! What becomes of the connections seen: totals over all, and those that moved most.

use shared_protocol::report::{FlowTotals, FlowsSeen, Masked};

use super::raw::RawFlow;

/// The connections that have ended.
#[derive(Debug)]
pub(super) struct Book {
    top: usize,
    totals: FlowTotals,
    /// Those that ended and moved most; a few more than are told, so that they are put in order seldom.
    most: Vec<RawFlow>,
}

impl Book {
    pub(super) fn new(top: usize) -> Self {
        Self {
            top,
            totals: FlowTotals::default(),
            most: Vec::new(),
        }
    }

    /// One has ended.
    pub(super) fn closed(&mut self, flow: &RawFlow) {
        count(&mut self.totals, flow);
        self.most.push(*flow);
        if self.most.len() > 4 * self.top {
            keep_most(&mut self.most, self.top);
        }
    }

    /// Everything up to now, with these that are open.
    pub(super) fn seen(&self, open: Vec<RawFlow>, masked: &[Masked]) -> FlowsSeen {
        let mut totals = self.totals;
        for flow in &open {
            count(&mut totals, flow);
        }
        let mut flows = open;
        flows.extend(&self.most);
        keep_most(&mut flows, self.top);
        FlowsSeen {
            totals,
            flows: flows.iter().map(|flow| flow.told(masked)).collect(),
        }
    }
}

fn count(totals: &mut FlowTotals, flow: &RawFlow) {
    totals.flows += 1;
    totals.opened += u64::from(flow.established_ns > 0);
    totals.failed += u64::from(flow.failed());
    totals.closed += u64::from(flow.closed_ns > 0 && !flow.failed());
    totals.sent_bytes += flow.sent();
    totals.received_bytes += flow.received();
    totals.retransmits += u64::from(flow.sent_again());
}

/// Most bytes first; of those that moved the same, the one seen first.
fn keep_most(flows: &mut Vec<RawFlow>, top: usize) {
    flows.sort_by_key(|flow| (std::cmp::Reverse(flow.moved()), flow.first_seen_ns, flow.socket));
    flows.truncate(top);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(socket: u64, sent: u64, closed_ns: u64) -> RawFlow {
        RawFlow {
            socket,
            first_seen_ns: socket,
            established_ns: 1,
            closed_ns,
            sent_bytes: sent,
            sent_before_bytes: 1,
            ..RawFlow::default()
        }
    }

    #[test]
    fn totals_hold_all_and_the_list_those_that_moved_most() {
        let mut book = Book::new(2);
        for number in 1..=100 {
            book.closed(&flow(number, number, 9));
        }
        let seen = book.seen(vec![flow(200, 51, 0)], &[]);
        assert_eq!((seen.totals.flows, seen.totals.closed, seen.totals.opened), (101, 100, 101));
        assert_eq!(seen.totals.sent_bytes, 99 * 100 / 2 + 50);
        assert_eq!(seen.flows.iter().map(|flow| flow.sent_bytes).collect::<Vec<_>>(), [100, 99]);
        assert!(book.most.len() <= 8);
    }

    #[test]
    fn a_try_that_came_to_nothing_is_neither_opened_nor_closed() {
        let mut book = Book::new(2);
        book.closed(&RawFlow {
            syn_sent_ns: 1,
            closed_ns: 2,
            error: 111,
            ..RawFlow::default()
        });
        let seen = book.seen(Vec::new(), &[]);
        assert_eq!((seen.totals.flows, seen.totals.failed, seen.totals.closed, seen.totals.opened), (1, 1, 0, 0));
        assert_eq!(seen.flows[0].errno, Some(111));
    }
}
