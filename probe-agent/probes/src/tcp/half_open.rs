//! Half-open tries under way: which have left, which are answered, which have been waited for. Pure: time and answers come in as arguments.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{TcpOffer, TcpOutcome, TcpTry};
use shared_protocol::time::MonotonicMicros;

use super::ended::{Ended, blank};
use crate::clock::Moment;
use crate::net::errno;
use crate::net::gate::Denial;
use crate::net::icmp::{Departure, Family, Fragmentation, Receipt, SendError, meaning};
use crate::net::path::{Content, PathAnswer, PathArrival, PathPlan, PathProbe, PathProtocol, PathRefusal, PathShape, TcpAnswer};
use crate::round_trip;
use crate::verdict::{Stop, error};

/// The tries that have left and have no outcome yet.
#[derive(Debug)]
pub(super) struct HalfOpen {
    target: IpAddr,
    wait: Duration,
    out: BTreeMap<u32, Out>,
}

#[derive(Debug)]
struct Out {
    sent: Moment,
    left_ns: Option<i64>,
    came: Option<Came>,
}

/// What came back, while the kernel's word that the segment left is still to come.
#[derive(Debug)]
enum Came {
    Answer(TcpAnswer, Receipt),
    Error { kind: (u8, u8), from: Option<IpAddr>, receipt: Receipt },
}

impl HalfOpen {
    pub(super) const fn new(target: IpAddr, wait: Duration) -> Self {
        Self {
            target,
            wait,
            out: BTreeMap::new(),
        }
    }

    /// A first segment has left.
    pub(super) fn handle_sent(&mut self, index: u32, sent: Moment) {
        let out = Out {
            sent,
            left_ns: None,
            came: None,
        };
        self.out.insert(index, out);
    }

    /// Something came back; gives the try that it ends. Further answers to a try that has ended say nothing new.
    pub(super) fn handle_arrival(&mut self, arrival: PathArrival) -> Option<Ended> {
        let index = arrival.index?;
        let out = self.out.get_mut(&index)?;
        let came = match arrival.what {
            PathAnswer::Transmitted { at_ns } => {
                out.left_ns = Some(at_ns);
                return out.came.is_some().then(|| self.end(index)).flatten();
            }
            PathAnswer::Tcp { answer, receipt } => Came::Answer(answer, receipt),
            PathAnswer::Error(error) => Came::Error {
                kind: error.kind,
                from: error.from,
                receipt: error.receipt,
            },
            PathAnswer::Echo(_) | PathAnswer::Udp { .. } => return None,
        };
        if out.came.is_none() {
            out.came = Some(came);
        }
        out.left_ns.is_some().then(|| self.end(index)).flatten()
    }

    /// Gives the next try that has been waited for long enough.
    pub(super) fn poll_expired(&mut self, now: MonotonicMicros) -> Option<Ended> {
        let wait = self.wait;
        let index = self.out.iter().find(|(_, out)| out.sent.monotonic.plus(wait) <= now).map(|(index, _)| *index)?;
        self.end(index)
    }

    /// When `poll_expired` has something.
    pub(super) fn poll_timeout(&self) -> Option<MonotonicMicros> {
        self.out.values().map(|out| out.sent.monotonic.plus(self.wait)).min()
    }

