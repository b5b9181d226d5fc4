//! Findings of `port`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AddressRun, DeniedRun, RoundTripStatistics, UnresolvedName};
use crate::fault::ErrorCode;

/// Everything a scan of ports found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortFindings {
    /// The address that was asked.
    pub address: IpAddr,
    /// One entry a port, from the lowest.
    pub ports: Vec<PortResult>,
    /// The numbers over all ports.
    pub statistics: PortStatistics,
}

/// One port and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortResult {
    /// The port.
    pub port: u16,
    /// What state it is in.
    pub state: PortState,
    /// What that rests on.
    pub reason: PortReason,
    /// How often it was asked.
    pub tries: u32,
    /// Time from the first segment to the answer by the kernel's clock, microseconds; absent without an answer, or where the kernel cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The same by the clock of user space, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt_us: Option<u64>,
    /// Time to live, or hop limit, of the answer, where it was seen as a packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_error: Option<(u8, u8)>,
    /// Who sent that ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// What went wrong, where the target did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The kernel's error number, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What the service said first, at most 256 bytes of it, as printable ASCII: every other byte, quotes and the backslash are written as
    /// Rust's `escape_ascii` does (`\r`, `\x00`, `\\`). Only where it was listened to, and only if it said something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
}

/// What state a port is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Something listens.
    Open,
    /// The target answers that nothing does.
    Closed,
    /// Something keeps the question or its answer away, or says that it does.
    Filtered,
    /// Nothing came back over UDP: something listens and has no answer, or something keeps the question or its answer away.
    OpenFiltered,
    /// Not known: no question left this host.
    Unasked,
}

/// What a state rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortReason {
    /// A connection stood.
    Connected,
    /// The target's first segment.
    SynAck,
    /// A datagram of the target's.
    Answer,
    /// The target's reset.
    Reset,
    /// An ICMP error; `icmp_error` and `from` say which and whose.
    IcmpError,
    /// Nothing came back, however often it was asked.
    Silence,
    /// The host's kernel found no way to the target.
    Unreachable,
    /// The question did not leave.
    Unsent,
}

/// The numbers over all ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortStatistics {
    /// Ports that were to be asked.
    pub ports: u32,
    /// Ports that are open.
    pub open: u32,
    /// Ports that are closed.
    pub closed: u32,
    /// Ports that are filtered.
    pub filtered: u32,
    /// Ports of UDP that kept silent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open_filtered: u32,
    /// Ports that no question left for.
    pub unasked: u32,
    /// Questions that left.
    pub sent: u32,
    /// Ports of UDP said that they are closed only when they were asked again, more slowly: it seems that a target, or something before it,
    /// limits how many ICMP errors it sends, and a port that is `open_filtered` may be closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rate_limited_hint: bool,
    /// Over `rtt_us` of the ports that answered; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RoundTripStatistics>,
    /// Over `user_rtt_us` of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rtt: Option<RoundTripStatistics>,
}

/// Everything a scan of many targets found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortSweepFindings {
    /// The numbers over all targets.
    pub totals: PortSweepTotals,
    /// The targets that have been asked for every port, in order, neighbours taken together.
    pub targets: Vec<AddressRun>,
    /// The ports that each was asked for, from the lowest.
    pub ports: Vec<u16>,
    /// What came of each port of each target.
    pub columns: PortSweepColumns,
    /// Names that were asked for, by the place of their target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<(u32, String)>,
    /// Targets that the owner's policy forbids; no packet left for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<DeniedRun>,
    /// Names without a usable address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<UnresolvedName>,
}

/// The numbers over all targets of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortSweepTotals {
    /// Targets that have been asked for every port.
    pub targets: u32,
    /// Targets of which a port is open or closed.
    pub answered: u32,
    /// The numbers over every port of every target.
    #[serde(flatten)]
    pub statistics: PortStatistics,
}

/// One entry for each port of each target in each column: target by target, and the ports of each from the lowest. Columns of which every
/// entry would be absent are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortSweepColumns {
    /// What state it is in.
    pub state: Vec<PortState>,
    /// What that rests on.
    pub reason: Vec<PortReason>,
    /// How often it was asked.
    pub tries: Vec<u32>,
    /// Time to the answer by the kernel's clock, microseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rtt_us: Vec<Option<u64>>,
    /// The same by the clock of user space, microseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_rtt_us: Vec<Option<u64>>,
    /// Time to live, or hop limit, of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ttl: Vec<Option<u8>>,
    /// Type and code of an ICMP error that answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub icmp_error: Vec<Option<(u8, u8)>>,
    /// Who sent that ICMP error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Option<IpAddr>>,
    /// What went wrong, where the target did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<Option<ErrorCode>>,
    /// The kernel's error number, where it gave one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errno: Vec<Option<i32>>,
    /// What the service said first, as [`PortResult::banner`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub banner: Vec<Option<String>>,
}

