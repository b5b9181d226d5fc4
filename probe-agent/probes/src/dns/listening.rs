//! Waiting for the answer among everything that comes to the socket. Pure: messages and times come in as arguments.

use std::ops::ControlFlow;

use super::attempt::{Attempt, Taken};
use super::question::Question;
use super::reading::{self, Reading, WhenCut};
use crate::clock::Moment;
use crate::net::udp::Heard;
use crate::round_trip;

/// A question that is out, over UDP.
#[derive(Debug)]
pub(super) struct Listening<'a> {
    pub question: &'a Question,
    pub id: u16,
    pub sent: Moment,
    pub transmitted_ns: Option<i64>,
}

impl Listening<'_> {
    /// Takes what the socket tells; gives the try back once it is over. `datagram` is what stands in the buffer.
    pub(super) fn handle(&mut self, mut attempt: Attempt, heard: Heard, datagram: &[u8]) -> ControlFlow<Attempt, Attempt> {
        match heard {
            Heard::Transmitted { at_ns } => {
                self.transmitted_ns.get_or_insert(at_ns);
                ControlFlow::Continue(attempt)
            }
            Heard::Refused { kind, from, .. } => ControlFlow::Break(attempt.refused(kind, from)),
            Heard::Failed(errno) => ControlFlow::Break(attempt.failed(std::io::Error::from(errno).raw_os_error().unwrap_or_default())),
            Heard::Datagram { at_ns, moment, .. } => {
                let taken = self.taken(at_ns, &moment, datagram.len());
                match reading::read(datagram, self.question, self.id, WhenCut::AskAgain) {
                    Reading::Answer(message) => ControlFlow::Break(attempt.answered(*message, taken)),
                    Reading::Truncated => ControlFlow::Break(attempt.truncated(taken)),
                    Reading::Foreign => {
                        attempt.note_foreign();
                        ControlFlow::Continue(attempt)
                    }
                    Reading::Malformed => {
                        attempt.note_malformed();
                        ControlFlow::Continue(attempt)
                    }
                }
            }
        }
    }

    fn taken(&self, at_ns: Option<i64>, moment: &Moment, bytes: usize) -> Taken {
        let user = moment.monotonic.since(self.sent.monotonic);
        Taken {
            kernel_us: round_trip::by_kernel((&self.sent, self.transmitted_ns), (moment, at_ns), user),
            user,
            bytes,
        }
    }
}
