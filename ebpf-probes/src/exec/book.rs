//! What becomes of the programs seen: totals over all, and those that were run last.

use std::collections::{BTreeSet, VecDeque};

use shared_protocol::report::{Execution, ExecutionTotals, ExecutionsSeen, Masked};

use super::raw::{RawEnding, RawExecution};
use crate::check::check_name;
use crate::observing::Ask;

/// The programs that were run.
#[derive(Debug)]
pub(super) struct Book {
    top: usize,
    only: Option<u32>,
    masked: Vec<Masked>,
    check: Vec<u8>,
    saw_check: bool,
    totals: ExecutionTotals,
    /// Processes that have not ended.
    running: BTreeSet<u32>,
    /// The last first, each with when it began.
    latest: VecDeque<(u64, Execution)>,
}

impl Book {
    pub(super) fn new(ask: &Ask<'_>) -> Self {
        Self {
            top: ask.top,
            only: ask.pid,
            masked: ask.masked.to_vec(),
            check: [check_name(ask.check_port).as_bytes(), &[0]].concat(),
            saw_check: false,
            totals: ExecutionTotals::default(),
            running: BTreeSet::new(),
            latest: VecDeque::new(),
        }
    }

    /// A process has become a program, or could not.
    pub(super) fn began(&mut self, execution: &RawExecution) {
        if execution.given().starts_with(&self.check) {
            self.saw_check = true;
            return;
        }
        if self.only.is_some_and(|only| only != execution.pid && only != execution.parent) {
            return;
        }
        if execution.error == 0 {
            self.totals.executions += 1;
        } else {
            self.totals.refused += 1;
        }
        if execution.error == 0 && self.running.len() < RUNNING {
            self.running.insert(execution.pid);
        }
        self.latest.truncate(self.top.saturating_sub(1));
        self.latest.push_front((execution.began_ns, execution.told(&self.masked)));
    }

    /// A process has ended, whatever it was.
    pub(super) fn ended(&mut self, ending: RawEnding) {
        if !self.running.remove(&ending.pid) {
            return;
        }
        self.totals.ended += 1;
        self.totals.failed += u64::from(ending.status != 0);
        if let Some((began_ns, execution)) = self
            .latest
            .iter_mut()
            .find(|(_, execution)| execution.pid == ending.pid && execution.errno.is_none())
        {
            execution.ran_us = Some(ending.ended_ns.saturating_sub(*began_ns) / 1_000);
            execution.exit_code = ending.exit_code();
            execution.signal = ending.signal();
        }
    }

    /// Everything up to now.
    pub(super) fn seen(&self) -> ExecutionsSeen {
        ExecutionsSeen {
            totals: self.totals,
            executions: self.latest.iter().map(|(_, execution)| execution.clone()).collect(),
        }
    }

    pub(super) const fn saw_check(&self) -> bool {
        self.saw_check
    }
}

/// Most processes whose end is waited for; the ends of those beyond are not counted.
const RUNNING: usize = 8_192;

#[cfg(test)]
mod tests {
    use shared_protocol::spec::Observation;

    use super::*;

    fn execution(pid: u32, parent: u32, given: &[u8]) -> RawExecution {
        let mut execution = RawExecution {
            began_ns: 1_000,
            pid,
            parent,
            user: 0,
            length: u32::try_from(given.len()).unwrap(),
            error: 0,
            unused: 0,
            command: [0; 16],
            file: [0; 128],
            arguments: [0; 256],
        };
        execution.arguments[..given.len()].copy_from_slice(given);
        execution
    }

    fn book(pid: Option<u32>) -> Book {
        Book::new(&Ask {
            top: 2,
            pid,
            check_port: 7,
            ..Ask::everything(Observation::Exec)
        })
    }

    #[test]
    fn totals_hold_all_and_the_list_those_that_were_run_last() {
        let mut book = book(None);
        for pid in 1..=5 {
            book.began(&execution(pid, 0, b"a\0"));
        }
        for (pid, status) in [(1, 0), (4, 9), (5, 0x100), (5, 0), (77, 0)] {
            book.ended(RawEnding { ended_ns: 5_000, pid, status });
        }
        let seen = book.seen();
        assert_eq!((seen.totals.executions, seen.totals.ended, seen.totals.failed), (5, 3, 2));
        let told: Vec<_> = seen.executions.iter().map(|one| (one.pid, one.ran_us, one.exit_code, one.signal)).collect();
        assert_eq!(told, [(5, Some(4), Some(1), None), (4, Some(4), None, Some(9))]);
    }

    #[test]
    fn what_could_not_be_run_is_counted_apart_and_ends_nothing() {
        let mut book = book(None);
        book.began(&execution(1, 0, b"a\0"));
        book.began(&RawExecution {
            error: 2,
            ..execution(1, 0, b"")
        });
        book.began(&RawExecution {
            error: 13,
            ..execution(2, 0, b"")
        });
        book.ended(RawEnding {
            ended_ns: 5_000,
            pid: 2,
            status: 0x7f00,
        });
        let seen = book.seen();
        assert_eq!((seen.totals.executions, seen.totals.refused, seen.totals.ended), (1, 2, 0));
        assert_eq!(seen.executions.iter().map(|one| one.errno).collect::<Vec<_>>(), [Some(13), Some(2)]);
    }

    #[test]
    fn only_what_was_asked_for_is_seen_and_the_check_is_in_no_number() {
        let mut book = book(Some(9));
        book.began(&execution(1, 2, b"probeops-check-00000071\0"));
        assert!(!book.saw_check());
        book.began(&execution(1, 2, b"probeops-check-0000007\0--version\0"));
        assert!(book.saw_check());
        for (pid, parent) in [(9, 1), (10, 9), (11, 10)] {
            book.began(&execution(pid, parent, b"a\0"));
        }
        assert_eq!(book.seen().totals.executions, 2);
    }
}