impl PortSweepColumns {
    /// Takes apart what came of each port of each target, in order.
    pub fn of(results: &[PortResult]) -> Self {
        Self {
            state: results.iter().map(|result| result.state).collect(),
            reason: results.iter().map(|result| result.reason).collect(),
            tries: results.iter().map(|result| result.tries).collect(),
            rtt_us: column(results, |result| result.rtt_us),
            user_rtt_us: column(results, |result| result.user_rtt_us),
            ttl: column(results, |result| result.ttl),
            icmp_error: column(results, |result| result.icmp_error),
            from: column(results, |result| result.from),
            code: column(results, |result| result.code),
            errno: column(results, |result| result.errno),
            banner: column(results, |result| result.banner.clone()),
        }
    }
}

impl PortSweepFindings {
    /// Each target, and what came of its ports; without those that the columns leave out.
    pub fn results(&self) -> impl Iterator<Item = (IpAddr, Vec<PortResult>)> + '_ {
        let addresses = self.targets.iter().flat_map(AddressRun::addresses);
        addresses.enumerate().map(|(place, address)| {
            let first = place.saturating_mul(self.ports.len());
            let results = self.ports.iter().zip(first..).map_while(|(port, place)| self.result(*port, place));
            (address, results.collect())
        })
    }

    fn result(&self, port: u16, place: usize) -> Option<PortResult> {
        let columns = &self.columns;
        Some(PortResult {
            port,
            state: *columns.state.get(place)?,
            reason: *columns.reason.get(place)?,
            tries: *columns.tries.get(place)?,
            rtt_us: entry(&columns.rtt_us, place),
            user_rtt_us: entry(&columns.user_rtt_us, place),
            ttl: entry(&columns.ttl, place),
            icmp_error: entry(&columns.icmp_error, place),
            from: entry(&columns.from, place),
            code: entry(&columns.code, place),
            errno: entry(&columns.errno, place),
            banner: entry(&columns.banner, place),
        })
    }
}

fn column<T>(results: &[PortResult], read: impl Fn(&PortResult) -> Option<T>) -> Vec<Option<T>> {
    let column: Vec<Option<T>> = results.iter().map(read).collect();
    if column.iter().any(Option::is_some) { column } else { Vec::new() }
}

fn entry<T: Clone>(column: &[Option<T>], place: usize) -> Option<T> {
    column.get(place).cloned().flatten()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(port: u16, state: PortState) -> PortResult {
        PortResult {
            port,
            state,
            reason: PortReason::Silence,
            tries: 2,
            rtt_us: (state == PortState::Open).then_some(7),
            user_rtt_us: None,
            ttl: None,
            icmp_error: None,
            from: None,
            code: None,
            errno: None,
            banner: (state == PortState::Open).then(|| "220 a".to_owned()),
        }
    }

    #[test]
    fn what_is_taken_apart_into_columns_comes_together_again_and_what_is_missing_is_left_out() {
        let states = [PortState::Open, PortState::Closed, PortState::Filtered, PortState::OpenFiltered];
        let results: Vec<PortResult> = states.into_iter().zip([22, 80, 22, 80]).map(|(state, port)| result(port, state)).collect();
        let mut findings = PortSweepFindings {
            totals: PortSweepTotals {
                targets: 2,
                answered: 1,
                statistics: PortStatistics {
                    ports: 4,
                    open: 1,
                    closed: 1,
                    filtered: 1,
                    open_filtered: 1,
                    unasked: 0,
                    sent: 8,
                    rate_limited_hint: false,
                    rtt: None,
                    user_rtt: None,
                },
            },
            targets: AddressRun::of(["10.0.0.1", "10.0.0.2"].into_iter().map(|text| text.parse().unwrap())),
            ports: vec![22, 80],
            columns: PortSweepColumns::of(&results),
            names: Vec::new(),
            denied: Vec::new(),
            unresolved: Vec::new(),
        };
        assert_eq!((findings.columns.banner.len(), findings.columns.from.len()), (4, 0));
        let again: Vec<PortResult> = findings.results().flat_map(|(_, results)| results).collect();
        assert_eq!(again, results);
        findings.columns.state.pop();
        let counts: Vec<usize> = findings.results().map(|(_, results)| results.len()).collect();
        assert_eq!(counts, [2, 1]);
    }
}
