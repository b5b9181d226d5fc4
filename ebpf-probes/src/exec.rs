//! Programs that are run: one message of a ring for each that a process becomes or could not become, one for each process that ends.

use aya::maps::{MapData, RingBuf};
use shared_protocol::report::{Seen, SelfCheck};

mod book;
mod raw;

use book::Book;
use raw::{RawEnding, RawExecution};

use crate::attach::Hook;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::message::message;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;

/// Programs that are run being observed.
pub(crate) struct Exec {
    programs: Programs,
    told: RingBuf<MapData>,
    book: Book,
}

impl Exec {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::EXEC, kernel, &ask.check_port, |_| {})?;
        let told = programs.take("told")?;
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            told: RingBuf::try_from(told)?,
            programs,
            book: Book::new(ask),
        })
    }
}

impl Observer for Exec {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// Takes in what was run, and what ended, since.
    fn gather(&mut self) -> Look {
        while let Some(item) = self.told.next() {
            if let Some(execution) = message::<RawExecution>(&item) {
                self.book.began(&execution);
            } else if let Some(ending) = message::<RawEnding>(&item) {
                self.book.ended(ending);
            }
        }
        Look::Soon
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        self.gather();
        Ok(Seen::Exec(self.book.seen()))
    }

    fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        Ok(if self.book.saw_check() { SelfCheck::Passed } else { SelfCheck::Failed })
    }
}

pub(crate) const HOOKS: [Hook; 3] = [
    Hook {
        tracepoint: "sched_process_exec",
        typed: "exec_begin",
        plain: "exec_begin_plain",
        without: None,
    },
    Hook {
        tracepoint: "sched_process_exit",
        typed: "exec_end",
        plain: "exec_end_plain",
        without: Some("how and when programs end"),
    },
    Hook {
        tracepoint: "sys_exit",
        typed: "exec_refused",
        plain: "exec_refused_plain",
        without: Some("programs that could not be run"),
    },
];
