//! Whether a measurement is accepted, and when it is expected to start. What cannot start before its deadline is refused instead of expiring later.

use std::time::Duration;

use shared_protocol::id::AgentId;
use shared_protocol::limits::{DEADLINE_MAX, DEADLINE_MIN};
use shared_protocol::spec::{InvalidField, ProbeSpec};
use shared_protocol::tier::TierLimits;

/// A measurement whose agents are chosen, and what there is already.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// What the tenant's tier allows.
    pub limits: &'a TierLimits,
    /// Jobs of the tenant without an end.
    pub open_jobs_of_tenant: u64,
    /// Jobs of all tenants without an end.
    pub open_jobs_total: u64,
    /// What is to be done.
    pub spec: &'a ProbeSpec,
    /// How long from now the answer is wanted.
    pub deadline: Duration,
    /// The agents that are to do it.
    pub chosen: &'a [Candidate],
    /// Jobs answered from an earlier report, for which nobody does anything.
    pub answered: usize,
}

/// A chosen agent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The agent.
    pub agent: AgentId,
    /// Whether it has a session. When one without starts is not known, so no job for it is refused as too late.
    pub online: bool,
    /// Cost queued ahead of a new job of the tier on it.
    pub backlog: u64,
    /// Cost it has lately finished in a second; absent where that is not measured yet.
    pub drain_rate: Option<f64>,
}

/// The measurement is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Cost of each of its jobs, agent-seconds.
    pub cost: u32,
    /// How long until the first of its jobs is expected to start.
    pub estimated_start: Duration,
}

/// Decides whether a measurement is accepted.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn admit(request: &AdmissionRequest<'_>) -> Result<Admitted, Refusal> {
    if !(DEADLINE_MIN..=DEADLINE_MAX).contains(&request.deadline) {
        let bounds = format!("must be from {} to {}", DEADLINE_MIN.as_secs(), DEADLINE_MAX.as_secs());
        return Err(Refusal::Deadline(InvalidField::new("deadline_s", bounds)));
    }
    let limits = request.limits;
    request.spec.check_tier(&limits.probe).map_err(Refusal::TierLimit)?;
    let jobs = u64::try_from(request.chosen.len()).unwrap_or(u64::MAX);
    if jobs == 0 && request.answered == 0 {
        return Err(Refusal::NoAgents);
    }
    if request.open_jobs_of_tenant.saturating_add(jobs) > u64::from(limits.open_jobs) {
        return Err(Refusal::TooManyOpenJobs { limit: limits.open_jobs });
    }
    if request.open_jobs_total.saturating_add(jobs) > OPEN_JOBS_MAX {
        return Err(Refusal::Full);
    }
    let starts = request
        .chosen
        .iter()
        .map(|candidate| (candidate, estimated_start(candidate.backlog, candidate.drain_rate)));
    if let Some((_, late)) = starts
        .clone()
        .filter(|(candidate, start)| candidate.online && *start > request.deadline)
        .max_by_key(|(_, start)| *start)
    {
        return Err(Refusal::CannotStartInTime { estimated_start: late });
    }
    Ok(Admitted {
        cost: request.spec.cost(),
        estimated_start: starts.map(|(_, start)| start).min().unwrap_or(Duration::ZERO),
    })
}

/// How long a new job waits behind `backlog` (agent-seconds) on an agent that finishes `drain_rate` agent-seconds in a second.
/// An agent that has not been measured, or has finished nothing lately, is taken to finish one.
pub fn estimated_start(backlog: u64, drain_rate: Option<f64>) -> Duration {
    let rate = drain_rate.filter(|rate| rate.is_normal() && *rate > 0.0).unwrap_or(DRAIN_RATE_ASSUMED);
    // Beyond 2³² agent-seconds of backlog the answer is "too late" in any case.
    let cost = f64::from(u32::try_from(backlog).unwrap_or(u32::MAX));
    Duration::try_from_secs_f64(cost / rate).unwrap_or(Duration::MAX)
}

/// Why a measurement is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The deadline is out of bounds.
    #[error(transparent)]
    Deadline(InvalidField),
    /// The tier does not include an option of the spec.
    #[error(transparent)]
    TierLimit(InvalidField),
    /// No agent was chosen.
    #[error("no agent matches the selection")]
    NoAgents,
    /// The tenant would have more open jobs than its tier allows.
    #[error("your tier allows at most {limit} jobs without an end; wait for some to end")]
    TooManyOpenJobs {
        /// What it allows.
        limit: u32,
    },
    /// The control plane holds as many open jobs as it may.
    #[error("the control plane holds as many jobs as it can; try again later")]
    Full,
    /// A chosen agent is expected to be busy until after the deadline.
    #[error("the work could not start before its deadline")]
    CannotStartInTime {
        /// How long until it is expected to start.
        estimated_start: Duration,
    },
}

