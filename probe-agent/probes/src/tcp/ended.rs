//! A try with its outcome, however it was made. Pure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{ReportError, TcpInfo, TcpOutcome, TcpTry};

use crate::net::tcp::DialError;

/// A try with its outcome, and whose fault it is that the port is not open.
pub(crate) type Ended = (TcpTry, Option<(Fault, ReportError)>);

/// A connection stood.
pub(super) fn opened(seq: u32, taken: Duration, local: SocketAddr, info: Option<TcpInfo>) -> Ended {
    let tried = TcpTry {
        // Before any data has been sent, the SYN is all that was measured.
        rtt_us: info.and_then(|info| info.rtt_us),
        user_rtt_us: micros(taken),
        local: Some(local),
        info,
        ..blank(seq, TcpOutcome::Open)
    };
    (tried, None)
}

/// There was no connection.
pub(super) fn not_opened(seq: u32, error: &DialError, target: IpAddr) -> Ended {
    let (fault, told) = error.blame(target);
    let blank = TcpTry {
        code: Some(told.code),
        errno: told.errno,
        ..blank(seq, TcpOutcome::Unsent)
    };
    let tried = match error {
        DialError::Denied(_) | DialError::NoRoom => blank,
        DialError::TimedOut => TcpTry {
            outcome: TcpOutcome::Filtered,
            ..blank
        },
        DialError::Failed(failure) if failure.is_reset() => TcpTry {
            outcome: TcpOutcome::Closed,
            user_rtt_us: micros(failure.taken),
            ..blank
        },
        DialError::Failed(failure) => TcpTry {
            outcome: outcome_of(fault, told.code, failure.icmp.is_some()),
            user_rtt_us: failure.icmp.and(micros(failure.taken)),
            icmp_error: failure.icmp.map(|(kind, _)| kind),
            from: failure.icmp.and_then(|(_, from)| from),
            ..blank
        },
    };
    (tried, Some((fault, told)))
}

/// What a failure that is no reset by the target means for its try.
fn outcome_of(fault: Fault, code: ErrorCode, by_icmp: bool) -> TcpOutcome {
    match (fault, code) {
        (Fault::Path, ErrorCode::Timeout) => TcpOutcome::Filtered,
        (Fault::Path | Fault::Target, _) => TcpOutcome::Unreachable,
        (Fault::Agent | Fault::None | Fault::Resolver | Fault::Policy | Fault::Control, _) if by_icmp => TcpOutcome::Unreachable,
        (Fault::Agent | Fault::None | Fault::Resolver | Fault::Policy | Fault::Control, _) => TcpOutcome::Unsent,
    }
}

/// A try of which nothing is known but its outcome.
pub(crate) const fn blank(seq: u32, outcome: TcpOutcome) -> TcpTry {
    TcpTry {
        seq,
        outcome,
        rtt_us: None,
        user_rtt_us: None,
        local: None,
        code: None,
        errno: None,
        icmp_error: None,
        from: None,
        info: None,
        offer: None,
    }
}

fn micros(time: Duration) -> Option<u64> {
    u64::try_from(time.as_micros()).ok()
}
