//! One network namespace: nothing in it but a loopback interface, until somebody puts something there.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

/// A namespace that lives as long as this value, and as processes that were started in it.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// Makes one, with its loopback up.
    ///
    /// # Errors
    /// When this process may not.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace (this needs root)")?;
            File::open("/proc/thread-self/ns/net").context("open the new namespace")
        });
        let namespace = Self { handle: joined(made.join())?? };
        namespace.configure(&["link set lo up".to_owned()])?;
        Ok(namespace)
    }

    /// Calls something on a thread inside; what it starts runs inside too.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn within<T: Send>(&self, call: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| -> Result<T> {
                setns(&self.handle, CloneFlags::CLONE_NEWNET).context("enter the namespace")?;
                Ok(call())
            });
            joined(inside.join())?
        })
    }

    /// Gives commands to `ip`.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn configure(&self, commands: &[String]) -> Result<()> {
        self.feed(Command::new("ip").args(["-batch", "-"]), &(commands.join("\n") + "\n"))
    }

    /// Gives rules to `nft`.
    ///
    /// # Errors
    /// When it is missing, or refuses them.
    pub fn filter(&self, rules: &str) -> Result<()> {
        self.feed(Command::new("nft").args(["-f", "-"]), rules)
    }

    /// Runs a program inside, with this on its standard input.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn feed(&self, command: &mut Command, input: &str) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = self.within(|| -> Result<_> {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("start {name}"))?;
            child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
            Ok(child.wait_with_output()?)
        })??;
        if !output.status.success() {
            bail!("{name} said `{}` about:\n{input}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Sets a network option, `ipv4/ip_forward`.
    ///
    /// # Errors
    /// When there is no such option.
    pub fn set(&self, option: &str, value: &str) -> Result<()> {
        self.within(|| std::fs::write(format!("/proc/sys/net/{option}"), value))?
            .with_context(|| format!("set {option}"))
    }

    /// A path that names it, for as long as this process holds it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }
}

/// What a thread came to; its panic is an error like another.
pub(super) fn joined<T>(outcome: thread::Result<T>) -> Result<T> {
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().unwrap_or("a panic");
        anyhow::anyhow!("a thread of the network ended with: {text}")
    })
}
