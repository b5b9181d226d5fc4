//! Bench: the probes beside other people's programs, in networks that know their own truth. Each comparison takes turns within one run.
//!
//! The agent is the real program running `probe-agent probe`: the same policy, packet engine, probes and report as a job of a control plane,
//! without the link, and with its events written to a pipe instead.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

mod path;
mod place;
mod sweep;
mod timing;
mod wire;

use anyhow::Result;
use clap::Parser;
use nix::unistd::geteuid;
use serde_json::{Value, json};

#[derive(Parser)]
struct Arguments {
    /// A few seconds only: fewer targets, rounds and packets.
    #[arg(long)]
    quick: bool,
    /// Only this part: wire, exact, timing, path.
    #[arg(long)]
    only: Option<String>,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Quick,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(geteuid().is_root(), "network namespaces are made by root: run this as root");
    let extent = if arguments.quick { Extent::Quick } else { Extent::Whole };
    let wanted = |part: &str| arguments.only.as_deref().is_none_or(|only| only == part);
    let mut record = json!({"bench": "probes", "agent": "probe-agent probe: the policy, engine, probes and report of a job, without the link"});
    let mut add = |name: &str, part: Value| {
        if !arguments.json {
            println!("{name}: {part:#}");
        }
        if let Some(record) = record.as_object_mut() {
            record.insert(name.to_owned(), part);
        }
    };
    if wanted("wire") {
        add("wire", wire::measure(extent)?);
    }
    if wanted("exact") {
        add("exact", sweep::measure(extent)?);
    }
    if wanted("timing") {
        add("timing", timing::measure(extent)?);
    }
    if wanted("path") {
        add("path", path::measure(extent)?);
    }
    if arguments.json {
        println!("{record}");
    }
    Ok(())
}

/// The middle of some figures; none of none.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// To three places, which is more than any of these is good for.
pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}