/// Most jobs without an end over all tenants.
pub const OPEN_JOBS_MAX: u64 = 1_000_000;
/// What an agent finishes in a second while nothing is known of it: the least of an agent that works at all.
const DRAIN_RATE_ASSUMED: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    use shared_protocol::limits::DEADLINE_DEFAULT;
    use shared_protocol::tier::{Tier, TierTable};
    use shared_protocol::time::UnixMicros;

    static TIERS: LazyLock<TierTable> = LazyLock::new(TierTable::default);

    fn candidate(backlog: u64, drain_rate: Option<f64>) -> Candidate {
        Candidate {
            agent: AgentId::new(UnixMicros::from_micros(1_000_000), [1; 10]),
            online: true,
            backlog,
            drain_rate,
        }
    }

    fn spec(options: &str) -> ProbeSpec {
        ProbeSpec::parse(&format!(r#"{{"probe":"ping","target":"127.0.0.1"{options}}}"#)).unwrap()
    }

    fn request<'a>(spec: &'a ProbeSpec, chosen: &'a [Candidate]) -> AdmissionRequest<'a> {
        AdmissionRequest {
            limits: TIERS.of(Tier::Free),
            open_jobs_of_tenant: 0,
            open_jobs_total: 0,
            spec,
            deadline: DEADLINE_DEFAULT,
            chosen,
            answered: 0,
        }
    }

    #[test]
    fn an_accepted_measurement_says_its_cost_and_its_earliest_start() {
        let (spec, chosen) = (spec(r#","count":16"#), [candidate(90, Some(10.0)), candidate(8, Some(4.0))]);
        assert_eq!(
            admit(&request(&spec, &chosen)),
            Ok(Admitted {
                cost: 4,
                estimated_start: Duration::from_secs(2)
            })
        );
    }

    #[test]
    fn deadlines_out_of_bounds_are_refused_by_name() {
        let (spec, chosen) = (spec(""), [candidate(0, None)]);
        for deadline in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(86_401), Duration::MAX] {
            let refused = admit(&AdmissionRequest {
                deadline,
                ..request(&spec, &chosen)
            });
            assert!(matches!(refused, Err(Refusal::Deadline(field)) if field.field == "deadline_s"), "{deadline:?}");
        }
        for deadline in [DEADLINE_MIN, DEADLINE_MAX] {
            assert!(
                admit(&AdmissionRequest {
                    deadline,
                    ..request(&spec, &chosen)
                })
                .is_ok(),
                "{deadline:?}"
            );
        }
    }

    #[test]
    fn an_option_beyond_the_tier_is_refused_and_the_next_tier_has_it() {
        let (spec, chosen) = (spec(r#","count":17"#), [candidate(0, None)]);
        let refused = admit(&request(&spec, &chosen));
        assert!(matches!(refused, Err(Refusal::TierLimit(field)) if field.field == "count"));
        let standard = AdmissionRequest {
            limits: TIERS.of(Tier::Standard),
            ..request(&spec, &chosen)
        };
        assert!(admit(&standard).is_ok());
    }

    #[test]
    fn the_caps_on_open_jobs_count_the_new_jobs_and_are_exact() {
        let (spec, chosen) = (spec(""), [candidate(0, None); 2]);
        let with = |open_jobs_of_tenant, open_jobs_total| {
            admit(&AdmissionRequest {
                open_jobs_of_tenant,
                open_jobs_total,
                ..request(&spec, &chosen)
            })
        };
        assert!(with(98, OPEN_JOBS_MAX - 2).is_ok());
        assert_eq!(with(99, 0), Err(Refusal::TooManyOpenJobs { limit: 100 }));
        assert_eq!(with(u64::MAX, 0), Err(Refusal::TooManyOpenJobs { limit: 100 }));
        assert_eq!(with(0, OPEN_JOBS_MAX - 1), Err(Refusal::Full));
        assert_eq!(admit(&request(&spec, &[])), Err(Refusal::NoAgents));
        let answered = AdmissionRequest {
            answered: 1,
            open_jobs_of_tenant: 100,
            ..request(&spec, &[])
        };
        assert!(admit(&answered).is_ok(), "what is answered from an earlier report takes no place");
    }

    #[test]
    fn work_that_could_not_start_in_time_is_refused_unless_the_agent_is_away() {
        let spec = spec("");
        let (soon, late) = (candidate(0, None), candidate(601, Some(1.0)));
        assert_eq!(
            admit(&request(&spec, &[soon, late])),
            Err(Refusal::CannotStartInTime {
                estimated_start: Duration::from_secs(601)
            })
        );
        assert!(admit(&request(&spec, &[candidate(600, Some(1.0))])).is_ok());
        assert!(admit(&request(&spec, &[Candidate { online: false, ..late }])).is_ok());
    }

    #[test]
    fn a_rate_that_means_nothing_is_not_used() {
        for rate in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
            assert_eq!(estimated_start(7, rate), Duration::from_secs(7), "{rate:?}");
        }
        assert_eq!(estimated_start(0, Some(0.5)), Duration::ZERO);
        assert_eq!(estimated_start(u64::MAX, Some(f64::MIN_POSITIVE)), Duration::MAX);
    }
}
