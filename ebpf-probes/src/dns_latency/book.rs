//! What becomes of the questions seen: totals over all, and one entry for each kind of question.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use shared_protocol::report::{DnsSeen, DnsTotals, Masked, QuestionSeen};
use shared_protocol::spec::RecordType;

use super::question::read;
use super::{Answered, Asked, Question};
use crate::endpoint::command;
use crate::slots::{self, SLOTS};

/// The questions that were answered, or never will be.
#[derive(Debug, Clone)]
pub(super) struct Book {
    top: usize,
    masked: Vec<Masked>,
    totals: DnsTotals,
    took: Took,
    questions: BTreeMap<Key, Entry>,
    lost: u64,
    newest_ns: u64,
}

/// Questions that are told together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: Option<String>,
    kind: Option<u16>,
    server: SocketAddr,
    command: [u8; 16],
}

#[derive(Debug, Clone, Default)]
struct Entry {
    answered: u64,
    failed: u64,
    unanswered: u64,
    code: Option<u8>,
    pid: u32,
    total_ns: u64,
    max_ns: u64,
}

#[derive(Debug, Clone, Default)]
struct Took {
    total_ns: u64,
    max_ns: u64,
    slots: [u64; SLOTS],
}

impl Book {
    pub(super) fn new(top: usize, masked: &[Masked]) -> Self {
        Self {
            top,
            masked: masked.to_vec(),
            totals: DnsTotals::default(),
            took: Took::default(),
            questions: BTreeMap::new(),
            lost: 0,
            newest_ns: 0,
        }
    }

    /// The latest moment that was told.
    pub(super) const fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// Answers that there was no room for.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// One was answered.
    pub(super) fn answered(&mut self, one: &Answered) {
        let took_ns = one.at_ns.saturating_sub(one.question.asked_ns);
        // Four bits.
        let code = u8::try_from(one.code).unwrap_or(u8::MAX);
        self.newest_ns = self.newest_ns.max(one.at_ns);
        self.count(&one.question);
        self.totals.answered += 1;
        self.totals.failed += u64::from(code > 0);
        self.took.total_ns += took_ns;
        self.took.max_ns = self.took.max_ns.max(took_ns);
        if let Some(count) = self.took.slots.get_mut(slots::place(took_ns / 1_000)) {
            *count += 1;
        }
        let Some(entry) = self.entry(&one.asked, &one.question) else { return };
        entry.answered += 1;
        entry.failed += u64::from(code > 0);
        entry.code = if code > 0 { Some(code) } else { entry.code };
        entry.total_ns += took_ns;
        entry.max_ns = entry.max_ns.max(took_ns);
    }

    /// One waits in vain.
    pub(super) fn unanswered(&mut self, asked: &Asked, question: &Question) {
        self.count(question);
        self.totals.unanswered += 1;
        if let Some(entry) = self.entry(asked, question) {
            entry.unanswered += 1;
        }
    }

    fn count(&mut self, question: &Question) {
        self.totals.questions += 1;
        self.totals.sent_again += u64::from(question.sent.saturating_sub(1));
    }

    fn entry(&mut self, asked: &Asked, question: &Question) -> Option<&mut Entry> {
        let bytes = usize::try_from(question.bytes).ok().and_then(|bytes| question.name.get(..bytes));
        let read = bytes.and_then(read);
        let key = Key {
            kind: read.as_ref().map(|(_, kind)| *kind),
            name: read.map(|(name, _)| name).filter(|_| !self.masked.contains(&Masked::Names)),
            server: asked.ends.remote(&self.masked),
            command: question.command,
        };
        if self.questions.len() >= QUESTIONS && !self.questions.contains_key(&key) {
            self.lost += 1;
            return None;
        }
        let entry = self.questions.entry(key).or_default();
        entry.pid = question.pid;
        Some(entry)
    }

