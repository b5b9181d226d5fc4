//! Which principal a presented key is. Key rows are remembered for two seconds, so that a busy key does not read the store each time, and
//! a key revoked elsewhere stops within them; one revoked here stops at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control_core::authorize::{Principal, SystemScope};
use control_store::keys::KeyRow;
use shared_protocol::time::{MonotonicMicros, UnixMicros};
use tokio_util::sync::CancellationToken;

use super::Identity;
use super::api_key::ApiKey;
use crate::clock;
use crate::error::ServiceError;

/// Keys seen of late, and when they were used.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    rows: Mutex<HashMap<String, (KeyRow, MonotonicMicros)>>,
    used: Mutex<HashMap<String, UnixMicros>>,
}

impl Identity {
    /// Finds the principal of a presented key.
    ///
    /// # Errors
    /// [`ServiceError::Unauthenticated`], always the same, for whatever is not a live key; [`ServiceError::Unavailable`] where that cannot be told.
    pub async fn authenticate(&self, presented: &str) -> Result<Principal, ServiceError> {
        let key = ApiKey::parse(presented).ok_or(ServiceError::Unauthenticated)?;
        let row = self.key_row(key.id()).await?;
        // An unknown id costs the same work as a known one.
        let genuine = key.matches(self.pepper(), &row.as_ref().map_or([0; 32], |row| row.mac));
        let now = clock::now();
        let live = row.filter(|row| genuine && row.revoked_at.is_none() && row.expires_at > now);
        let row = live.ok_or(ServiceError::Unauthenticated)?;
        self.known().note_used(&row.id, now);
        Ok(Principal::Key {
            key: row.id,
            tenant: row.tenant,
            tier: row.tier,
            scopes: row.scopes,
        })
    }

    /// Writes once a minute when keys were last used, and once more at the end.
    pub(crate) async fn keep_last_used(self, stopping: CancellationToken) {
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(LAST_USED_INTERVAL) => false,
                () = stopping.cancelled() => true,
            };
            let used = self.known().take_used();
            if !used.is_empty() {
                let written = self
                    .store()
                    .write(move |tx| Box::pin(async move { control_store::keys::touch(tx, SystemScope::for_own_work(), &used).await }))
                    .await;
                if let Err(error) = written {
                    tracing::warn!(%error, "when keys were last used could not be written");
                }
            }
            if last {
                return;
            }
        }
    }

    async fn key_row(&self, id: &str) -> Result<Option<KeyRow>, ServiceError> {
        let now = clock::monotonic();
        if let Some(row) = self.known().fresh(id, now) {
            return Ok(Some(row));
        }
        let mut reader = self.store().reader().await?;
        let found = control_store::keys::find_for_authentication(&mut reader, SystemScope::for_own_work(), id).await?;
        if let Some(row) = &found {
            self.known().remember(row.clone(), now);
        }
        Ok(found)
    }
}

impl KnownKeys {
    fn fresh(&self, id: &str, now: MonotonicMicros) -> Option<KeyRow> {
        let rows = lock(&self.rows);
        rows.get(id).filter(|(_, read)| now.since(*read) < REMEMBERED).map(|(row, _)| row.clone())
    }

    /// Keeps a row; when full, forgets what is stale, then everything: only time is lost.
    fn remember(&self, row: KeyRow, now: MonotonicMicros) {
        let mut rows = lock(&self.rows);
        if rows.len() >= REMEMBERED_KEYS {
            rows.retain(|_, (_, read)| now.since(*read) < REMEMBERED);
        }
        if rows.len() >= REMEMBERED_KEYS {
            rows.clear();
        }
        rows.insert(row.id.clone(), (row, now));
    }

    /// Forgets every row: the tier of some tenant changed.
    pub(super) fn forget_all(&self) {
        lock(&self.rows).clear();
    }

    /// Forgets a key that was just revoked.
    pub(super) fn forget(&self, id: &str) {
        lock(&self.rows).remove(id);
    }

    /// Only genuine keys come here, so there are no more than keys in the store; beyond the bound a use is not noted.
    fn note_used(&self, id: &str, at: UnixMicros) {
        let mut used = lock(&self.used);
        if used.len() < REMEMBERED_KEYS || used.contains_key(id) {
            used.insert(id.to_owned(), at);
        }
    }

    fn take_used(&self) -> Vec<(String, UnixMicros)> {
        std::mem::take(&mut *lock(&self.used)).into_iter().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a row read counts as true.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Most keys remembered.
const REMEMBERED_KEYS: usize = 10_000;
/// How often the last use of keys is written.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);
