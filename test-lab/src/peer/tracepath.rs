//! tracepath: the hops and the path MTU.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::ran::{Ran, run};
use crate::network::Namespace;

/// What tracepath found.
#[derive(Debug)]
pub struct Tracepath {
    /// Number and address of each line with an answer; a hop may have several lines.
    pub hops: Vec<(u32, IpAddr)>,
    /// The path MTU of its last line, where it gives one.
    pub mtu: Option<u32>,
    /// Hops to the target, where it was reached.
    pub reached: Option<u32>,
    /// The run.
    pub ran: Ran,
}

/// Looks at the path to a target.
///
/// # Errors
/// When it cannot be started, or says what cannot be read.
pub fn tracepath(observer: &Namespace, more: &[&str], target: &str) -> Result<Tracepath> {
    let ran = run(observer, "tracepath", &[&["-n"], more, &[target]].concat())?;
    let mut hops = Vec::new();
    for line in ran.out.lines() {
        if let Some((number, rest)) = line.split_once(": ")
            && let (Ok(number), Some(Ok(address))) = (number.trim().parse(), rest.split_whitespace().next().map(str::parse))
        {
            hops.push((number, address));
        }
    }
    let last = ran.out.lines().last().with_context(|| format!("tracepath said: {}", ran.err))?;
    let after = |word: &str| {
        let mut words = last.split_whitespace().skip_while(|found| *found != word).skip(1);
        words.next().and_then(|number| number.parse().ok())
    };
    Ok(Tracepath {
        hops,
        mtu: after("pmtu"),
        reached: after("hops"),
        ran,
    })
}
