//! What `up` says, to whom, and how long each step took.

use anyhow::Result;
use serde::Serialize;

use super::privilege::Degraded;
use crate::clock::Stopwatch;

/// Who reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Person,
    /// Words go to standard error; standard output is one document.
    Program,
}

/// Speaks, and keeps the steps.
#[derive(Debug)]
pub(super) struct Voice {
    audience: Audience,
    steps: Vec<Step>,
    degraded: Option<Degraded>,
}

/// One step and its time.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) ms: u64,
}

impl Voice {
    pub(super) fn new(audience: Audience) -> Self {
        Self {
            audience,
            steps: Vec::new(),
            degraded: None,
        }
    }

    pub(super) fn say(&self, line: &str) {
        match self.audience {
            Audience::Person => println!("{line}"),
            Audience::Program => eprintln!("{line}"),
        }
    }

    /// Where a program we start may write what is meant for people.
    pub(super) fn stream(&self) -> Result<std::process::Stdio> {
        Ok(match self.audience {
            Audience::Person => std::process::Stdio::inherit(),
            Audience::Program => std::os::fd::AsFd::as_fd(&std::io::stderr()).try_clone_to_owned()?.into(),
        })
    }

    /// Runs a step, says how long it took, and keeps it.
    pub(super) fn step<T>(&mut self, name: &'static str, task: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let watch = Stopwatch::start();
        let result = task(self);
        let ms = watch.elapsed_ms();
        self.steps.push(Step { name, ms });
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        self.say(&format!("{word:<6} {name} ({ms} ms)"));
        result
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn set_degraded(&mut self, what: Degraded) {
        self.degraded = Some(what);
    }

    pub(super) fn degraded(&self) -> Option<&Degraded> {
        self.degraded.as_ref()
    }
}