    fn end(&mut self, index: u32) -> Option<Ended> {
        let Out { sent, left_ns, came } = self.out.remove(&index)?;
        let times = |receipt: &Receipt| {
            let user = receipt.moment.monotonic.since(sent.monotonic);
            let kernel = round_trip::by_kernel((&sent, left_ns), (&receipt.moment, receipt.at_ns), user);
            (kernel, u64::try_from(user.as_micros()).ok())
        };
        Some(match came {
            None => {
                let fault = (Fault::Path, error(ErrorCode::Timeout, "nothing came back in time"));
                let tried = TcpTry {
                    code: Some(ErrorCode::Timeout),
                    ..blank(index, TcpOutcome::Filtered)
                };
                (tried, Some(fault))
            }
            Some(Came::Answer(answer, receipt)) => {
                let (rtt_us, user_rtt_us) = times(&receipt);
                let (outcome, fault) = if answer.is_open() {
                    (TcpOutcome::Open, None)
                } else {
                    let fault = (Fault::Target, error(ErrorCode::Refused, "the target refused the connection"));
                    (TcpOutcome::Closed, Some(fault))
                };
                let tried = TcpTry {
                    rtt_us,
                    user_rtt_us,
                    code: fault.as_ref().map(|(_, error)| error.code),
                    offer: Some(offer(&answer, receipt.ttl)),
                    ..blank(index, outcome)
                };
                (tried, fault)
            }
            Some(Came::Error { kind, from, receipt }) => {
                let (rtt_us, user_rtt_us) = times(&receipt);
                let code = meaning::code_of(Family::of(self.target), kind);
                let who = from.map(|from| format!(" from {from}")).unwrap_or_default();
                let fault = if from == Some(self.target) { Fault::Target } else { Fault::Path };
                let message = format!("an ICMP error of type {}, code {}{who} answered", kind.0, kind.1);
                let tried = TcpTry {
                    rtt_us,
                    user_rtt_us,
                    code: Some(code),
                    icmp_error: Some(kind),
                    from,
                    ..blank(index, TcpOutcome::Unreachable)
                };
                (tried, Some((fault, error(code, message))))
            }
        })
    }
}

/// What the packets of half-open tries have in common.
pub(super) const fn plan(target: IpAddr) -> PathPlan {
    PathPlan {
        target,
        protocol: PathProtocol::Tcp,
        source_port: None,
        shape: PathShape::Constant,
    }
}

/// A first segment to a port.
pub(super) const fn probe(dscp: u8, port: u16) -> PathProbe {
    PathProbe {
        ttl: TTL,
        dscp,
        fragmentation: Fragmentation::Forbidden,
        destination_port: port,
        content: Content::Sized(0),
    }
}

/// Why no try can be made.
pub(super) fn stop(refusal: &PathRefusal) -> Stop {
    match refusal {
        PathRefusal::NoSocket => Stop::failed(Fault::Agent, ErrorCode::PermissionMissing, refusal.to_string()),
        PathRefusal::Port(_) => Stop::failed(Fault::Agent, ErrorCode::Resource, refusal.to_string()),
        PathRefusal::NoRoute(cause) => {
            let (fault, code) = errno::judge(cause.raw_os_error().unwrap_or_default());
            Stop::failed(fault, code, refusal.to_string())
        }
    }
}

/// What became of a segment that was to leave.
#[derive(Debug)]
pub(super) enum Leaving {
    Left(Moment),
    /// It did not, which ends its try.
    Unsent(Box<Ended>),
    /// The policy says no.
    Denied(Denial),
}

/// What became of a segment that was to leave.
pub(super) fn settle(index: u32, outcome: Result<Departure, SendError>) -> Leaving {
    let told = match outcome {
        Ok(departure) => return Leaving::Left(departure.moment),
        Err(SendError::Denied(denial)) => return Leaving::Denied(denial),
        Err(SendError::Kernel(cause)) => {
            let number = std::io::Error::from(cause).raw_os_error().unwrap_or_default();
            let (fault, code) = errno::judge(number);
            let mut told = error(code, format!("the kernel would not send: {cause}"));
            told.errno = Some(number);
            (fault, told)
        }
        Err(SendError::NoRoom) => (
            Fault::Agent,
            error(ErrorCode::Resource, "the agent's packet rates left no room before the deadline"),
        ),
        Err(SendError::NoSocket | SendError::NumbersExhausted) => (Fault::Agent, error(ErrorCode::PermissionMissing, "the agent has no raw socket for it")),
    };
    let tried = TcpTry {
        code: Some(told.1.code),
        errno: told.1.errno,
        ..blank(index, TcpOutcome::Unsent)
    };
    Leaving::Unsent(Box::new((tried, Some(told))))
}

fn offer(answer: &TcpAnswer, ttl: Option<u8>) -> TcpOffer {
    TcpOffer {
        flags: answer.flags,
        window: answer.window,
        ttl,
        mss: answer.mss,
        wscale: answer.wscale,
        sack: answer.sack,
        ts: answer.timestamps.is_some(),
    }
}

