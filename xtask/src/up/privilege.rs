//! What this user may do: send ICMP, and what to do if not; look into the kernel.

use std::path::Path;

use anyhow::{Context as _, Result};

/// What is worse than it could be, and the one command that mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Degraded {
    /// Pings go over datagram sockets.
    Datagram(String),
    /// Pings do not run.
    NoPing(String),
}

impl Degraded {
    pub(super) fn sentence(&self) -> &str {
        match self {
            Self::Datagram(sentence) | Self::NoPing(sentence) => sentence,
        }
    }
}

/// What this user lacks for the best pings; `None` if nothing.
pub(super) fn degraded(agent: &Path) -> Result<Option<Degraded>> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    Ok(judge(&status, &range, agent))
}

/// Whether this user may load programs into the kernel that read what it does: capabilities(7).
pub(super) fn may_load_programs() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    Ok([CAP_PERFMON, CAP_BPF].into_iter().all(|capability| holds(&status, capability)))
}

fn judge(status: &str, ping_group_range: &str, agent: &Path) -> Option<Degraded> {
    if holds(status, CAP_NET_RAW) {
        return None;
    }
    if group_may_ping(status, ping_group_range) {
        let remedy = format!("sudo setcap cap_net_raw+ep {}", agent.display());
        return Some(Degraded::Datagram(format!(
            "no right to raw sockets, so pings go over datagram sockets; once built: {remedy}"
        )));
    }
    Some(Degraded::NoPing(format!(
        "no right to raw sockets nor to datagram ICMP sockets, so pings will not run until you call: {REMEDY}"
    )))
}

fn holds(status: &str, capability: u32) -> bool {
    let effective = field(status, "CapEff:").next().and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    effective & (1 << capability) != 0
}

/// icmp(7): a datagram ICMP socket is open to the groups in this range.
fn group_may_ping(status: &str, range: &str) -> bool {
    let mut bounds = range.split_whitespace().filter_map(|bound| bound.parse::<u64>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else {
        return false;
    };
    let groups = field(status, "Gid:")
        .chain(field(status, "Groups:"))
        .filter_map(|group| group.parse::<u64>().ok());
    groups.into_iter().any(|group| (low..=high).contains(&group))
}

fn field<'a>(status: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().split_whitespace()
}

/// capabilities(7).
const CAP_NET_RAW: u32 = 13;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const REMEDY: &str = "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn status(capabilities: &str) -> String {
        format!("Name:\tx\nGid:\t1000\t1000\t1000\t1000\nGroups:\t27 1000 \nCapEff:\t{capabilities}\n")
    }

    fn judged(capabilities: &str, range: &str) -> Option<Degraded> {
        judge(&status(capabilities), range, Path::new("/x/probe-agent"))
    }

    #[test]
    fn a_user_with_raw_sockets_is_not_degraded() {
        assert_eq!(judged("0000000000002000", "1\t0"), None);
    }

    #[test]
    fn a_group_in_the_range_pings_over_datagram_sockets() {
        for range in ["0\t2147483647", "27 27"] {
            let told = judged("0000000000000000", range);
            assert!(
                matches!(&told, Some(Degraded::Datagram(sentence)) if sentence.ends_with("sudo setcap cap_net_raw+ep /x/probe-agent")),
                "{told:?}"
            );
        }
    }

    #[test]
    fn a_user_with_neither_gets_the_one_command_that_mends_it() {
        for range in ["1\t0", "", "5 6"] {
            let told = judged("0000000000001000", range);
            assert!(
                matches!(&told, Some(Degraded::NoPing(sentence)) if sentence.contains("sudo sysctl -w net.ipv4.ping_group_range")),
                "{told:?}"
            );
        }
    }
}
