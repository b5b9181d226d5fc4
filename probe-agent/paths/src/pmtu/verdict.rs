//! What the lengths say about target, path and agent.

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{Claim, PmtuBound, PmtuFindings};

use crate::book::Book;
use crate::shape::unsent;
use crate::verdict::{Verdict, error};

/// Judges a search that has run to its end.
pub(super) fn judge(findings: &PmtuFindings, book: &Book) -> Verdict {
    let Some(pmtu) = findings.pmtu else {
        let left = findings.lengths.iter().any(|length| length.sent > 0);
        return match unsent(book).filter(|_| !left) {
            Some((fault, error)) => Verdict::of(Status::Failed, fault, error),
            None => Verdict::of(
                Status::Timeout,
                Fault::Path,
                error(ErrorCode::Timeout, "the target answered no packet, not even a short one"),
            ),
        };
    };
    match findings.bound {
        PmtuBound::BlackHole => {
            let message = format!("packets longer than {pmtu} bytes vanish on the way, and nobody says so");
            Verdict::of(Status::Degraded, Fault::Path, error(ErrorCode::FragNeeded, message))
        }
        PmtuBound::Unknown => Verdict::of(
            Status::Degraded,
            Fault::Agent,
            error(ErrorCode::Resource, "the search was ended before the length was known to the byte"),
        ),
        PmtuBound::Router | PmtuBound::Interface | PmtuBound::Asked => judge_claims(findings),
    }
}

fn judge_claims(findings: &PmtuFindings) -> Verdict {
    let untrue = findings.too_big.iter().find(|said| matches!(said.claim, Claim::Wrong | Claim::Implausible));
    match untrue {
        Some(said) => {
            let claimed = said.claimed.map_or_else(|| "no length".to_owned(), |claimed| format!("{claimed} bytes"));
            let message = format!("{} claims to forward {claimed}, which is not so: hosts that believe it are misled", said.from);
            Verdict::of(Status::Degraded, Fault::Path, error(ErrorCode::ProtoError, message))
        }
        None => Verdict::ok(),
    }
}
