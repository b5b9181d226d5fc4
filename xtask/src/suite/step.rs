//! The steps of a run, and how long each took.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Verdict;
use crate::clock::Stopwatch;

/// What has been run.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

#[derive(Debug)]
struct Step {
    name: &'static str,
    took: Duration,
    verdict: Verdict,
}

impl Steps {
    /// Runs a step, says so, and keeps how it went. A step that could not be done has failed.
    pub(super) fn run(&mut self, name: &'static str, task: impl FnOnce() -> Result<Verdict>) {
        println!("\n== {name}");
        let watch = Stopwatch::start();
        let verdict = task().unwrap_or_else(|error| {
            println!("broken: {error:#}");
            Verdict::Broken
        });
        let step = Step {
            name,
            took: watch.elapsed(),
            verdict,
        };
        println!("== {step}");
        self.0.push(step);
    }

    pub(super) fn all_clean(&self) -> bool {
        self.0.iter().all(|step| step.verdict == Verdict::Clean)
    }

    /// One line for each step, and one for all.
    pub(super) fn print(&self) {
        for step in &self.0 {
            println!("{step}");
        }
        let total: Duration = self.0.iter().map(|step| step.took).sum();
        let word = if self.all_clean() { "ok" } else { "FAILED" };
        println!("{:<12} {:>8.1} s  {word}", "all", total.as_secs_f64());
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.verdict {
            Verdict::Clean => "ok",
            Verdict::Broken => "FAILED",
        };
        write!(out, "{:<12} {:>8.1} s  {word}", self.name, self.took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_the_run_and_the_rest_still_runs() {
        let mut steps = Steps::default();
        steps.run("a", || Ok(Verdict::Clean));
        steps.run("b", || anyhow::bail!("no"));
        let mut ran = false;
        steps.run("c", || {
            ran = true;
            Ok(Verdict::Clean)
        });
        assert!(ran);
        assert!(!steps.all_clean());
    }
}
