//! The checksum of a record: what a flipped bit on the disk cannot get past.

use shared_protocol::id::{Attempt, JobId, JobRef};
use uuid::Uuid;

/// CRC-32 over job, attempt and text.
pub(super) fn checksum(job: JobRef, body: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(job.job.uuid().as_bytes());
    hasher.update(&job.attempt.0.to_be_bytes());
    hasher.update(body.as_bytes());
    hasher.finalize()
}

/// What a record says, where its checksum fits.
pub(super) fn check(job: Uuid, attempt: i64, expected: i64, body: Vec<u8>) -> Option<(JobRef, String)> {
    let job = JobRef {
        job: JobId::from_uuid(job),
        attempt: Attempt(u32::try_from(attempt).ok()?),
    };
    let body = String::from_utf8(body).ok()?;
    (i64::from(checksum(job, &body)) == expected).then_some((job, body))
}
