//! What is counted by tenant. The writer keeps it in memory and writes it once a batch: open jobs and quotas, against which each enqueue is
//! held, are read once and moved by the operations that move them; what was used is added up.
//!
//! Nobody else writes while this process does, so the numbers are those of the database as the transaction stands. They are undone with the
//! operation that moved them, and forgotten with a batch that is lost or a connection that is left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use control_core::quota::{Account, Quota, Span, Spans};
use shared_protocol::id::TenantId;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::quota::Latest;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};
use crate::usage::Used;
use crate::{quota, usage};

/// The numbers, as the transaction stands.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    tenants: HashMap<TenantId, OfTenant>,
    /// Tenants whose account was moved since the last commit.
    moved: BTreeSet<TenantId>,
    /// Used since the last commit.
    used: BTreeMap<(i64, TenantId), Used>,
    /// What stood where before the operation at hand, latest last.
    before: Vec<Before>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OfTenant {
    /// Jobs without an end.
    open: u64,
    /// None before its first measurement.
    account: Option<Account>,
}

#[derive(Debug)]
enum Before {
    Tenant(TenantId, Option<OfTenant>),
    Used((i64, TenantId), Option<Used>),
}

/// Reads the numbers of those tenants that are not known yet.
pub(crate) async fn load(tx: &mut Tx, tenants: impl Iterator<Item = TenantId>) -> Result<(), StoreError> {
    let unknown: BTreeSet<TenantId> = tenants.filter(|tenant| !tx.tally.tenants.contains_key(tenant)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    for (tenant, of_tenant) in tx::all(tx, Statement::own(LOAD).bind(row::json(&unknown)?), of_tenant).await? {
        tx.tally.put(tenant, of_tenant);
    }
    Ok(())
}

/// Writes what the batch came to; before its commit.
pub(crate) fn write(tx: &mut Tx) -> Result<(), StoreError> {
    let used: Vec<(i64, TenantId, Used)> = tx.tally.used.iter().map(|(&(day, tenant), &used)| (day, tenant, used)).collect();
    if !used.is_empty() {
        usage::add(tx, &used)?;
    }
    let account = |tenant: &TenantId| Some((*tenant, tx.tally.tenants.get(tenant)?.account?));
    let accounts: Vec<(TenantId, Account)> = tx.tally.moved.iter().filter_map(account).collect();
    if !accounts.is_empty() {
        quota::keep(tx, &accounts)?;
    }
    Ok(())
}

impl Tally {
    /// Jobs of a tenant without an end; none where it was not loaded.
    pub(crate) fn open_jobs(&self, tenant: TenantId) -> Option<u64> {
        self.tenants.get(&tenant).map(|of_tenant| of_tenant.open)
    }

    /// Jobs of a tenant were stored.
    pub(crate) fn opened(&mut self, tenant: TenantId, jobs: u64) {
        self.change(tenant, |of_tenant| of_tenant.open = of_tenant.open.saturating_add(jobs));
    }

    /// A job of a tenant has its end.
    pub(crate) fn closed(&mut self, tenant: TenantId) {
        self.change(tenant, |of_tenant| of_tenant.open = of_tenant.open.saturating_sub(1));
    }

    /// Counts a measurement of a tenant that was loaded, unless a quota is used up.
    pub(crate) fn count(&mut self, tenant: TenantId, spans: Spans, quota: Quota) -> Result<(), Span> {
        let known = self.tenants.get(&tenant).and_then(|of_tenant| of_tenant.account);
        let mut account = known.unwrap_or_else(|| Account::new(spans));
        account.count(spans, quota)?;
        self.change(tenant, |of_tenant| of_tenant.account = Some(account));
        self.moved.insert(tenant);
        Ok(())
    }

    /// Adds to what a tenant used on a day.
    pub(crate) fn used(&mut self, day: i64, tenant: TenantId, used: Used) {
        let key = (day, tenant);
        let before = self.used.get(&key).copied();
        self.before.push(Before::Used(key, before));
        self.used.insert(key, before.unwrap_or_default().plus(used));
    }

    /// The operation at hand stands.
    pub(crate) fn keep(&mut self) {
        self.before.clear();
    }

    /// The operation at hand is undone, and so is what it moved.
    pub(crate) fn undo(&mut self) {
        while let Some(before) = self.before.pop() {
            match before {
                Before::Tenant(tenant, Some(of_tenant)) => drop(self.tenants.insert(tenant, of_tenant)),
                Before::Tenant(tenant, None) => drop(self.tenants.remove(&tenant)),
                Before::Used(key, Some(used)) => drop(self.used.insert(key, used)),
                Before::Used(key, None) => drop(self.used.remove(&key)),
            }
        }
    }

    /// The batch is on disk.
    pub(crate) fn committed(&mut self, latest: &Latest) {
        self.before.clear();
        let moved = mem::take(&mut self.moved);
        latest.put(moved.into_iter().filter_map(|tenant| Some((tenant, self.tenants.get(&tenant)?.account?))));
        self.used.clear();
        if self.tenants.len() > quota::TENANTS {
            self.tenants.clear();
        }
    }

    fn change(&mut self, tenant: TenantId, change: impl FnOnce(&mut OfTenant)) {
        if let Some(mut of_tenant) = self.tenants.get(&tenant).copied() {
            change(&mut of_tenant);
            self.put(tenant, of_tenant);
        }
    }

    fn put(&mut self, tenant: TenantId, of_tenant: OfTenant) {
        let before = self.tenants.insert(tenant, of_tenant);
        self.before.push(Before::Tenant(tenant, before));
    }
}

fn of_tenant(row: &Row) -> Result<(TenantId, OfTenant), RowError> {
    Ok((
        TenantId::from_uuid(row.uuid("tenant")?),
        OfTenant {
            open: row.number("open")?,
            account: quota::account(row)?,
        },
    ))
}

const LOAD: &str = concat!(
    "SELECT asked.tenant, (SELECT COUNT(*) FROM job_open o WHERE o.tenant = asked.tenant) AS open, q.hour, q.in_hour, q.day, q.in_day, q.month, q.in_month
FROM (SELECT ",
    uuid!("value"),
    " AS tenant FROM ",
    rows!("$1"),
    ") AS asked LEFT JOIN tenant_quota q ON q.tenant = asked.tenant"
);

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[LOAD];

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::time::UnixMicros;

    const QUOTA: Quota = Quota { hour: 9, day: 9, month: 9 };

    #[test]
    fn what_an_operation_moved_is_undone_with_it_and_what_came_before_stays() {
        let tenant = TenantId::new(UnixMicros::from_micros(1), [1; 10]);
        let spans = Spans::of(UnixMicros::from_micros(1));
        let mut tally = Tally::default();
        tally.put(tenant, OfTenant { open: 2, account: None });
        tally.opened(tenant, 3);
        tally.used(spans.day, tenant, Used { jobs: 3, ..Used::default() });
        tally.keep();
        tally.closed(tenant);
        tally.closed(tenant);
        assert_eq!(tally.count(tenant, spans, QUOTA), Ok(()));
        tally.used(spans.day, tenant, Used { jobs: 4, ..Used::default() });
        tally.used(spans.day + 1, tenant, Used { jobs: 5, ..Used::default() });
        assert_eq!(tally.open_jobs(tenant), Some(3));
        tally.undo();
        assert_eq!(tally.open_jobs(tenant), Some(5));
        assert_eq!(tally.tenants.get(&tenant).unwrap().account, None);
        assert_eq!(tally.used.values().map(|used| used.jobs).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_number_read_by_an_operation_that_is_undone_is_read_again() {
        let tenant = TenantId::new(UnixMicros::from_micros(1), [1; 10]);
        let mut tally = Tally::default();
        tally.put(tenant, OfTenant { open: 2, account: None });
        tally.undo();
        assert_eq!(tally.open_jobs(tenant), None);
        tally.closed(tenant);
        assert_eq!(tally.open_jobs(tenant), None, "what is not known is not moved");
    }
}
