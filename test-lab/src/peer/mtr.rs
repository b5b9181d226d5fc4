//! mtr, as it reports in JSON.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::ran::{Ran, run};
use crate::network::Namespace;

/// One hop as mtr knows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Hub {
    /// Its number, from 1.
    pub count: u32,
    /// Its address, or `???`.
    pub host: String,
    /// Packets lost, per cent.
    #[serde(rename = "Loss%")]
    pub loss_percent: f64,
    /// Packets sent.
    #[serde(rename = "Snt")]
    pub sent: u32,
    /// Least time, milliseconds.
    #[serde(rename = "Best")]
    pub best_ms: f64,
    /// Mean time, milliseconds.
    #[serde(rename = "Avg")]
    pub mean_ms: f64,
    /// Greatest time, milliseconds.
    #[serde(rename = "Wrst")]
    pub worst_ms: f64,
}

#[derive(Deserialize)]
struct Document {
    report: Body,
}

#[derive(Deserialize)]
struct Body {
    hubs: Vec<Hub>,
}

/// Reports so many rounds; `more` goes before the target.
///
/// # Errors
/// When it cannot be started, or says what cannot be read.
pub fn mtr(observer: &Namespace, rounds: u32, more: &[&str], target: &str) -> Result<(Vec<Hub>, Ran)> {
    let rounds = rounds.to_string();
    let arguments = [&["--report", "--json", "--no-dns", "-c", &rounds], more, &[target]].concat();
    let ran = run(observer, "mtr", &arguments)?;
    let document: Document = serde_json::from_str(&ran.out).with_context(|| format!("mtr said: {}{}", ran.out, ran.err))?;
    Ok((document.report.hubs, ran))
}
