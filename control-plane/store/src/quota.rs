//! How many measurements each tenant was accepted in the running hour, day and month, counted where they are accepted: exact however many ask at once.

use control_core::authorize::TenantScope;
use control_core::quota::{Counted, Quota, Spans};

use crate::error::StoreError;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// Counts one measurement, if none of the quotas is used up; says how many are counted with it, or without it where one is.
pub(crate) async fn count(tx: &mut Tx, scope: TenantScope, spans: Spans, quota: Quota) -> Result<Result<Counted, Counted>, StoreError> {
    let statement = Statement::of(scope, COUNT)
        .bind(scope.tenant().uuid())
        .bind(spans.hour)
        .bind(spans.day)
        .bind(spans.month)
        .bind(i64::from(quota.hour))
        .bind(i64::from(quota.day))
        .bind(i64::from(quota.month));
    if let Some(counted) = tx::optional(tx, statement, counted).await? {
        return Ok(Ok(counted));
    }
    Ok(Err(so_far(tx, scope, spans).await?))
}

/// How many measurements of the tenant are counted in the running spans.
pub async fn so_far(on: &mut impl Read, scope: TenantScope, spans: Spans) -> Result<Counted, StoreError> {
    let statement = Statement::of(scope, SO_FAR)
        .bind(scope.tenant().uuid())
        .bind(spans.hour)
        .bind(spans.day)
        .bind(spans.month);
    Ok(tx::optional(on, statement, counted).await?.unwrap_or_default())
}

fn counted(row: &Row) -> Result<Counted, RowError> {
    Ok(Counted {
        hour: row.number("in_hour")?,
        day: row.number("in_day")?,
        month: row.number("in_month")?,
    })
}

/// A clock that goes back counts on in the span it came from.
const COUNT: &str = "INSERT INTO tenant_quota (tenant, hour, in_hour, day, in_day, month, in_month) VALUES ($1, $2, 1, $3, 1, $4, 1)
ON CONFLICT (tenant) DO UPDATE SET
in_hour = CASE WHEN tenant_quota.hour >= excluded.hour THEN tenant_quota.in_hour + 1 ELSE 1 END,
hour = CASE WHEN tenant_quota.hour >= excluded.hour THEN tenant_quota.hour ELSE excluded.hour END,
in_day = CASE WHEN tenant_quota.day >= excluded.day THEN tenant_quota.in_day + 1 ELSE 1 END,
day = CASE WHEN tenant_quota.day >= excluded.day THEN tenant_quota.day ELSE excluded.day END,
in_month = CASE WHEN tenant_quota.month >= excluded.month THEN tenant_quota.in_month + 1 ELSE 1 END,
month = CASE WHEN tenant_quota.month >= excluded.month THEN tenant_quota.month ELSE excluded.month END
WHERE (tenant_quota.hour < excluded.hour OR tenant_quota.in_hour < CAST($5 AS BIGINT))
AND (tenant_quota.day < excluded.day OR tenant_quota.in_day < CAST($6 AS BIGINT))
AND (tenant_quota.month < excluded.month OR tenant_quota.in_month < CAST($7 AS BIGINT))
RETURNING in_hour, in_day, in_month";
const SO_FAR: &str = "SELECT CASE WHEN hour >= $2 THEN in_hour ELSE 0 END AS in_hour, CASE WHEN day >= $3 THEN in_day ELSE 0 END AS in_day,
CASE WHEN month >= $4 THEN in_month ELSE 0 END AS in_month FROM tenant_quota WHERE tenant = $1";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[COUNT, SO_FAR];
