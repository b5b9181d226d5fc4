//! One try with its outcome. Pure.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{DnsOutcome, DnsTry};

use super::plan::Step;
use super::reading::{Answer, Message};
use crate::net::errno;
use crate::net::icmp::{Family, meaning};
use crate::net::tcp::DialError;

/// One try with its outcome, and the answer where there was one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub tried: DnsTry,
    pub answer: Option<Answer>,
}

/// How long an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub kernel_us: Option<u64>,
    pub user: Duration,
    pub bytes: usize,
}

impl Attempt {
    /// A try that has just begun.
    pub(super) fn begin(step: Step, query_bytes: usize) -> Self {
        let tried = DnsTry {
            seq: step.seq,
            server: step.server,
            transport: step.transport,
            outcome: DnsOutcome::Unanswered,
            rtt_us: None,
            user_rtt_us: None,
            connect_us: None,
            query_bytes: u32::try_from(query_bytes).unwrap_or(u32::MAX),
            bytes: None,
            foreign: 0,
            malformed: 0,
            code: None,
            errno: None,
            icmp_error: None,
            from: None,
        };
        Self { tried, answer: None }
    }

    /// A message that answers another question, or none, came.
    pub(super) const fn note_foreign(&mut self) {
        self.tried.foreign = self.tried.foreign.saturating_add(1);
    }

    /// A message that cannot be read came.
    pub(super) const fn note_malformed(&mut self) {
        self.tried.malformed = self.tried.malformed.saturating_add(1);
    }

    pub(super) fn connected(&mut self, taken: Duration) {
        self.tried.connect_us = micros(taken);
    }

    pub(super) fn answered(mut self, message: Message, taken: Taken) -> Self {
        self.came(DnsOutcome::Answered, taken);
        self.answer = Some(message.into_answer(&self.tried));
        self
    }

    pub(super) fn truncated(mut self, taken: Taken) -> Self {
        self.came(DnsOutcome::Truncated, taken);
        self
    }

    /// Nothing that answers came in time. What came and could not be read is another fault than silence.
    pub(super) const fn unanswered(self) -> Self {
        let code = if self.tried.malformed > 0 {
            ErrorCode::ProtoError
        } else {
            ErrorCode::Timeout
        };
        self.ended(DnsOutcome::Unanswered, code)
    }

    pub(super) fn refused(mut self, kind: (u8, u8), from: Option<IpAddr>) -> Self {
        self.tried.icmp_error = Some(kind);
        self.tried.from = from.filter(|from| *from != self.tried.server.ip());
        let code = meaning::code_of(Family::of(self.tried.server.ip()), kind);
        self.ended(DnsOutcome::Unreachable, code)
    }

    /// The kernel would not send, or reports an error of its own.
    pub(super) const fn failed(mut self, number: i32) -> Self {
        let (fault, code) = match number {
            libc::ECONNREFUSED => (Fault::Target, ErrorCode::Refused),
            other => errno::judge(other),
        };
        self.tried.errno = Some(number);
        self.ended(
            match fault {
                Fault::Agent => DnsOutcome::Unsent,
                Fault::None | Fault::Target | Fault::Path | Fault::Resolver | Fault::Policy | Fault::Control => DnsOutcome::Unreachable,
            },
            code,
        )
    }

    /// The owner's rates left no room in time.
    pub(super) const fn no_room(self) -> Self {
        self.ended(DnsOutcome::Unsent, ErrorCode::Resource)
    }

    /// There was no connection.
    pub(super) fn not_connected(mut self, error: &DialError) -> Self {
        let (fault, told) = error.blame(self.tried.server.ip());
        self.tried.errno = told.errno;
        let outcome = match (error, fault) {
            (DialError::TimedOut, _) => DnsOutcome::Unanswered,
            (DialError::Denied(_) | DialError::NoRoom, _) | (DialError::Failed(_), Fault::Agent) => DnsOutcome::Unsent,
            (DialError::Failed(failure), _) => {
                self.tried.icmp_error = failure.icmp.map(|(kind, _)| kind);
                self.tried.from = failure.icmp.and_then(|(_, from)| from).filter(|from| *from != self.tried.server.ip());
                DnsOutcome::Unreachable
            }
        };
        self.ended(outcome, told.code)
    }

    /// The connection ended, or carried what is no DNS, before the answer was whole.
    pub(super) const fn broken(self, code: ErrorCode) -> Self {
        self.ended(DnsOutcome::Broken, code)
    }

    const fn ended(mut self, outcome: DnsOutcome, code: ErrorCode) -> Self {
        self.tried.outcome = outcome;
        self.tried.code = Some(code);
        self
    }

    fn came(&mut self, outcome: DnsOutcome, taken: Taken) {
        self.tried.outcome = outcome;
        self.tried.rtt_us = taken.kernel_us;
        self.tried.user_rtt_us = micros(taken.user);
        self.tried.bytes = u32::try_from(taken.bytes).ok();
    }
}

fn micros(time: Duration) -> Option<u64> {
    u64::try_from(time.as_micros()).ok()
}
