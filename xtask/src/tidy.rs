//! `cargo xtask tidy`: what a reader relies on and no compiler checks. Each check is a plain function over a file's name and text.

mod finding;
mod link;
mod name;
mod size;
mod word;

use std::path::Path;

use anyhow::Result;

use crate::cli::Verdict;
use crate::workspace;
use finding::{Finding, Severity};

/// Runs every check over every file and prints what was found.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let files = workspace::files(root)?;
    let mut findings = Vec::new();
    for file in &files {
        findings.extend(name::check(file));
        let Some(text) = workspace::text(root, file)? else { continue };
        findings.extend(size::check(file, &text));
        findings.extend(word::check(file, &text));
        findings.extend(link::check(file, &text, |target| root.join(target).exists()));
    }
    Ok(report(files.len(), &findings))
}

fn report(files: usize, findings: &[Finding]) -> Verdict {
    for finding in findings {
        println!("{finding}");
    }
    let broken = findings.iter().filter(|finding| finding.severity == Severity::Broken).count();
    println!("tidy: {files} files, {broken} to mend, {} warnings", findings.len().saturating_sub(broken));
    if broken == 0 { Verdict::Clean } else { Verdict::Broken }
}
