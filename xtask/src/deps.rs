//! `cargo xtask deps`: the invariants of ARCHITECTURE.md, read off `cargo metadata`. The rules are tables; each check is a plain function over a [`graph::Graph`].

mod ban;
mod edge;
mod graph;
mod licence;
mod manifest;
mod source;

use std::path::Path;

use anyhow::Result;

use crate::cli::Verdict;
use graph::Graph;

/// Runs every check and prints what breaks a rule.
pub(crate) fn run(root: &Path) -> Result<Verdict> {
    let graph = Graph::load(root)?;
    let mut broken = Vec::new();
    broken.extend(edge::check(&graph));
    broken.extend(ban::check(&graph));
    broken.extend(source::check(&graph));
    broken.extend(licence::check(&graph));
    broken.extend(manifest::check(root)?);
    for sentence in &broken {
        println!("broken: {sentence}");
    }
    println!(
        "deps: {} workspace crates, {} packages used, {} to mend",
        graph.members.len(),
        graph.packages.len(),
        broken.len()
    );
    Ok(if broken.is_empty() { Verdict::Clean } else { Verdict::Broken })
}