    /// Everything: those that waited in vain first, then the slowest.
    pub(super) fn seen(&self) -> DnsSeen {
        let mut questions: Vec<_> = self.questions.iter().collect();
        questions.sort_by_key(|(_, entry)| std::cmp::Reverse((entry.unanswered, entry.max_ns)));
        DnsSeen {
            totals: self.totals,
            latencies: slots::told(&self.took.slots, self.took.total_ns, self.took.max_ns),
            questions: questions.iter().take(self.top).map(|(key, entry)| self.told(key, entry)).collect(),
        }
    }

    fn told(&self, key: &Key, entry: &Entry) -> QuestionSeen {
        let answered = entry.answered > 0;
        QuestionSeen {
            name: key.name.clone(),
            record_type: key.kind.map(RecordType::name_of),
            server: key.server,
            pid: entry.pid,
            command: (!self.masked.contains(&Masked::Commands)).then(|| command(&key.command)),
            answered: entry.answered,
            failed: entry.failed,
            unanswered: entry.unanswered,
            rcode: entry.code,
            avg_us: answered.then(|| entry.total_ns / entry.answered / 1_000),
            max_us: answered.then_some(entry.max_ns / 1_000),
        }
    }
}

/// Most kinds of question kept apart.
const QUESTIONS: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::super::QUESTION;
    use super::*;

    fn question(name: &str, asked_ns: u64) -> Question {
        let mut question = Question {
            asked_ns,
            sent: 2,
            pid: 7,
            bytes: 0,
            unused: 0,
            command: *b"resolve\0\0\0\0\0\0\0\0\0",
            name: [0xff; QUESTION],
        };
        let bytes = [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &[0, 0, 1, 0, 1]].concat();
        question.name[..bytes.len()].copy_from_slice(&bytes);
        question.bytes = u32::try_from(bytes.len()).unwrap();
        question
    }

    fn answered(name: &str, took_us: u64, code: u32) -> Answered {
        Answered {
            asked: Asked::default(),
            question: question(name, 1_000),
            at_ns: 1_000 + took_us * 1_000,
            code,
            unused: 0,
        }
    }

    #[test]
    fn questions_of_one_kind_are_one_entry_and_those_without_an_answer_come_first() {
        let mut book = Book::new(2, &[]);
        book.answered(&answered("fast", 10, 0));
        book.answered(&answered("slow", 5_000, 3));
        book.answered(&answered("slow", 1_000, 0));
        book.unanswered(&Asked::default(), &question("never", 1));
        let seen = book.seen();
        let totals = seen.totals;
        assert_eq!(
            (totals.questions, totals.answered, totals.failed, totals.unanswered, totals.sent_again),
            (4, 3, 1, 1, 4)
        );
        let told: Vec<_> = seen
            .questions
            .iter()
            .map(|one| (one.name.as_deref().unwrap(), one.avg_us, one.max_us, one.rcode))
            .collect();
        assert_eq!(told, [("never.", None, None, None), ("slow.", Some(3_000), Some(5_000), Some(3))]);
        assert_eq!(seen.latencies.unwrap().slots.iter().sum::<u64>(), 3);
        assert_eq!(book.newest_ns(), 5_001_000);
    }

    #[test]
    fn what_the_owner_hides_is_in_no_entry() {
        let mut book = Book::new(9, &[Masked::Names, Masked::Commands]);
        book.answered(&answered("one", 1, 0));
        book.answered(&answered("two", 2, 0));
        let [only] = &book.seen().questions[..] else {
            panic!("nothing tells them apart")
        };
        assert_eq!((only.answered, only.name.as_ref(), only.command.as_ref()), (2, None, None));
        assert_eq!((only.record_type.as_deref(), only.pid), (Some("A"), 7));
    }

    #[test]
    fn more_kinds_than_there_is_room_for_are_counted() {
        let mut book = Book::new(1, &[]);
        for number in 0..=QUESTIONS {
            book.answered(&answered(&format!("n{number}"), 1, 0));
        }
        assert_eq!((book.lost(), book.seen().totals.answered), (1, u64::try_from(QUESTIONS).unwrap() + 1));
    }
}
