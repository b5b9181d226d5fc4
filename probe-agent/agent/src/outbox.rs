//! Reports not yet acknowledged, on disk: a report is offered to the control plane only after it is durable here, and leaves only when it is durable there.
//!
//! One SQLite file (WAL, `synchronous=FULL`, one connection, held exclusively, so that a second agent on the same directory is refused).
//! Every record carries its own checksum, because SQLite's pages do not. A file that cannot be read is set aside under another name, and
//! a new incarnation begins.

mod damage;
mod error;
mod file;

pub use error::OutboxError;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use shared_protocol::codec::decode_report;
use shared_protocol::frame::OutboxState;
use shared_protocol::id::{Attempt, IncarnationId, JobId, JobRef, Sequence, StandingId};
use shared_protocol::time::UnixMicros;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{MappedMutexGuard, MutexGuard};
use uuid::Uuid;

use crate::state_dir::StateDir;

/// What the owner lets the outbox hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxSettings {
    /// Bytes of reports above which new jobs are refused.
    pub max_bytes: u64,
    /// Age of the oldest report above which new jobs are refused, hours.
    pub max_age_h: u32,
    /// Bytes of windows of standing work above which the oldest are given up.
    pub max_window_bytes: u64,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024 * 1024,
            max_age_h: 72,
            max_window_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The agent's outbox; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// None once it is closed.
    connection: Arc<tokio::sync::Mutex<Option<SqliteConnection>>>,
    /// Shared by all clones: a new life begins for each of them.
    incarnation: Arc<Mutex<IncarnationId>>,
    settings: OutboxSettings,
    usage: Arc<Mutex<Usage>>,
}

/// What the outbox holds, kept beside the file so that nobody waits for a disk to know it.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    reports: u64,
    bytes: u64,
    oldest: Option<UnixMicros>,
    last: Sequence,
    set_aside: u64,
    /// Windows of standing work, which are in none of the numbers above.
    windows: u64,
    window_bytes: u64,
}

/// Whether new jobs may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Their reports can be kept.
    Free,
    /// Nothing more should be begun until reports are acknowledged.
    Full,
}

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Its number in this outbox.
    pub seq: Sequence,
    /// The job it answers.
    pub job: JobRef,
    /// Its text.
    pub body: Arc<str>,
}

impl Outbox {
    /// Opens the outbox of a state directory, and makes it if there is none or the one there is damaged.
    ///
    /// # Errors
    /// [`OutboxError`] where another agent holds it, a newer agent wrote it, or the directory cannot be used.
    pub async fn open(state: &StateDir, settings: OutboxSettings, now: UnixMicros, random: [u8; 10]) -> Result<Self, OutboxError> {
        let opened = file::open(state, IncarnationId::new(now, random), now).await?;
        let outbox = Self {
            connection: Arc::new(tokio::sync::Mutex::new(Some(opened.connection))),
            incarnation: Arc::new(Mutex::new(opened.incarnation)),
            settings,
            usage: Arc::default(),
        };
        outbox.recount(opened.set_aside).await?;
        Ok(outbox)
    }

    /// What `hello` says about the outbox.
    ///
    /// # Errors
    /// [`OutboxError`] where the file cannot be read.
    pub async fn state(&self) -> Result<OutboxState, OutboxError> {
        let first: Option<i64> = sqlx::query_scalar(FIRST).fetch_one(&mut *self.connection().await?).await?;
        let usage = self.usage();
        let next_seq = usage.last.next();
        Ok(OutboxState {
            incarnation: *self.incarnation.lock().unwrap_or_else(PoisonError::into_inner),
            first_seq: first.map(sequence).transpose()?.unwrap_or(next_seq),
            next_seq,
            set_aside: usage.set_aside,
        })
    }

    /// Keeps a report: when this returns, it is on disk.
    ///
    /// # Errors
    /// [`OutboxError`] where it could not be written; nothing was kept then, and the same report may be given again.
    pub async fn append(&self, job: JobRef, body: &str, now: UnixMicros) -> Result<Sequence, OutboxError> {
        let (seq, bytes) = self.insert(job, body, now).await?;
        self.with_usage(|usage| {
            usage.reports += 1;
            usage.bytes = usage.bytes.saturating_add(bytes);
            usage.oldest = usage.oldest.or(Some(now));
            usage.last = usage.last.max(seq);
        });
        Ok(seq)
    }

    /// Keeps the report of a window of standing work, for which the oldest such reports are given up where there are too many: says whose
    /// they were. Reports of jobs are never touched.
    ///
    /// # Errors
    /// [`OutboxError`] where it could not be written; it was not kept then.
    pub async fn append_window(&self, window: JobRef, body: &str, now: UnixMicros) -> Result<Vec<StandingId>, OutboxError> {
        let mut given_up = Vec::new();
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        while self.usage().windows > 0 && self.usage().window_bytes.saturating_add(length) > self.settings.max_window_bytes {
            given_up.append(&mut self.give_up_window().await?);
        }
        let (seq, bytes) = self.insert(window, body, now).await?;
        self.with_usage(|usage| {
            usage.windows += 1;
            usage.window_bytes = usage.window_bytes.saturating_add(bytes);
            usage.last = usage.last.max(seq);
        });
        Ok(given_up)
    }

