//! The targets of a probe that may have many: named on the command line, or read from a file.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use shared_protocol::spec::SweepTarget;

use crate::error::Error;

/// What is asked: one thing goes by `target`, several by `targets`.
pub(super) fn aim(named: &[SweepTarget], file: Option<&Path>) -> Result<(&'static str, Value), Error> {
    let mut targets = named.to_vec();
    if let Some(path) = file {
        targets.extend(read_targets(path)?);
    }
    Ok(match targets.as_slice() {
        [only] => ("target", json!(only)),
        several => ("targets", json!(several)),
    })
}

fn read_targets(path: &Path) -> Result<Vec<SweepTarget>, Error> {
    let unusable = |cause: String| Error::Targets { path: path.to_owned(), cause };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| unusable(error.to_string()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).enumerate();
    let targets: Result<Vec<SweepTarget>, Error> = lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| line.parse().map_err(|error| unusable(format!("line {}: {error}", number + 1))))
        .collect();
    let targets = targets?;
    if targets.is_empty() {
        return Err(unusable("it holds no target".to_owned()));
    }
    Ok(targets)
}

/// Most of a file of targets that is read.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
