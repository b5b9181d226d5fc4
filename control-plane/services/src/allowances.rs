//! What a tenant's tier leaves it: rates within a minute from memory, quotas over longer spans from the store.

use control_api::usage::Allowance;
use control_core::authorize::TenantScope;
use control_core::quota::{Quota, Span, Spans};
use control_core::rate::Left;
use control_store::quota;
use shared_protocol::tier::TierLimits;

use crate::clock;
use crate::error::ServiceError;
use crate::jobs::Lifecycle;

/// How many measurements may still be asked for in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateAllowance {
    /// What is allowed of it.
    pub allowance: Allowance,
    /// The span's name.
    pub span: &'static str,
    /// The span's length, seconds.
    pub window_s: u64,
    /// When all of it is there again, seconds.
    pub resets_in_s: u64,
}

/// What the key and its tenant may still ask for, the shortest span first.
pub(crate) async fn rates(lifecycle: &Lifecycle, scope: TenantScope, actor: &str, limits: &TierLimits) -> Result<Vec<RateAllowance>, ServiceError> {
    let now = clock::now();
    let spans = Spans::of(now);
    let quota = Quota::of(limits);
    let counted = quota::so_far(&lifecycle.store, scope, spans).await?;
    let left = lifecycle.rates.left(actor, scope.tenant(), limits);
    let mut all = vec![
        within_a_minute("key-minute", "measurements_per_minute_of_key", limits.measurements_per_minute_of_key, left.key),
        within_a_minute("minute", "measurements_per_minute", limits.measurements_per_minute, left.tenant),
    ];
    all.extend(Span::ALL.into_iter().map(|span| {
        let (limit, used) = (u64::from(quota.within(span)), counted.within(span));
        let end = spans.end(span);
        RateAllowance {
            allowance: Allowance {
                name: format!("measurements_per_{}", span.as_str()),
                limit,
                used,
                left: limit.saturating_sub(used),
                resets_at: Some(end.into()),
            },
            span: span.as_str(),
            window_s: spans.length(span).as_secs(),
            resets_in_s: end.since(now).as_secs().max(1),
        }
    }));
    Ok(all)
}

fn within_a_minute(span: &'static str, name: &str, limit: u32, left: Left) -> RateAllowance {
    RateAllowance {
        allowance: Allowance {
            name: name.to_owned(),
            limit: u64::from(limit),
            used: u64::from(limit.saturating_sub(left.count)),
            left: u64::from(left.count),
            resets_at: Some(clock::now().plus(left.full_in).into()),
        },
        span,
        window_s: 60,
        resets_in_s: left.full_in.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX),
    }
}
