//! What the tries of a question say about server, path and agent. Pure.
//!
//! A server that says that a name or its data does not exist has answered. One that says that it cannot, or will not, answer has not.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{DnsAnswer, DnsOutcome, DnsTry, ReportError};

use super::reading::Answer;
use crate::verdict::{Verdict, error};

/// Judges a DNS probe that has run to its end.
pub(super) fn judge(tries: &[DnsTry], answer: Option<&Answer>) -> Verdict {
    match (answer, tries.last()) {
        (Some(answer), _) => judge_answer(&answer.told),
        (None, Some(last)) => judge_unanswered(tries, last),
        (None, None) => Verdict::failed(Fault::Agent, ErrorCode::Resource, "the host has no name server configured"),
    }
}

fn judge_answer(answer: &DnsAnswer) -> Verdict {
    let refusal = |code| {
        let reasons: Vec<String> = answer.edns.iter().flat_map(|edns| &edns.ede).map(reason).collect();
        let because = if reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", reasons.join("; "))
        };
        let message = format!("the server answered {}{because}", answer.rcode);
        Verdict::failed(Fault::Resolver, code, message)
    };
    match answer.rcode.as_str() {
        "NOERROR" | "NXDOMAIN" if answer.flags.tc => Verdict::of(
            Status::Degraded,
            Fault::Resolver,
            error(ErrorCode::ProtoError, "the server says that its answer is cut, over TCP as well"),
        ),
        "NOERROR" | "NXDOMAIN" => Verdict::ok(),
        "SERVFAIL" => refusal(ErrorCode::DnsServfail),
        "REFUSED" => refusal(ErrorCode::DnsRefused),
        _ => refusal(ErrorCode::ProtoError),
    }
}

fn reason(told: &shared_protocol::report::DnsExtendedError) -> String {
    if told.text.is_empty() {
        format!("extended error {}", told.code)
    } else {
        format!("extended error {}: {}", told.code, told.text)
    }
}

fn judge_unanswered(tries: &[DnsTry], last: &DnsTry) -> Verdict {
    let code = last.code.unwrap_or(ErrorCode::Timeout);
    let (status, fault, message) = match last.outcome {
        DnsOutcome::Unanswered if code == ErrorCode::ProtoError => {
            (Status::Failed, Fault::Resolver, "what came back in time could not be read as DNS".to_owned())
        }
        DnsOutcome::Unanswered | DnsOutcome::Answered | DnsOutcome::Truncated => {
            let foreign: u32 = tries.iter().map(|tried| tried.foreign).sum();
            let passed_over = if foreign > 0 {
                format!("; {foreign} messages answered another question")
            } else {
                String::new()
            };
            (
                Status::Timeout,
                Fault::Path,
                format!("no answer came in time in {} tries{passed_over}", tries.len()),
            )
        }
        DnsOutcome::Unreachable => {
            let by_server = last.errno == Some(libc::ECONNREFUSED) || (last.icmp_error.is_some() && last.from.is_none());
            let fault = if by_server { Fault::Target } else { Fault::Path };
            (Status::Failed, fault, unreachable(last))
        }
        DnsOutcome::Broken => (Status::Failed, Fault::Resolver, "the connection did not carry a whole answer".to_owned()),
        DnsOutcome::Unsent => (Status::Failed, Fault::Agent, unsent(last)),
    };
    let error = ReportError {
        code,
        message,
        errno: last.errno,
    };
    Verdict::of(status, fault, error)
}

fn unreachable(last: &DnsTry) -> String {
    match (last.icmp_error, last.errno) {
        (Some((kind, code)), _) => format!("an ICMP error of type {kind}, code {code} answered"),
        (None, Some(libc::ECONNREFUSED)) => "the server refused the connection".to_owned(),
        (None, Some(errno)) => format!("the server cannot be reached: {}", std::io::Error::from_raw_os_error(errno)),
        (None, None) => "the server cannot be reached".to_owned(),
    }
}

fn unsent(last: &DnsTry) -> String {
    match last.errno {
        Some(errno) => format!("the kernel would not send: {}", std::io::Error::from_raw_os_error(errno)),
        None => "the agent's packet rates left no room in time".to_owned(),
    }
}
