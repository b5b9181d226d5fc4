//! How many measurements each tenant was accepted in the running hour, day and month, counted where they are accepted: exact however many ask at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use control_core::authorize::TenantScope;
use control_core::quota::{Account, Counted, Spans};
use serde::Serialize;
use shared_protocol::id::TenantId;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::store::Store;
use crate::tx::{self, Read, Tx};

/// What was counted of tenants up to the last commit, for whoever only wants to know. Nobody else counts while this process has the database.
#[derive(Debug, Default)]
pub(crate) struct Latest(Mutex<HashMap<TenantId, Account>>);

impl Latest {
    pub(crate) fn of(&self, tenant: TenantId) -> Option<Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied()
    }

    /// Puts accounts in the place of what is known of their tenants.
    pub(crate) fn put(&self, accounts: impl Iterator<Item = (TenantId, Account)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(accounts);
        if known.len() > TENANTS {
            known.clear();
        }
    }

    /// Forgets all: what was committed last is not known here.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// How many measurements of the tenant are counted in the running spans.
pub async fn so_far(store: &Store, scope: TenantScope, spans: Spans) -> Result<Counted, StoreError> {
    match store.account(scope.tenant()) {
        Some(account) => Ok(account.counted_in(spans)),
        None => on_disk(&mut store.reader().await?, scope, spans).await,
    }
}

/// [`so_far`], from the row.
pub(crate) async fn on_disk(on: &mut impl Read, scope: TenantScope, spans: Spans) -> Result<Counted, StoreError> {
    let statement = Statement::of(scope, SO_FAR)
        .bind(scope.tenant().uuid())
        .bind(spans.hour)
        .bind(spans.day)
        .bind(spans.month);
    Ok(tx::optional(on, statement, counted).await?.unwrap_or_default())
}

/// Puts accounts in the place of what was kept of their tenants.
pub(crate) fn keep(tx: &mut Tx, accounts: &[(TenantId, Account)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Kept {
        tenant: TenantId,
        hour: i64,
        in_hour: u64,
        day: i64,
        in_day: u64,
        month: i64,
        in_month: u64,
    }
    let kept = |&(tenant, Account { spans, counted }): &(TenantId, Account)| Kept {
        tenant,
        hour: spans.hour,
        in_hour: counted.hour,
        day: spans.day,
        in_day: counted.day,
        month: spans.month,
        in_month: counted.month,
    };
    let batch: Vec<Kept> = accounts.iter().map(kept).collect();
    tx::later(tx, Statement::own(KEEP).bind(row::json(&batch)?));
    Ok(())
}

/// The account in a row; none where the tenant has none yet.
pub(crate) fn account(row: &Row) -> Result<Option<Account>, RowError> {
    let Some(hour) = row.number_or_none("hour")? else {
        return Ok(None);
    };
    let spans = Spans {
        hour,
        day: row.number("day")?,
        month: row.number("month")?,
    };
    Ok(Some(Account { spans, counted: counted(row)? }))
}

fn counted(row: &Row) -> Result<Counted, RowError> {
    Ok(Counted {
        hour: row.number("in_hour")?,
        day: row.number("in_day")?,
        month: row.number("in_month")?,
    })
}

/// Most tenants that are kept in memory; beyond that all are read again.
pub(crate) const TENANTS: usize = 100_000;

const SO_FAR: &str = "SELECT CASE WHEN hour >= $2 THEN in_hour ELSE 0 END AS in_hour, CASE WHEN day >= $3 THEN in_day ELSE 0 END AS in_day,
CASE WHEN month >= $4 THEN in_month ELSE 0 END AS in_month FROM tenant_quota WHERE tenant = $1";
const KEEP: &str = concat!(
    "INSERT INTO tenant_quota (tenant, hour, in_hour, day, in_day, month, in_month) SELECT ",
    uuid!("value ->> 'tenant'"),
    ", CAST(value ->> 'hour' AS BIGINT), CAST(value ->> 'in_hour' AS BIGINT), CAST(value ->> 'day' AS BIGINT), CAST(value ->> 'in_day' AS BIGINT),
CAST(value ->> 'month' AS BIGINT), CAST(value ->> 'in_month' AS BIGINT) FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (tenant) DO UPDATE SET hour = excluded.hour, in_hour = excluded.in_hour,
day = excluded.day, in_day = excluded.in_day, month = excluded.month, in_month = excluded.in_month"
);

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[SO_FAR, KEEP];