/// What an ordinary host sends with.
const TTL: u8 = 64;

#[cfg(test)]
mod tests {
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
            ttl: Some(60),
            bytes: 60,
        }
    }

    fn answer(index: u32, flags: u8, micros: u64) -> PathArrival {
        let answer = TcpAnswer {
            flags,
            window: 64_240,
            mss: Some(1_460),
            wscale: Some(7),
            sack: true,
            timestamps: Some((1, 2)),
        };
        PathArrival {
            index: Some(index),
            what: PathAnswer::Tcp {
                answer,
                receipt: receipt(micros),
            },
        }
    }

    fn transmitted(index: u32, micros: u64) -> PathArrival {
        PathArrival {
            index: Some(index),
            what: PathAnswer::Transmitted { at_ns: at(micros).wall_ns() },
        }
    }

    fn half_open(tries: u32) -> HalfOpen {
        let mut half_open = HalfOpen::new(TARGET, Duration::from_millis(100));
        for index in 0..tries {
            half_open.handle_sent(index, at(0));
        }
        half_open
    }

    #[test]
    fn an_answer_is_timed_by_the_kernel_whichever_word_comes_first() {
        let mut half_open = half_open(2);
        assert!(half_open.handle_arrival(transmitted(0, 10)).is_none());
        let (open, fault) = half_open.handle_arrival(answer(0, 0x12, 300)).unwrap();
        assert_eq!(
            (open.outcome, open.rtt_us, open.user_rtt_us, fault),
            (TcpOutcome::Open, Some(290), Some(350), None)
        );
        let offer = open.offer.unwrap();
        assert_eq!(
            (offer.flags, offer.mss, offer.wscale, offer.sack, offer.ts, offer.ttl),
            (0x12, Some(1_460), Some(7), true, true, Some(60))
        );
        assert!(half_open.handle_arrival(answer(1, 0x14, 300)).is_none());
        let (closed, fault) = half_open.handle_arrival(transmitted(1, 10)).unwrap();
        assert_eq!(
            (closed.outcome, closed.rtt_us, closed.code),
            (TcpOutcome::Closed, Some(290), Some(ErrorCode::Refused))
        );
        assert_eq!(fault.unwrap().0, Fault::Target);
        assert!(half_open.handle_arrival(answer(1, 0x12, 400)).is_none(), "it has its outcome");
        assert_eq!(half_open.poll_timeout(), None);
    }

    #[test]
    fn silence_ends_after_its_wait_and_errors_say_who_sent_them() {
        let mut half_open = half_open(3);
        let router: IpAddr = "192.0.2.1".parse().unwrap();
        half_open.handle_arrival(transmitted(1, 10));
        let told = PathError {
            from: Some(router),
            kind: (3, 13),
            mtu: None,
            quoted: Vec::new(),
            extensions: Vec::new(),
            receipt: receipt(500),
        };
        let arrival = PathArrival {
            index: Some(1),
            what: PathAnswer::Error(Box::new(told)),
        };
        let (refused, fault) = half_open.handle_arrival(arrival).unwrap();
        assert_eq!(
            (refused.outcome, refused.code, refused.from),
            (TcpOutcome::Unreachable, Some(ErrorCode::UnreachableAdmin), Some(router))
        );
        assert_eq!(fault.unwrap().0, Fault::Path);
        half_open.handle_arrival(answer(2, 0x12, 300));
        assert!(half_open.poll_expired(at(99_999).monotonic).is_none());
        assert_eq!(half_open.poll_timeout(), Some(at(100_000).monotonic));
        let (silent, _) = half_open.poll_expired(at(100_000).monotonic).unwrap();
        assert_eq!((silent.seq, silent.outcome), (0, TcpOutcome::Filtered));
        let (untimed, _) = half_open.poll_expired(at(100_000).monotonic).unwrap();
        assert_eq!((untimed.outcome, untimed.rtt_us, untimed.user_rtt_us), (TcpOutcome::Open, None, Some(350)));
        assert!(half_open.poll_expired(at(200_000).monotonic).is_none());
    }
}
