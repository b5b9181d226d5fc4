//! Becomes another program, after making sure that it hears signals and does not outlive us.
//!
//! `up` waits for signals with a signalfd and therefore blocks them, and a child inherits what is blocked. Undoing that between fork and exec
//! would be unsafe code; starting ourselves once more and turning into the program is not, and keeps the process id.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

/// Never returns if it succeeds.
pub(crate) fn run(command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().context("nothing to run")?;
    prctl::set_pdeathsig(Signal::SIGTERM).context("asking to be ended with the parent")?;
    SigSet::all().thread_unblock().context("unblocking signals")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}
