//! traceroute, line by line.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::ran::{Ran, run};
use crate::network::Namespace;

/// One hop.
#[derive(Debug, Clone, PartialEq)]
pub struct Hop {
    /// Its number, from 1.
    pub number: u8,
    /// Each query.
    pub probes: Vec<Probe>,
}

/// One query of a hop.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Who answered; nobody for `*`.
    pub from: Option<IpAddr>,
    /// The time, milliseconds.
    pub time_ms: Option<f64>,
    /// What it says of the answer: `!H`, `!X`, `!13`.
    pub note: Option<String>,
}

/// Follows the path to a target.
///
/// # Errors
/// When it cannot be started, or says what cannot be read.
pub fn traceroute(observer: &Namespace, more: &[&str], target: &str) -> Result<(Vec<Hop>, Ran)> {
    let ran = run(observer, "traceroute", &[&["-n"], more, &[target]].concat())?;
    let hops = ran.out.lines().skip(1).map(read).collect::<Result<_>>();
    let hops = hops.with_context(|| format!("traceroute said: {}{}", ran.out, ran.err))?;
    Ok((hops, ran))
}

/// ` 3  10.1.0.3  9.231 ms 10.1.0.4  9.1 ms !H *`.
fn read(line: &str) -> Result<Hop> {
    let mut words = line.split_whitespace().filter(|word| *word != "ms");
    let number = words.next().context("an empty line")?.parse()?;
    let mut probes: Vec<Probe> = Vec::new();
    let mut who = None;
    for word in words {
        if word == "*" {
            probes.push(Probe {
                from: None,
                time_ms: None,
                note: None,
            });
        } else if let Ok(address) = word.parse() {
            who = Some(address);
        } else if word.starts_with('!') {
            if let Some(probe) = probes.last_mut() {
                probe.note = Some(word.to_owned());
            }
        } else {
            let time_ms = word.parse().with_context(|| format!("`{word}` in `{line}`"))?;
            probes.push(Probe {
                from: who,
                time_ms: Some(time_ms),
                note: None,
            });
        }
    }
    Ok(Hop { number, probes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_everything_is_read() {
        let hop = read(" 3  10.1.0.3  9.231 ms !X  10.1.0.4  9.1 ms * 8.0 ms !13").unwrap();
        let probe = |from: Option<&str>, time_ms, note: Option<&str>| Probe {
            from: from.map(|from| from.parse().unwrap()),
            time_ms,
            note: note.map(str::to_owned),
        };
        assert_eq!(hop.number, 3);
        assert_eq!(
            hop.probes,
            [
                probe(Some("10.1.0.3"), Some(9.231), Some("!X")),
                probe(Some("10.1.0.4"), Some(9.1), None),
                probe(None, None, None),
                probe(Some("10.1.0.4"), Some(8.0), Some("!13")),
            ]
        );
    }
}
