//! The tests themselves, and what their runner says at the end.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::skip;
use crate::cli::{TestArgs, Verdict};
use crate::tool;

/// How the tests went.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) passed: u64,
    pub(super) failed: u64,
    succeeded: bool,
    skipped: BTreeSet<String>,
    skips_to_mend: Vec<String>,
}

impl Summary {
    pub(super) fn verdict(&self) -> Verdict {
        if self.succeeded && self.skips_to_mend.is_empty() {
            Verdict::Clean
        } else {
            Verdict::Broken
        }
    }

    /// A test that did not run is said aloud, once more, at the end.
    pub(super) fn print_skips(&self) {
        for line in &self.skipped {
            println!("SKIP {line}");
        }
        for line in &self.skips_to_mend {
            println!("broken: {line}");
        }
    }
}

/// Runs the tests of the whole workspace, or those a filter names.
pub(super) fn run(root: &Path, arguments: &TestArgs) -> Result<Summary> {
    let folder = tempfile::tempdir().context("making a folder for the log of skipped tests")?;
    let log = folder.path().join("skips");
    std::fs::write(&log, "").context("making the log of skipped tests")?;
    let mut command = tool::cargo(root);
    let profile = if arguments.long { "long" } else { "ci" };
    command
        .args(["nextest", "run", "--locked", "--workspace", "--profile", profile])
        .env(skip::VARIABLE, &log);
    if let Some(filter) = &arguments.filter {
        command.args(["--filterset", filter]);
    }
    if arguments.long {
        command.env("PROBEOPS_LONG", "1");
    }
    let mut child = command.stderr(Stdio::piped()).spawn().context("calling cargo nextest")?;
    let mut counts = None;
    let stderr = child.stderr.take().context("nextest has no standard error")?;
    for line in BufReader::new(stderr).lines() {
        let line = line.context("reading what nextest says")?;
        eprintln!("{line}");
        counts = read_summary(&line).or(counts);
    }
    let status = child.wait().context("waiting for nextest")?;
    let skipped = skip::lines(&std::fs::read_to_string(&log).context("reading the log of skipped tests")?);
    let allowed = skip::lines(&std::fs::read_to_string(root.join("docs/skips.txt")).context("reading docs/skips.txt")?);
    // With a filter, most of what may be skipped was not asked for.
    let expected = if arguments.filter.is_some() {
        skipped.intersection(&allowed).cloned().collect()
    } else {
        allowed
    };
    let (passed, failed) = counts.unwrap_or_default();
    Ok(Summary {
        passed,
        failed,
        succeeded: status.success() && counts.is_some(),
        skips_to_mend: skip::differences(&skipped, &expected),
        skipped,
    })
}

/// Reads `Summary [   1.2s] 5 tests run: 4 passed (1 slow), 1 failed, 0 skipped`; a test that ran out of time or broke has failed.
fn read_summary(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.trim().strip_prefix("Summary [")?.split_once(" run: ")?;
    let mut passed = 0_u64;
    let mut failed = 0_u64;
    for part in counts.split(',') {
        let mut words = part.split_whitespace();
        let (Some(count), Some(what)) = (words.next().and_then(|count| count.parse::<u64>().ok()), words.next()) else {
            continue;
        };
        match what {
            "passed" => passed = passed.saturating_add(count),
            "failed" | "exec" | "timed" => failed = failed.saturating_add(count),
            _ => {}
        }
    }
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_summary_is_read() {
        assert_eq!(read_summary("     Summary [   0.021s] 5 tests run: 5 passed, 0 skipped"), Some((5, 0)));
        assert_eq!(
            read_summary("  Summary [   9.1s] 7/9 tests run: 4 passed (2 slow), 1 failed, 1 timed out, 1 exec failed, 3 skipped"),
            Some((4, 3))
        );
        assert_eq!(read_summary("        PASS [   0.010s] xtask tests::a"), None);
    }
}