    async fn give_up_window(&self) -> Result<Vec<StandingId>, OutboxError> {
        let body: Vec<Vec<u8>> = sqlx::query_scalar(GIVE_UP_WINDOW).fetch_all(&mut *self.connection().await?).await?;
        self.recount(self.usage().set_aside).await?;
        let report = body.first().and_then(|body| decode_report(&String::from_utf8_lossy(body)).ok());
        Ok(report.and_then(|report| report.standing).map(|window| window.id).into_iter().collect())
    }

    async fn insert(&self, job: JobRef, body: &str, now: UnixMicros) -> Result<(Sequence, u64), OutboxError> {
        let bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
        // All of the answer is waited for, not its row alone: that comes before the commit.
        let stored: Vec<i64> = sqlx::query_scalar(APPEND)
            .bind(job.job.uuid())
            .bind(i64::from(job.attempt.0))
            .bind(now.micros())
            .bind(bytes)
            .bind(i64::from(damage::checksum(job, body)))
            .bind(body)
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let stored = stored.first().ok_or(OutboxError::Damaged)?;
        Ok((sequence(*stored)?, bytes.unsigned_abs()))
    }

    /// The reports after one, oldest first, at most `limit`. A record whose checksum does not fit is dropped, counted and told in `hello`.
    ///
    /// # Errors
    /// [`OutboxError`] where the file cannot be read.
    pub async fn read_after(&self, after: Sequence, limit: u32) -> Result<Vec<StoredReport>, OutboxError> {
        if self.usage().last <= after {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, Uuid, i64, i64, Vec<u8>)> = sqlx::query_as(READ_AFTER)
            .bind(stored(after))
            .bind(i64::from(limit))
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let mut reports = Vec::with_capacity(rows.len());
        for (seq, job, attempt, checksum, body) in rows {
            match damage::check(job, attempt, checksum, body) {
                Some((job, body)) => reports.push(StoredReport {
                    seq: sequence(seq)?,
                    job,
                    body: body.into(),
                }),
                None => self.set_record_aside(seq).await?,
            }
        }
        Ok(reports)
    }

    /// The jobs whose reports are kept, oldest first, at most `limit`; windows of standing work are none.
    ///
    /// # Errors
    /// [`OutboxError`] where the file cannot be read.
    pub async fn jobs(&self, limit: usize) -> Result<Vec<JobRef>, OutboxError> {
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(JOBS)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let job_ref = |(job, attempt): (Uuid, i64)| {
            u32::try_from(attempt).ok().map(|attempt| JobRef {
                job: JobId::from_uuid(job),
                attempt: Attempt(attempt),
            })
        };
        Ok(rows.into_iter().filter_map(job_ref).collect())
    }

    /// Forgets the reports that the control plane has on disk.
    ///
    /// # Errors
    /// [`OutboxError`] where the file cannot be written; they are sent again then, and known there.
    pub async fn acknowledged(&self, up_to: Sequence) -> Result<(), OutboxError> {
        let counted = sqlx::query_as(FORGET).bind(stored(up_to)).fetch_one(&mut *self.connection().await?).await?;
        self.recounted(counted, self.usage().set_aside)
    }

    /// Whether new jobs may be taken. Reports of jobs already taken are kept in any case.
    pub fn room(&self, now: UnixMicros) -> Room {
        let usage = self.usage();
        let max_age = Duration::from_secs(u64::from(self.settings.max_age_h) * 3_600);
        if usage.bytes >= self.settings.max_bytes || usage.oldest.is_some_and(|oldest| now.since(oldest) > max_age) {
            Room::Full
        } else {
            Room::Free
        }
    }

    /// How many reports of jobs are kept.
    pub fn depth(&self) -> u64 {
        self.usage().reports
    }

    /// Whether nothing waits to be acknowledged, of jobs or of standing work.
    pub fn is_empty(&self) -> bool {
        let usage = self.usage();
        usage.reports == 0 && usage.windows == 0
    }

    /// The last report kept so far, acknowledged or not.
    pub fn last(&self) -> Sequence {
        self.usage().last
    }

    /// Drops one report that the control plane cannot read, and counts it; `hello` tells the count.
    ///
    /// # Errors
    /// [`OutboxError`] where the file cannot be written.
    pub async fn set_aside(&self, seq: Sequence) -> Result<(), OutboxError> {
        self.set_record_aside(stored(seq)).await
    }

