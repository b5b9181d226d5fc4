//! A program `up` keeps running, and programs it runs to their end.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::signal::Signals;
use crate::clock::Stopwatch;

/// A program that is meant to stay, with its log.
#[derive(Debug)]
pub(super) struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it with standard error and output in a log of its own.
    pub(super) fn start(name: &'static str, program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let child = command(program, arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("sharing the log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
        })
    }

    /// The program's process id: `xtask exec` becomes the program, so it is that of the child.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the end of its log, if it has ended although nobody asked it to.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("looking after {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!(
                "the {} has ended by itself ({status}); the last it said, in {}:\n{}",
                self.name,
                self.log.display(),
                self.last_words()
            ),
        }
    }

    /// The last lines of its log.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or(&lines);
        format!("  {}", shown.join("\n  "))
    }

    /// Asks it to end, and ends it if it does not within ten seconds. Says what was wrong, if anything was.
    pub(super) fn stop(mut self) -> Option<String> {
        if let Ok(Some(_)) = self.child.try_wait() {
            return None;
        }
        send(&self.child, Signal::SIGTERM);
        let watch = Stopwatch::start();
        while watch.left(PATIENCE).is_some() {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return None,
                Ok(Some(status)) => return Some(format!("the {} ended with {status}; see {}", self.name, self.log.display())),
                Ok(None) => Signals::pause(POLL),
                Err(_) => break,
            }
        }
        send(&self.child, Signal::SIGKILL);
        // Reaps it: a killed process always ends.
        drop(self.child.wait());
        Some(format!("the {} did not end within {} s and was killed", self.name, PATIENCE.as_secs()))
    }
}

fn send(child: &Child, signal: Signal) {
    if let Ok(id) = i32::try_from(child.id()) {
        // It may have ended meanwhile, which is what is wanted.
        let _ = kill(Pid::from_raw(id), signal);
    }
}

/// What a program that ran to its end left.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a short program to its end, with `input` on its standard input, and reads what it says.
pub(super) fn run(program: &Path, arguments: &[String], input: Option<&str>, signals: &Signals) -> Result<Ended> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command(program, arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        std::io::Write::write_all(&mut pipe, input.as_bytes()).context("passing it its input")?;
    }
    // These programs say a few lines, far less than a pipe holds.
    let status = wait(&mut child, RUN_LIMIT, signals)?;
    let mut ended = Ended {
        status,
        stdout: String::new(),
        stderr: String::new(),
    };
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut ended.stdout).context("reading what it said")?;
    }
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut ended.stderr).context("reading what it said")?;
    }
    Ok(ended)
}

/// Runs a program to its end that speaks to people itself.
pub(super) fn show(program: &Path, arguments: &[String], stdout: Stdio, limit: Duration, signals: &Signals) -> Result<ExitStatus> {
    let mut child = command(program, arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::inherit())
        .spawn()?;
    wait(&mut child, limit, signals)
}

fn wait(child: &mut Child, limit: Duration, signals: &Signals) -> Result<ExitStatus> {
    let watch = Stopwatch::start();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a program")? {
            return Ok(status);
        }
        let interrupted = signals.wait(POLL)?;
        if interrupted || watch.left(limit).is_none() {
            send(child, Signal::SIGKILL);
            drop(child.wait());
            if interrupted {
                bail!("interrupted");
            }
            bail!("it did not end within {} s", limit.as_secs());
        }
    }
}

/// A call through `xtask exec`, in a process group of its own: a Ctrl-C in the terminal reaches us alone, and we end the others in order.
fn command(program: &Path, arguments: &[String]) -> Command {
    // The link of the kernel, not our path: the build that ran before may have put a new file there.
    let mut command = Command::new("/proc/self/exe");
    command.arg("exec").arg("--").arg(program).args(arguments).process_group(0);
    command
}

const LAST_LINES: usize = 12;
const PATIENCE: Duration = Duration::from_secs(10);
const RUN_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let child = Command::new("true").spawn().unwrap();
        std::fs::write(&log, "line\n".repeat(50) + "the end\n").unwrap();
        let mut running = Running { name: "x", child, log };
        assert_eq!(running.last_words().lines().count(), LAST_LINES);
        assert!(running.last_words().ends_with("  the end"));
        running.child.wait().unwrap();
        assert!(running.check().unwrap_err().to_string().contains("the end"));
    }
}
