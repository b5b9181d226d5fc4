//! How many windows of a standing observation an agent may have stored: as many as there can have been, and not what it likes.
//!
//! An agent may say anything, and nobody handed a window out. So what is taken in is bounded by time: of the revision that stands, twice as
//! many windows as fit between its making and now, and a few; of those before, which come late, so many bytes as an outbox keeps.

use std::time::Duration;

use shared_protocol::time::UnixMicros;

/// What stands at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its revision.
    pub revision: u32,
    /// When that was made.
    pub since: UnixMicros,
    /// Length of a window.
    pub window: Duration,
}

/// What was taken in of an agent since the revision that stands was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenIn {
    /// The revision that is counted.
    pub revision: u32,
    /// Windows of it.
    pub windows: u64,
    /// Bytes of windows of those before.
    pub late_bytes: u64,
}

/// Whether a window is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is, and counts.
    Taken,
    /// There never was such a revision.
    Unknown,
    /// There cannot have been so many.
    TooMany,
}

impl TakenIn {
    /// Judges a window of this revision, with a report of so many bytes, and counts it where it is taken.
    pub fn judge(&mut self, standing: Standing, revision: u32, bytes: usize, at: UnixMicros) -> Verdict {
        if revision > standing.revision {
            return Verdict::Unknown;
        }
        if bytes > WINDOW_BYTES {
            return Verdict::TooMany;
        }
        if self.revision != standing.revision {
            *self = Self {
                revision: standing.revision,
                ..Self::default()
            };
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let (counted, limit) = if revision == standing.revision {
            (&mut self.windows, standing.fit_until(at))
        } else {
            (&mut self.late_bytes, LATE_BYTES)
        };
        let after = counted.saturating_add(if revision == standing.revision { 1 } else { bytes });
        if after > limit {
            return Verdict::TooMany;
        }
        *counted = after;
        Verdict::Taken
    }
}

impl Standing {
    /// Twice as many windows as fit into the time since, for those that were cut short, and some for clocks and restarts.
    fn fit_until(&self, at: UnixMicros) -> u64 {
        let window_s = self.window.as_secs().max(1);
        at.since(self.since).as_secs() / window_s * 2 + SPARE
    }
}

/// Longest report of a window, bytes: far more than any observation tells.
const WINDOW_BYTES: usize = 512 * 1024;
/// Bytes of windows of earlier revisions that may come after a change: four times what an outbox keeps unless its owner says otherwise.
const LATE_BYTES: u64 = 256 * 1024 * 1024;
/// Windows that may come beside those that time allows.
const SPARE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros::from_micros(seconds * 1_000_000)
    }

    fn standing(revision: u32, since: i64) -> Standing {
        Standing {
            revision,
            since: at(since),
            window: Duration::from_mins(1),
        }
    }

    #[test]
    fn stw_15_no_more_windows_are_taken_than_there_can_have_been() {
        let mut taken = TakenIn::default();
        let mut judge = |revision, seconds| taken.judge(standing(2, 0), revision, 1_000, at(seconds));
        assert_eq!(judge(3, 10), Verdict::Unknown);
        assert!((0..SPARE).all(|_| judge(2, 10) == Verdict::Taken));
        assert_eq!(judge(2, 10), Verdict::TooMany);
        assert_eq!((judge(2, 60), judge(2, 60), judge(2, 60)), (Verdict::Taken, Verdict::Taken, Verdict::TooMany));
        // A day without a connection comes all at once.
        assert!((0..2 * 24 * 60 - 2).all(|_| judge(2, 86_400) == Verdict::Taken));
        assert_eq!(judge(2, 86_400), Verdict::TooMany);
        assert_eq!(judge(2, -5), Verdict::TooMany, "a clock that stepped back allows nothing more");
        assert_eq!(
            taken.judge(standing(3, 90_000), 3, 1_000, at(90_000)),
            Verdict::Taken,
            "a new revision begins anew"
        );
        assert_eq!((taken.revision, taken.windows), (3, 1));
    }

    #[test]
    fn stw_15_late_windows_are_bounded_by_their_bytes_and_each_by_its_own() {
        let mut taken = TakenIn::default();
        let mut judge = |revision, bytes| taken.judge(standing(2, 0), revision, bytes, at(0));
        assert_eq!(judge(2, WINDOW_BYTES + 1), Verdict::TooMany);
        let whole = LATE_BYTES / u64::try_from(WINDOW_BYTES).unwrap();
        assert!((0..whole).all(|_| judge(1, WINDOW_BYTES) == Verdict::Taken));
        assert_eq!(judge(1, 1), Verdict::TooMany);
        assert_eq!(judge(2, 1), Verdict::Taken, "those that are in time have their own place");
    }
}
