//! Reads the host's load each 15 seconds on a thread of its own: a file system that hangs holds up nothing but the readings.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use shared_protocol::host::HostLoad;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::watch;

use super::load::LoadReader;
use crate::clock;

/// The host's load as it is read; ends with this value.
#[derive(Debug)]
pub struct HostSampler {
    latest: watch::Receiver<Option<HostLoad>>,
    /// Its end is what stops the thread.
    _running: Option<SyncSender<()>>,
}

impl HostSampler {
    /// Starts reading.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub fn start() -> io::Result<Self> {
        let (sender, latest) = watch::channel(None);
        let (running, stopped) = sync_channel(0);
        thread::Builder::new()
            .name("host-load".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || sample(&sender, &stopped))?;
        Ok(Self {
            latest,
            _running: Some(running),
        })
    }

    /// One that never reads anything.
    pub fn silent() -> Self {
        let (_, latest) = watch::channel(None);
        Self { latest, _running: None }
    }

    /// The next reading that was not taken yet; of several only the last. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> HostLoad {
        loop {
            if self.latest.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(load) = self.latest.borrow_and_update().clone() {
                return load;
            }
        }
    }
}

fn sample(latest: &watch::Sender<Option<HostLoad>>, stopped: &Receiver<()>) {
    let mut reader = LoadReader::new();
    let mut schedule = Schedule::new(clock::monotonic());
    loop {
        let wait = schedule.next(clock::random_seed(), clock::monotonic());
        match stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        latest.send_replace(Some(reader.read(clock::monotonic())));
    }
}

/// When the next reading is due: every 15 seconds from the start, each up to a second late, so that hosts that started together drift apart.
#[derive(Debug)]
struct Schedule {
    due: MonotonicMicros,
}

impl Schedule {
    const fn new(start: MonotonicMicros) -> Self {
        Self { due: start }
    }

    /// How long to wait. Readings that could not be taken in time, as while the host slept, are left out, not made up for.
    fn next(&mut self, random: u64, now: MonotonicMicros) -> Duration {
        let wait = self.due.since(now) + Duration::from_micros(random % JITTER_US);
        self.due = self.due.plus(INTERVAL);
        if self.due < now {
            self.due = now.plus(INTERVAL);
        }
        wait
    }
}

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(15);
const JITTER_US: u64 = 1_000_000;
const STACK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn readings_keep_their_pace_and_those_missed_in_a_sleep_are_left_out() {
        let mut schedule = Schedule::new(at(0));
        assert_eq!(schedule.next(0, at(0)), Duration::ZERO);
        assert_eq!(schedule.next(250_000, at(1)), Duration::from_millis(14_250));
        assert_eq!(schedule.next(0, at(16)), Duration::from_secs(14));
        assert_eq!(schedule.next(0, at(4_000)), Duration::ZERO, "one at once after a long sleep");
        assert_eq!(schedule.next(0, at(4_001)), Duration::from_secs(14), "and then the old pace, without a burst");
    }

    #[tokio::test]
    async fn the_first_reading_comes_soon_and_is_taken_once() {
        let mut sampler = HostSampler::start().unwrap();
        let load = sampler.next().await;
        assert!(load.memory_available_bytes.is_some());
        assert!(!sampler.latest.has_changed().unwrap());
    }
}
