//! Runs a world over a TUN device in real time, on one thread.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use serde::Serialize;
use test_internet::{PacketTruth, Truth, World};

use super::namespace::joined;
use crate::clock;

/// What the relay itself did: how far the world's times are those of the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RelayTruth {
    /// Packets of the observer that it read.
    pub read: u64,
    /// Packets for the observer that it wrote.
    pub written: u64,
    /// Packets that the kernel did not take.
    pub refused: u64,
    /// Packets of the observer that its device had no room for: lost before the world.
    pub lost_before: u64,
    /// How much later than the world's time packets were written, in the mean and at most, nanoseconds.
    pub late_mean_ns: u64,
    /// The latest.
    pub late_most_ns: u64,
}

/// Everything about a world that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// By flow and link.
    pub truth: Truth,
    /// By packet.
    pub packets: Vec<PacketTruth>,
    /// The relay's own part.
    pub relay: RelayTruth,
}

/// A thread that relays until it is stopped.
pub(super) struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(World, RelayTruth)>>>,
}

impl Relay {
    pub(super) fn start(world: World, device: File) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("internet".to_owned())
            .spawn(move || run(world, device, &seen))
            .context("start the relay")?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it; packets that are still under way are not waited for.
    pub(super) fn finish(mut self) -> Result<(World, RelayTruth)> {
        self.stop.store(true, Ordering::Relaxed);
        joined(self.thread.take().context("the relay has ended before")?.join())?
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Who drops it does not ask how it went.
            drop(thread.join());
        }
    }
}

struct Moving {
    world: World,
    device: File,
    began: Instant,
    did: RelayTruth,
    late_sum: u64,
}

fn run(world: World, device: File, stop: &AtomicBool) -> Result<(World, RelayTruth)> {
    // The kernel would let a timer come 50 µs late to save wake-ups.
    nix::sys::prctl::set_timerslack(1).context("ask for exact timers")?;
    let mut moving = Moving {
        world,
        device,
        began: clock::start(),
        did: RelayTruth::default(),
        late_sum: 0,
    };
    let mut buffer = vec![0; LONGEST_PACKET];
    while !stop.load(Ordering::Relaxed) {
        let read = moving.read(&mut buffer)?;
        let written = moving.write();
        if read < BATCH && written < BATCH {
            moving.wait()?;
        }
    }
    moving.did.late_mean_ns = moving.late_sum.checked_div(moving.did.written).unwrap_or(0);
    Ok((moving.world, moving.did))
}

impl Moving {
    /// Hands packets of the observer to the world, not more than a batch of them.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        for number in 0..BATCH {
            match self.device.read(buffer) {
                Ok(length) => {
                    self.did.read += 1;
                    self.world.handle(buffer.get(..length).unwrap_or_default(), self.began.elapsed());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(number),
                Err(error) => return Err(error).context("read the device"),
            }
        }
        Ok(BATCH)
    }

    /// Writes what is due, not more than a batch of it, so that what comes in meanwhile is not left lying.
    fn write(&mut self) -> usize {
        for number in 0..BATCH {
            let now = self.began.elapsed();
            let due = self.world.next_at();
            let Some(packet) = self.world.poll(now) else { return number };
            let late = due.map_or(Duration::ZERO, |due| now.saturating_sub(due));
            let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            match self.device.write(&packet) {
                Ok(length) if length == packet.len() => {
                    self.did.written += 1;
                    self.late_sum = self.late_sum.saturating_add(late);
                    self.did.late_most_ns = self.did.late_most_ns.max(late);
                }
                Ok(_) | Err(_) => self.did.refused += 1,
            }
        }
        BATCH
    }

    /// Until a packet comes, or one is due, or it is time to look whether to stop.
    fn wait(&self) -> Result<()> {
        let due = self.world.next_at().map_or(LOOK_UP, |due| due.saturating_sub(self.began.elapsed()));
        let mut ready = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut ready, Some(due.min(LOOK_UP).into()), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("wait for the device"),
        }
    }
}

const BATCH: usize = 64;
const LONGEST_PACKET: usize = 65_536;
const LOOK_UP: Duration = Duration::from_millis(20);
