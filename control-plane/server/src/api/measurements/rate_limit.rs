//! `RateLimit` and `RateLimit-Policy`: what may still be asked for, and what the limits are (draft-ietf-httpapi-ratelimit-headers-10).

use control_core::authorize::Grant;
use control_services::RateAllowance;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::state::AppState;

/// Adds both fields to an answer about measurements, whichever way it went.
pub(super) async fn describe(state: &AppState, grant: &Grant, headers: &mut HeaderMap) {
    match state.services.jobs.rates(grant).await {
        Ok(allowances) => {
            let fields = [(POLICY, list(&allowances, policy)), (LEFT, list(&allowances, left))];
            headers.extend(fields.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value).ok()?))));
        }
        // The answer stands without them.
        Err(error) => tracing::debug!(%error, "what is left of the limits could not be read"),
    }
}

fn list(allowances: &[RateAllowance], item: fn(&RateAllowance) -> String) -> String {
    allowances.iter().map(item).collect::<Vec<_>>().join(", ")
}

fn policy(rate: &RateAllowance) -> String {
    format!("\"{}\";q={};w={}", rate.span, rate.allowance.limit, rate.window_s)
}

fn left(rate: &RateAllowance) -> String {
    format!("\"{}\";r={};t={}", rate.span, rate.allowance.left, rate.resets_in_s)
}

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

#[cfg(test)]
mod tests {
    use control_api::usage::Allowance;

    use super::*;

    #[test]
    fn the_fields_are_lists_of_names_with_quota_window_rest_and_reset() {
        let allowance = |span, limit, left, window_s| RateAllowance {
            allowance: Allowance {
                name: String::new(),
                limit,
                used: limit - left,
                left,
                resets_at: None,
            },
            span,
            window_s,
            resets_in_s: 7,
        };
        let both = [allowance("minute", 60, 59, 60), allowance("hour", 250, 0, 3_600)];
        assert_eq!(list(&both, policy), r#""minute";q=60;w=60, "hour";q=250;w=3600"#);
        assert_eq!(list(&both, left), r#""minute";r=59;t=7, "hour";r=0;t=7"#);
    }
}
