//! Questions to DNS: one entry of a map for each that waits, one message of a ring for each that was answered.

use std::collections::BTreeMap;

use aya::Pod;
use aya::maps::{HashMap, MapData, RingBuf};
use shared_protocol::report::Seen;

mod book;
mod question;

use book::Book;

use crate::attach::Hook;
use crate::endpoint::{Endpoints, Filter};
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::message::message;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;

/// Questions to DNS being observed.
pub(crate) struct DnsLatency {
    programs: Programs,
    open: HashMap<MapData, Asked, Question>,
    answers: RingBuf<MapData>,
    book: Book,
}

/// `struct asked` of `programs/dns_latency.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    ends: Endpoints,
    namespace: u32,
    id: u16,
    unused: u16,
}

/// `struct question` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Question {
    asked_ns: u64,
    sent: u32,
    pid: u32,
    bytes: u32,
    unused: u32,
    command: [u8; 16],
    name: [u8; QUESTION],
}

/// `struct answered` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Answered {
    asked: Asked,
    question: Question,
    at_ns: u64,
    code: u32,
    unused: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Asked {}
// SAFETY: as above.
unsafe impl Pod for Question {}
// SAFETY: as above.
unsafe impl Pod for Answered {}

impl DnsLatency {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address);
        let mut programs = Programs::open(object::DNS_LATENCY, kernel, &ask.check_port, |loader| filter.set(loader))?;
        let (open, answers) = (programs.take("open_questions")?, programs.take("answers")?);
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            open: HashMap::try_from(open)?,
            answers: RingBuf::try_from(answers)?,
            programs,
            book: Book::new(ask.top, ask.masked),
        })
    }

    fn drain(&mut self, mut answered: impl FnMut(&Answered)) {
        while let Some(item) = self.answers.next() {
            let Some(one) = message::<Answered>(&item) else { continue };
            self.book.answered(&one);
            answered(&one);
        }
    }
}

impl Observer for DnsLatency {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn gather(&mut self) -> Look {
        self.drain(|_| {});
        Look::Soon
    }

    /// Those that wait are read first: one that is answered meanwhile is then found in the ring, and counts once.
    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut open = BTreeMap::new();
        for asked in self.open.keys().take(2 * ENTRIES) {
            let asked = asked?;
            if let Ok(question) = self.open.get(&asked, 0) {
                open.insert((asked, question.asked_ns), question);
            }
        }
        self.drain(|one| {
            open.remove(&(one.asked, one.question.asked_ns));
        });
        let newest_ns = open.keys().map(|(_, asked_ns)| *asked_ns).max().unwrap_or_default().max(self.book.newest_ns());
        let (given_up, waiting): (Vec<_>, Vec<_>) = open.iter().partition(|((_, asked_ns), _)| asked_ns + PATIENCE_NS < newest_ns);
        for ((asked, _), question) in given_up {
            // It may have been answered in this moment: then it counts as answered too late.
            let _answered = self.open.remove(asked);
            self.book.unanswered(asked, question);
        }
        let mut now = self.book.clone();
        for ((asked, _), question) in waiting {
            now.unanswered(asked, question);
        }
        Ok(Seen::DnsLatency(now.seen()))
    }

    fn lost(&self) -> Result<u64, ObserveError> {
        Ok(self.programs.lost()? + self.book.lost())
    }
}

pub(crate) const HOOKS: [Hook; 2] = [
    Hook {
        tracepoint: "net_dev_start_xmit",
        typed: "question_out",
        plain: "question_out_plain",
        without: None,
    },
    Hook {
        tracepoint: "netif_receive_skb",
        typed: "answer_in",
        plain: "answer_in_plain",
        without: None,
    },
];

/// Entries of the map `open_questions`.
const ENTRIES: usize = 4_096;
/// `QUESTION` of the program.
const QUESTION: usize = 128;
/// After so long nobody waits for an answer any more: what resolvers take by default.
const PATIENCE_NS: u64 = 5_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = object::DNS_LATENCY.bytes;
        assert_same_layout!(object, "asked", Asked { ends, namespace, id, unused });
        assert_same_layout!(
            object,
            "question",
            Question {
                asked_ns,
                sent,
                pid,
                bytes,
                unused,
                command,
                name
            }
        );
        assert_same_layout!(
            object,
            "answered",
            Answered {
                asked,
                question,
                at_ns,
                code,
                unused
            }
        );
    }

    #[test]
    fn a_message_of_another_length_is_none() {
        assert!(message::<Answered>(&[0; size_of::<Answered>()]).is_some());
        assert!(message::<Answered>(&[0; size_of::<Answered>() + 1]).is_none());
        assert!(message::<Answered>(&[]).is_none());
    }
}
