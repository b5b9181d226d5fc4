//! One datagram on its way: what each thing that comes back means. Pure.

use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{ReportError, UdpOutcome, UdpTry};
use shared_protocol::spec::HexBytes;

use crate::clock::Moment;
use crate::net::icmp::{Family, Receipt, meaning};
use crate::net::path::{PathAnswer, PathArrival};
use crate::round_trip;
use crate::verdict::error;

/// A try with its outcome, and whose fault it is that the wanted answer did not come.
pub(crate) type Ended = (UdpTry, Option<(Fault, ReportError)>);

/// A datagram that has left.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    seq: u32,
    target: IpAddr,
    expect: &'a HexBytes,
    sent: Moment,
    left_ns: Option<i64>,
    came: Option<Came>,
}

#[derive(Debug)]
enum Came {
    Answer { bytes: Vec<u8>, receipt: Receipt },
    Error { kind: (u8, u8), from: Option<IpAddr>, receipt: Receipt },
}

impl<'a> Attempt<'a> {
    pub(super) const fn new(seq: u32, target: IpAddr, expect: &'a HexBytes, sent: Moment) -> Self {
        Self {
            seq,
            target,
            expect,
            sent,
            left_ns: None,
            came: None,
        }
    }

    /// Takes what came; whether the try has its outcome: an answer, and the kernel's word when the datagram left.
    pub(super) fn handle(&mut self, arrival: PathArrival) -> bool {
        let came = match arrival.what {
            PathAnswer::Transmitted { at_ns } => {
                self.left_ns = Some(at_ns);
                return self.came.is_some();
            }
            PathAnswer::Udp { bytes, receipt, .. } => Came::Answer { bytes, receipt },
            PathAnswer::Error(told) => Came::Error {
                kind: told.kind,
                from: told.from,
                receipt: told.receipt,
            },
            PathAnswer::Echo(_) | PathAnswer::Tcp { .. } => return false,
        };
        self.came.get_or_insert(came);
        self.left_ns.is_some()
    }

    /// The outcome by what has come so far.
    pub(super) fn end(self) -> Ended {
        let (sent, left_ns) = (self.sent, self.left_ns);
        let timed = |outcome, receipt: &Receipt| {
            let user = receipt.moment.monotonic.since(sent.monotonic);
            UdpTry {
                rtt_us: round_trip::by_kernel((&sent, left_ns), (&receipt.moment, receipt.at_ns), user),
                user_rtt_us: u64::try_from(user.as_micros()).ok(),
                ..blank(self.seq, outcome)
            }
        };
        match self.came {
            None => failed(
                blank(self.seq, UdpOutcome::Silent),
                Fault::Path,
                ErrorCode::Timeout,
                "nothing came back in time",
            ),
            Some(Came::Answer { bytes, receipt }) => {
                let told = |outcome| UdpTry {
                    bytes: u32::try_from(bytes.len()).ok(),
                    sample: Some(HexBytes::new(bytes.iter().copied().take(SAMPLE_BYTES).collect()).to_string()),
                    ..timed(outcome, &receipt)
                };
                if bytes.starts_with(self.expect.as_slice()) {
                    (told(UdpOutcome::Answered), None)
                } else {
                    let message = "the answer does not begin as it was expected to";
                    failed(told(UdpOutcome::Unexpected), Fault::Target, ErrorCode::ProtoError, message)
                }
            }
            Some(Came::Error { kind, from, receipt }) => {
                let code = meaning::code_of(Family::of(self.target), kind);
                let by_target = from == Some(self.target);
                let (outcome, fault) = match (code, by_target) {
                    (ErrorCode::UnreachablePort, true) => (UdpOutcome::Closed, Fault::Target),
                    (_, true) => (UdpOutcome::Unreachable, Fault::Target),
                    (_, false) => (UdpOutcome::Unreachable, Fault::Path),
                };
                let who = from.map(|from| format!(" from {from}")).unwrap_or_default();
                let message = format!("an ICMP error of type {}, code {}{who} answered", kind.0, kind.1);
                let tried = UdpTry {
                    icmp_error: Some(kind),
                    from,
                    ..timed(outcome, &receipt)
                };
                failed(tried, fault, code, message)
            }
        }
    }
}

