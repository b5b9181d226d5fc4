//! nmap, as it says what state ports are in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use shared_protocol::mac_address::MacAddress;

use super::ran::{Ran, run};
use crate::network::Namespace;

/// What nmap calls a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortState {
    /// `open`, `closed`, `filtered`, `open|filtered`.
    pub state: String,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// Looks at ports (`80,443`) by a kind of scan (`-sS`, `-sT`, `-sU`).
///
/// # Errors
/// When it cannot be started, or says what cannot be read.
pub fn nmap(observer: &Namespace, scan: &str, ports: &str, target: &str) -> Result<(BTreeMap<u16, PortState>, Ran)> {
    let family: &[&str] = if target.contains(':') { &["-6"] } else { &[] };
    let arguments = [&[scan, "-n", "-Pn", "--reason", "-oG", "-", "-p", ports], family, &[target]].concat();
    let ran = run(observer, "nmap", &arguments)?;
    let line = ran.out.lines().find_map(|line| line.split_once("Ports: "));
    let (_, listed) = line.with_context(|| format!("nmap said: {}{}", ran.out, ran.err))?;
    let listed = listed.split('\t').next().unwrap_or_default();
    let ports = listed.split(", ").map(read).collect::<Result<_>>()?;
    Ok((ports, ran))
}

/// Looks who is on a link (`192.0.2.0/28`) by ARP, or by neighbour discovery; this host itself is left out.
///
/// # Errors
/// When it cannot be started, or says what cannot be read.
pub fn nmap_link(observer: &Namespace, block: &str) -> Result<BTreeMap<IpAddr, MacAddress>> {
    let ran = run(observer, "nmap", &["-sn", "-n", "-PR", block])?;
    let mut found = BTreeMap::new();
    let mut last = None;
    for line in ran.out.lines() {
        if let Some(address) = line.strip_prefix("Nmap scan report for ") {
            last = Some(address.parse().with_context(|| format!("nmap says `{line}`"))?);
        } else if let (Some(rest), Some(address)) = (line.strip_prefix("MAC Address: "), last) {
            let mac = rest.split(' ').next().unwrap_or_default();
            found.insert(address, mac.parse().with_context(|| format!("nmap says `{line}`"))?);
        }
    }
    Ok(found)
}

/// `80/closed/tcp//http///`.
fn read(entry: &str) -> Result<(u16, PortState)> {
    let mut parts = entry.trim().split('/').map(str::to_owned);
    let mut part = || parts.next().with_context(|| format!("nmap lists `{entry}`"));
    Ok((
        part()?.parse()?,
        PortState {
            state: part()?,
            protocol: part()?,
        },
    ))
}
