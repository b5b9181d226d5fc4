//! Every problem code in words: its title, and what whoever meets it can do.

use shared_protocol::fault::ProblemCode;

/// Every code, in the order of their statuses.
pub(crate) const ALL: [ProblemCode; 21] = [
    ProblemCode::MalformedRequest,
    ProblemCode::Unauthenticated,
    ProblemCode::Forbidden,
    ProblemCode::NotFound,
    ProblemCode::MethodNotAllowed,
    ProblemCode::RequestTimeout,
    ProblemCode::Conflict,
    ProblemCode::IdempotencyMismatch,
    ProblemCode::KeyReuse,
    ProblemCode::PreconditionFailed,
    ProblemCode::BodyTooLarge,
    ProblemCode::UnsupportedMediaType,
    ProblemCode::InvalidField,
    ProblemCode::TierLimit,
    ProblemCode::NoAgentMatches,
    ProblemCode::RateLimited,
    ProblemCode::TooManyOpenJobs,
    ProblemCode::CannotStartInTime,
    ProblemCode::TargetBusy,
    ProblemCode::Internal,
    ProblemCode::Unavailable,
];

/// The code as it stands in bodies and anchors.
pub(crate) fn name(code: ProblemCode) -> String {
    serde_json::to_value(code)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The code in a few words.
pub(crate) const fn title(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::MalformedRequest => "The request is not readable",
        ProblemCode::InvalidField => "A field is not acceptable",
        ProblemCode::Unauthenticated => "No valid API key",
        ProblemCode::Forbidden => "The API key may not do this",
        ProblemCode::NotFound => "No such thing",
        ProblemCode::MethodNotAllowed => "The method is not for this path",
        ProblemCode::Conflict => "The request contradicts what stands",
        ProblemCode::PreconditionFailed => "It changed since it was read",
        ProblemCode::IdempotencyMismatch => "The idempotency key was used for something else",
        ProblemCode::KeyReuse => "The key belongs to another agent",
        ProblemCode::BodyTooLarge => "The body is too long",
        ProblemCode::UnsupportedMediaType => "The body is not JSON",
        ProblemCode::RequestTimeout => "The request took too long to arrive",
        ProblemCode::RateLimited => "Too many requests",
        ProblemCode::TierLimit => "The tier does not include this",
        ProblemCode::TooManyOpenJobs => "Too many open jobs",
        ProblemCode::CannotStartInTime => "The work could not start before its deadline",
        ProblemCode::TargetBusy => "The target is sent enough already",
        ProblemCode::NoAgentMatches => "No agent matches",
        ProblemCode::Unavailable => "Nothing can be stored at the moment",
        ProblemCode::Internal => "The control plane failed",
    }
}

/// What it means, and what to do.
pub(crate) const fn meaning(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::MalformedRequest => {
            "The body is not UTF-8 or not JSON, is nested deeper than 32, names a member twice, or an API key stands in the address. Mend the request; a key that stood in an address should be revoked."
        }
        ProblemCode::InvalidField => "A field is unknown, missing, null, of the wrong type or out of bounds; `field` names it by its path.",
        ProblemCode::Unauthenticated => {
            "Send `Authorization: Bearer po_…` with a key that is neither expired nor revoked. The answer is the same for every reason."
        }
        ProblemCode::Forbidden => "The key is known but lacks the scope that `detail` names. Use a key that has it.",
        ProblemCode::NotFound => "There is no such path, or no such thing for your tenant; things of other tenants are answered in the same way.",
        ProblemCode::MethodNotAllowed => "The path exists; the `Allow` header names its methods.",
        ProblemCode::Conflict => "Something already stands that contradicts the request, such as a name that is taken.",
        ProblemCode::PreconditionFailed => "`If-Match` names an earlier state. Read it again, and send the change with the `ETag` that came then.",
        ProblemCode::IdempotencyMismatch => "Within 24 hours an idempotency key stands for one request. Use a new key for a new request.",
        ProblemCode::KeyReuse => "A certificate request carried a key that already belongs to an agent. Make a new key.",
        ProblemCode::BodyTooLarge => "A body may have 1 MiB.",
        ProblemCode::UnsupportedMediaType => "Send `Content-Type: application/json`, without content encoding.",
        ProblemCode::RequestTimeout => "Head and body of a request must each arrive within 10 seconds.",
        ProblemCode::RateLimited => "Try again after the seconds in `Retry-After`.",
        ProblemCode::TierLimit => "Your tenant's tier does not include what `field` asks for; `detail` says what it includes.",
        ProblemCode::TooManyOpenJobs => "Wait for some jobs to end, or cancel them; try again after the seconds in `Retry-After`.",
        ProblemCode::CannotStartInTime => {
            "The agents are busy beyond the deadline. Ask for a later deadline or other agents, or try again after the seconds in `Retry-After`."
        }
        ProblemCode::TargetBusy => {
            "All agents together would send this target more packets a second than the operator allows (`target_packets_per_second`). Ask fewer agents or more slowly, or try again after the seconds in `Retry-After`."
        }
        ProblemCode::NoAgentMatches => "No agent of your tenant is online with these labels. Name agents, or look at `GET /api/v1/agents`.",
        ProblemCode::Unavailable => "The store or a limit of the server stands in the way; nothing was accepted. Try again after the seconds in `Retry-After`.",
        ProblemCode::Internal => "Not your fault. Tell the operator the `request_id`; it finds the cause in the log.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_names_each_code_once() {
        let mut names: Vec<String> = ALL.into_iter().map(name).collect();
        assert!(names.iter().all(|name| !name.is_empty()));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn no_code_is_missing_from_the_catalogue() {
        // The reader of an unknown name lists every name it knows.
        let known = serde_json::from_str::<ProblemCode>("\"?\"").unwrap_err().to_string();
        for code in ALL {
            assert!(known.contains(&format!("`{}`", name(code))));
        }
        assert_eq!(known.matches('`').count(), 2 * (ALL.len() + 1), "{known}");
    }
}