/// A try that ended otherwise than wanted.
pub(super) fn failed(tried: UdpTry, fault: Fault, code: ErrorCode, message: impl Into<String>) -> Ended {
    let tried = UdpTry { code: Some(code), ..tried };
    let mut told = error(code, message);
    told.errno = tried.errno;
    (tried, Some((fault, told)))
}

/// A try of which nothing is known but its outcome.
pub(crate) const fn blank(seq: u32, outcome: UdpOutcome) -> UdpTry {
    UdpTry {
        seq,
        outcome,
        rtt_us: None,
        user_rtt_us: None,
        bytes: None,
        sample: None,
        code: None,
        errno: None,
        icmp_error: None,
        from: None,
    }
}

/// How much of an answer is kept.
const SAMPLE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use shared_protocol::time::MonotonicMicros;

    use super::*;
    use crate::net::path::PathError;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(micros: u64) -> Moment {
        Moment {
            monotonic: MonotonicMicros::from_micros(1_000_000 + micros),
            wall_offset_ns: 0,
        }
    }

    fn receipt(micros: u64) -> Receipt {
        Receipt {
            at_ns: Some(at(micros).wall_ns()),
            moment: at(micros + 50),
            ttl: None,
            bytes: 3,
        }
    }

    fn ended(expect: &str, arrivals: Vec<PathAnswer>) -> (Ended, bool) {
        let expect = expect.parse().unwrap();
        let mut attempt = Attempt::new(2, TARGET, &expect, at(0));
        let mut over = false;
        for what in arrivals {
            over = attempt.handle(PathArrival { index: Some(0), what });
        }
        (attempt.end(), over)
    }

    fn answer(bytes: &[u8], micros: u64) -> PathAnswer {
        PathAnswer::Udp {
            bytes: bytes.to_vec(),
            port: 53,
            receipt: receipt(micros),
        }
    }

    fn refusal(kind: (u8, u8), from: &str) -> PathAnswer {
        PathAnswer::Error(Box::new(PathError {
            from: Some(from.parse().unwrap()),
            kind,
            mtu: None,
            quoted: Vec::new(),
            extensions: Vec::new(),
            receipt: receipt(300),
        }))
    }

    fn left() -> PathAnswer {
        PathAnswer::Transmitted { at_ns: at(10).wall_ns() }
    }

    #[test]
    fn an_answer_counts_when_it_begins_as_wanted_and_is_timed_by_the_kernel() {
        let ((tried, fault), over) = ended("0102", vec![answer(&[1, 2, 3], 300), left()]);
        assert_eq!(
            (tried.seq, tried.outcome, tried.rtt_us, tried.user_rtt_us),
            (2, UdpOutcome::Answered, Some(290), Some(350))
        );
        assert_eq!((tried.bytes, tried.sample.as_deref(), fault, over), (Some(3), Some("010203"), None, true));
        let ((tried, fault), _) = ended("0103", vec![left(), answer(&[1, 2, 3], 300)]);
        assert_eq!((tried.outcome, fault.unwrap().0), (UdpOutcome::Unexpected, Fault::Target));
        let ((tried, _), _) = ended("", vec![left(), answer(&[9], 300), answer(&[7], 400)]);
        assert_eq!(tried.sample.as_deref(), Some("09"), "the first counts");
    }

    #[test]
    fn who_says_that_nothing_listens_decides_whether_the_target_answered() {
        let ((tried, fault), over) = ended("", vec![left(), refusal((3, 3), "127.0.0.1")]);
        assert_eq!(
            (tried.outcome, tried.code, fault.unwrap().0, over),
            (UdpOutcome::Closed, Some(ErrorCode::UnreachablePort), Fault::Target, true)
        );
        let ((tried, fault), _) = ended("", vec![left(), refusal((3, 3), "192.0.2.1")]);
        assert_eq!((tried.outcome, fault.unwrap().0), (UdpOutcome::Unreachable, Fault::Path));
        let ((tried, fault), over) = ended("", vec![left()]);
        assert_eq!(
            (tried.outcome, tried.rtt_us, fault.unwrap().1.code, over),
            (UdpOutcome::Silent, None, ErrorCode::Timeout, false)
        );
    }
}
