//! Ctrl-C as something to wait for.

use std::cell::Cell;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// SIGINT and SIGTERM, held back from their default action. Children are started through `xtask exec`, which undoes the blocking they inherit.
#[derive(Debug)]
pub(super) struct Signals {
    arrived: SignalFd,
    seen: Cell<bool>,
}

impl Signals {
    /// Must be called while the process has one thread.
    pub(super) fn block() -> Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block().context("blocking signals")?;
        let arrived = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("making a signal descriptor")?;
        Ok(Self {
            arrived,
            seen: Cell::new(false),
        })
    }

    /// Waits at most `limit` for somebody to end this; says whether somebody did, now or before.
    pub(super) fn wait(&self, limit: Duration) -> Result<bool> {
        if self.seen.get() {
            return Ok(true);
        }
        let mut watched = [PollFd::new(self.arrived.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, limit) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for a signal"),
        }
        if self.arrived.read_signal().context("reading a signal")?.is_some() {
            self.seen.set(true);
        }
        Ok(self.seen.get())
    }

    /// Waits whatever happens, for the patience that ending the others takes.
    pub(super) fn pause(time: Duration) {
        let _ = poll(&mut [], PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    }

    pub(super) fn interrupted(&self) -> bool {
        self.seen.get()
    }
}