    /// Begins a new life with the reports there are: all of them are offered again, and what the control plane knows already it knows by
    /// its job. For an outbox that was put back to an earlier state, whose numbers were given to other reports before.
    ///
    /// # Errors
    /// [`OutboxError`] where the file cannot be written; the old life goes on then.
    pub async fn begin_new_life(&self, now: UnixMicros, random: [u8; 10]) -> Result<(), OutboxError> {
        let fresh = IncarnationId::new(now, random);
        sqlx::query(NEW_LIFE).bind(fresh.uuid()).execute(&mut *self.connection().await?).await?;
        *self.incarnation.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Closes the file in order.
    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the outbox was not closed cleanly");
        }
    }

    async fn set_record_aside(&self, seq: i64) -> Result<(), OutboxError> {
        tracing::error!(seq, "a report in the outbox cannot be read and was set aside");
        sqlx::query(DROP_DAMAGED).bind(seq).execute(&mut *self.connection().await?).await?;
        sqlx::query(COUNT_DAMAGED).execute(&mut *self.connection().await?).await?;
        self.recount(self.usage().set_aside + 1).await
    }

    async fn recount(&self, set_aside: u64) -> Result<(), OutboxError> {
        let counted = sqlx::query_as(USAGE).fetch_one(&mut *self.connection().await?).await?;
        self.recounted(counted, set_aside)
    }

    fn recounted(&self, (reports, bytes, oldest, windows, window_bytes, last): Counted, set_aside: u64) -> Result<(), OutboxError> {
        let last = sequence(last)?;
        self.with_usage(|usage| {
            *usage = Usage {
                reports: reports.unsigned_abs(),
                bytes: bytes.unsigned_abs(),
                oldest: oldest.map(UnixMicros::from_micros),
                // An append that finished meanwhile may have counted itself already.
                last: usage.last.max(last),
                set_aside,
                windows: windows.unsigned_abs(),
                window_bytes: window_bytes.unsigned_abs(),
            };
        });
        Ok(())
    }

    /// The file's connection, in turn. It is not asked whether it is there: it leads to a file.
    async fn connection(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, OutboxError> {
        let closed = |_| OutboxError::Storage(sqlx::Error::PoolClosed);
        MutexGuard::try_map(self.connection.lock().await, Option::as_mut).map_err(closed)
    }

    fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_usage(&self, change: impl FnOnce(&mut Usage)) {
        change(&mut self.usage.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn sequence(stored: i64) -> Result<Sequence, OutboxError> {
    let number = u64::try_from(stored).map_err(|_| OutboxError::Damaged)?;
    Sequence::new(number).map_err(|_| OutboxError::Damaged)
}

fn stored(seq: Sequence) -> i64 {
    i64::try_from(seq.value()).unwrap_or(i64::MAX)
}

/// Reports of jobs, their bytes, when the oldest was kept; windows, their bytes; the last number given.
type Counted = (i64, i64, Option<i64>, i64, i64, i64);

const FIRST: &str = "SELECT MIN(seq) FROM report";
/// What is written next is on disk when it is answered.
macro_rules! durable {
    ($statement:literal) => {
        concat!("PRAGMA synchronous = FULL; ", $statement)
    };
}

/// What the outbox holds.
macro_rules! usage {
    () => {
        "SELECT COUNT(*) FILTER (WHERE attempt > 0), COALESCE(SUM(bytes) FILTER (WHERE attempt > 0), 0), MIN(at_us) FILTER (WHERE attempt > 0),
COUNT(*) FILTER (WHERE attempt = 0), COALESCE(SUM(bytes) FILTER (WHERE attempt = 0), 0),
COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'report'), 0) FROM report"
    };
}

const APPEND: &str = durable!("INSERT INTO report (job, attempt, at_us, bytes, checksum, body) VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq");
const READ_AFTER: &str = "SELECT seq, job, attempt, checksum, CAST(body AS BLOB) FROM report WHERE seq > $1 ORDER BY seq LIMIT $2";
// A window of standing work has no attempt: nobody handed it out.
const JOBS: &str = "SELECT job, attempt FROM report WHERE attempt > 0 ORDER BY seq LIMIT $1";
const GIVE_UP_WINDOW: &str = durable!("DELETE FROM report WHERE seq = (SELECT MIN(seq) FROM report WHERE attempt = 0) RETURNING CAST(body AS BLOB)");
/// Not waited for: what is there again after a power cut is sent again, and known at the other end. The next report that is kept takes it to disk.
const FORGET: &str = concat!("PRAGMA synchronous = NORMAL; DELETE FROM report WHERE seq <= $1; ", usage!());
const DROP_DAMAGED: &str = durable!("DELETE FROM report WHERE seq = $1");
const COUNT_DAMAGED: &str = durable!("UPDATE life SET set_aside = set_aside + 1");
const NEW_LIFE: &str = durable!("UPDATE life SET incarnation = $1");
const USAGE: &str = usage!();

#[cfg(test)]
mod tests;
