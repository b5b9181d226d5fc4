//! One run of a program, with what it cost.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::clock;
use crate::network::Namespace;

/// What a program said and cost.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Processor time of user and kernel together (`getrusage`). Right as long as this process waits for no other program meanwhile.
    pub processor: Duration,
    /// From its start to its end.
    pub took: Duration,
}

/// Runs a program of the observer to its end.
///
/// # Errors
/// When it cannot be started. How it ended is for the caller to judge: some say by their exit code that a target did not answer.
pub fn run(observer: &Namespace, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Ran> {
    let program = program.as_ref();
    let before = processor()?;
    let began = clock::start();
    let output = observer
        .within(|| Command::new(program).args(arguments).env("LC_ALL", "C").output())?
        .with_context(|| format!("start {}", program.display()))?;
    let took = began.elapsed();
    Ok(Ran {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
        processor: processor()?.saturating_sub(before),
        took,
    })
}

/// Processor time of all programs that this process has waited for.
fn processor() -> Result<Duration> {
    let usage: Usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("ask for the processor time of children")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}
