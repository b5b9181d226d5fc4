//! Exit codes: what a script may rely on.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked is done.
    Ok,
    /// The probe ran, and the target failed or could not be reached.
    TargetFailed,
    /// The command line, the configuration or the request was wrong.
    Usage,
    /// No valid key, not allowed, or refused by the agent's owner.
    Denied,
    /// No such thing.
    NotFound,
    /// A quota or a limit of the tier.
    Quota,
    /// Nothing came in time.
    Timeout,
    /// The control plane could not be reached, or broke.
    ControlPlane,
    /// Some agents gave no answer.
    Partial,
    /// It contradicts what already stands.
    Conflict,
    /// Interrupted; the measurement is cancelled.
    Interrupted,
}

impl Exit {
    /// The number the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::TargetFailed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotFound => 4,
            Self::Quota => 5,
            Self::Timeout => 6,
            Self::ControlPlane => 7,
            Self::Partial => 8,
            Self::Conflict => 9,
            Self::Interrupted => 130,
        }
    }

    /// What an HTTP problem means for the exit code; the stable code decides where it says more than the status.
    pub(crate) fn of_problem(status: u16, code: Option<&str>) -> Self {
        match (code, status) {
            (Some("tier_limit"), _) | (_, 429) => Self::Quota,
            (Some("no_agent_matches"), _) | (_, 404) => Self::NotFound,
            (_, 401 | 403) => Self::Denied,
            (_, 408 | 504) => Self::Timeout,
            (_, 409 | 412) => Self::Conflict,
            (_, 400..=499) => Self::Usage,
            (_, _) => Self::ControlPlane,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::fault::ProblemCode;

    #[test]
    fn every_problem_has_its_exit_code() {
        for (code, exit) in [
            (ProblemCode::MalformedRequest, 2),
            (ProblemCode::InvalidField, 2),
            (ProblemCode::Unauthenticated, 3),
            (ProblemCode::Forbidden, 3),
            (ProblemCode::NotFound, 4),
            (ProblemCode::MethodNotAllowed, 2),
            (ProblemCode::Conflict, 9),
            (ProblemCode::IdempotencyMismatch, 9),
            (ProblemCode::KeyReuse, 9),
            (ProblemCode::BodyTooLarge, 2),
            (ProblemCode::UnsupportedMediaType, 2),
            (ProblemCode::RequestTimeout, 6),
            (ProblemCode::RateLimited, 5),
            (ProblemCode::TierLimit, 5),
            (ProblemCode::TooManyOpenJobs, 5),
            (ProblemCode::CannotStartInTime, 5),
            (ProblemCode::TargetBusy, 5),
            (ProblemCode::NoAgentMatches, 4),
            (ProblemCode::Unavailable, 7),
            (ProblemCode::Internal, 7),
        ] {
            let name = serde_json::to_value(code).unwrap();
            assert_eq!(Exit::of_problem(code.http_status(), name.as_str()).code(), exit, "{code:?}");
        }
    }

    #[test]
    fn a_problem_of_a_newer_control_plane_goes_by_its_status() {
        for (status, exit) in [(401, 3), (404, 4), (418, 2), (429, 5), (502, 7), (504, 6), (302, 7)] {
            assert_eq!(Exit::of_problem(status, Some("unheard_of")).code(), exit, "{status}");
            assert_eq!(Exit::of_problem(status, None).code(), exit, "{status}");
        }
    }
}
