//! fping: many targets, each echo's time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::ran::{Ran, run};
use crate::network::Namespace;

/// What fping found.
#[derive(Debug)]
pub struct Fping {
    /// Milliseconds of each echo of each target, as it printed them; none where none came.
    pub targets: BTreeMap<IpAddr, Vec<Option<f64>>>,
    /// The run.
    pub ran: Ran,
}

impl Fping {
    /// Sends `count` echoes to each target; `more` goes before the targets.
    ///
    /// # Errors
    /// When it cannot be started, or says what cannot be read.
    pub fn run(observer: &Namespace, count: u32, more: &[&str], targets: &[&str]) -> Result<Self> {
        let count = count.to_string();
        let arguments = [&["-q", "-C", &count], more, targets].concat();
        let ran = run(observer, "fping", &arguments)?;
        // Copies have lines of their own, which say so.
        let lines = ran.err.lines().filter(|line| !line.contains("duplicate for"));
        let targets = lines.filter_map(|line| line.split_once(" : ")).map(read).collect::<Result<_>>()?;
        Ok(Self { targets, ran })
    }

    /// How many echoes of a target were answered.
    pub fn answered(&self, target: IpAddr) -> usize {
        self.targets.get(&target).map_or(0, |times| times.iter().flatten().count())
    }
}

fn read((target, times): (&str, &str)) -> Result<(IpAddr, Vec<Option<f64>>)> {
    let target = target.trim().parse().with_context(|| format!("fping names `{target}`"))?;
    let time = |word: &str| match word {
        "-" => Ok(None),
        number => number.parse().map(Some).with_context(|| format!("fping says `{times}`")),
    };
    Ok((target, times.split_whitespace().map(time).collect::<Result<_>>()?))
}
