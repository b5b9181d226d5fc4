//! `cargo xtask fuzz`: the tests that attack readers, optimised, with far more runs and another seed each time.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::{FuzzArgs, Verdict};
use crate::{tool, workspace};

/// Attacks the readers and prints what they took; inputs that broke one are left in the folder `fuzz` of the build.
pub(crate) fn run(root: &Path, arguments: &FuzzArgs) -> Result<Verdict> {
    let folder = workspace::target_dir(root).join("fuzz");
    std::fs::create_dir_all(&folder).context("making a folder for what broke a reader")?;
    for (path, _) in files(&folder, "done")? {
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    let seed = arguments.seed.unwrap_or_else(any_seed);
    let filter = match &arguments.target {
        Some(target) if target.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') => format!("test(/fuzz_{target}$/)"),
        Some(target) => bail!("`{target}` is no name of a target"),
        None => "test(/fuzz_/)".to_owned(),
    };
    println!("fuzz: {} runs of each target, seed {seed}", arguments.runs);
    // Readers stand in libraries, and only what they are made of has to be fast: the whole workspace would take long to optimise.
    let optimised = READERS.map(|name| format!("profile.dev.package.{name}.opt-level=3"));
    let status = tool::cargo(root)
        .args([
            "nextest",
            "run",
            "--locked",
            "--workspace",
            "--lib",
            "--profile",
            "fuzz",
            "--filterset",
            &filter,
        ])
        .args(optimised.iter().flat_map(|setting| ["--config", setting]))
        .env("PROBEOPS_FUZZ_RUNS", arguments.runs.to_string())
        .env("PROBEOPS_FUZZ_SEED", seed.to_string())
        .env("PROBEOPS_FUZZ_FOLDER", &folder)
        .status()
        .context("calling cargo nextest")?;
    let done = files(&folder, "done")?;
    println!("{}", line(["target", "corpus", "runs", "taken", "MB", "s"]));
    for (path, text) in &done {
        println!("{}", row(text).with_context(|| format!("{} is not what a target writes", path.display()))?);
    }
    println!("fuzz: {} targets survived", done.len());
    Ok(if status.success() { Verdict::Clean } else { Verdict::Broken })
}

/// A number that is another one each time: the standard library draws the keys of its hash tables.
fn any_seed() -> u64 {
    RandomState::new().hash_one(0) >> 32
}

/// Files of the folder with this ending, by name, with their text.
fn files(folder: &Path, ending: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.context("reading the folder of the targets")?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            found.push((path, text));
        }
    }
    found.sort();
    Ok(found)
}

/// `name corpus runs taken bytes microseconds` for people; `None` for anything else.
fn row(text: &str) -> Option<String> {
    let [name, corpus, runs, taken, bytes, micros] = text.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let (runs_done, was_taken): (u64, u64) = (runs.parse().ok()?, taken.parse().ok()?);
    let percent = was_taken.saturating_mul(100).checked_div(runs_done)?;
    let megabytes = bytes.parse::<u64>().ok()? / 1_000_000;
    let time = Duration::from_micros(micros.parse().ok()?);
    let (percent, megabytes, seconds) = (format!("{percent} %"), megabytes.to_string(), format!("{:.1}", time.as_secs_f64()));
    Some(line([name, corpus, runs, &percent, &megabytes, &seconds]))
}

fn line([name, corpus, runs, taken, megabytes, seconds]: [&str; 6]) -> String {
    format!("{name:<18} {corpus:>6} {runs:>9} {taken:>6} {megabytes:>6} {seconds:>7}")
}

/// The crates that have readers, and the one that attacks them.
const READERS: [&str; 5] = ["shared-protocol", "agent-paths", "agent-probes", "probectl", "test-fuzz"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_writes_becomes_a_row() {
        assert_eq!(
            row("dns_answer 10 10010 5005 1234567 1500000\n").unwrap(),
            "dns_answer             10     10010   50 %      1     1.5"
        );
        assert_eq!(row("dns_answer 10"), None);
        assert_eq!(row("dns_answer 0 0 0 0 0"), None);
    }
}
