//! Findings of a `ping` of many targets: what came of each as columns, which all have one entry a target, in the same order.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::PingSocket;
use crate::fault::ErrorCode;

/// Everything a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepFindings {
    /// Which sockets carried it.
    pub socket: PingSocket,
    /// The numbers over all targets.
    pub totals: SweepTotals,
    /// The targets in order, neighbours taken together.
    pub targets: Vec<AddressRun>,
    /// What came of each.
    pub columns: SweepColumns,
    /// Names that were asked for, by the place of their target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<(u32, String)>,
    /// Targets that the owner's policy forbids; no packet left for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<DeniedRun>,
    /// Names without a usable address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<UnresolvedName>,
    /// What was lost on the agent's own host: never the path's loss.
    pub agent: SweepDrops,
}

/// Addresses one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRun {
    /// The first.
    pub first: IpAddr,
    /// How many.
    pub count: u32,
}

/// Addresses one after another that the owner's policy forbids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedRun {
    /// Which.
    #[serde(flatten)]
    pub run: AddressRun,
    /// The rule.
    pub rule: String,
}

/// A name without a usable address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnresolvedName {
    /// The name.
    pub name: String,
    /// Why.
    pub code: ErrorCode,
}

/// The numbers over all targets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SweepTotals {
    /// Targets that were asked.
    pub targets: u32,
    /// Targets that answered in time at least once.
    pub answered: u32,
    /// Requests that left.
    pub sent: u32,
    /// Requests answered in time by their target.
    pub received: u32,
    /// Share of the requests sent that were not answered in time, 0 to 1.
    pub loss: f64,
    /// Replies that came after their wait.
    pub late: u32,
    /// Further replies to requests already answered.
    pub duplicates: u32,
    /// ICMP errors that answered.
    pub errors: u32,
    /// How long it took to send everything, microseconds.
    pub sending_us: u64,
}

/// What was lost on the agent's own host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepDrops {
    /// Messages that the kernel dropped before the agent could read them (`SO_RXQ_OVFL`).
    pub receive_queue: u32,
    /// Answers that the probe did not take in time.
    pub hand_over: u32,
    /// Requests of which the kernel never said that they left: dropped in this host's own queues, or the word of it was. They are not
    /// counted as sent unless they were answered.
    pub unstamped: u32,
    /// Requests that the kernel refused to send, or for which the owner's rates left no room.
    pub unsent: u32,
}

/// One entry a target in each column; columns of which every entry would be 0 or absent are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepColumns {
    /// Requests that left.
    pub sent: Vec<u32>,
    /// Requests answered in time.
    pub received: Vec<u32>,
    /// Replies that came after their wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<u32>,
    /// Further replies to requests already answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<u32>,
    /// ICMP errors that answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<u32>,
    /// By the kernel's timestamps.
    pub rtt: RoundTripColumns,
    /// By the clock of user space.
    pub user_rtt: RoundTripColumns,
    /// Each packet's time by the kernel's timestamps in order of its number; absent where it was not answered in time. Only where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each_rtt_us: Vec<Vec<Option<u64>>>,
}

/// Round-trip times, microseconds; absent for targets that did not answer in time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoundTripColumns {
    /// Least.
    pub min_us: Vec<Option<u64>>,
    /// Mean.
    pub avg_us: Vec<Option<u64>>,
    /// Greatest.
    pub max_us: Vec<Option<u64>>,
    /// Population standard deviation.
    pub stddev_us: Vec<Option<u64>>,
}

impl SweepFindings {
    /// The address of each target, in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.targets.iter().flat_map(AddressRun::addresses)
    }
}

impl AddressRun {
    /// Each address, in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let first = self.first;
        // What a stranger writes as a count is held to what a sweep can have.
        (0..self.count.min(RUN)).map(move |offset| after(first, offset))
    }

    /// Takes neighbours together.
    pub fn of(addresses: impl Iterator<Item = IpAddr>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for address in addresses {
            match runs.last_mut() {
                Some(run) if after(run.first, run.count) == address && run.count < RUN => run.count += 1,
                Some(_) | None => runs.push(Self { first: address, count: 1 }),
            }
        }
        runs
    }
}

fn after(first: IpAddr, offset: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => IpAddr::V4(first.to_bits().wrapping_add(offset).into()),
        IpAddr::V6(first) => IpAddr::V6(first.to_bits().wrapping_add(offset.into()).into()),
    }
}

/// Longest run.
const RUN: u32 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_taken_together_and_come_apart_again() {
        let listed: Vec<IpAddr> = ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.2", "::1", "::2", "255.255.255.255", "0.0.0.1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let runs = AddressRun::of(listed.iter().copied());
        assert_eq!(runs.iter().map(|run| run.count).collect::<Vec<_>>(), [3, 1, 2, 1, 1]);
        assert_eq!(runs.iter().flat_map(AddressRun::addresses).collect::<Vec<_>>(), listed);
        let lying = AddressRun {
            first: listed[0],
            count: u32::MAX,
        };
        assert_eq!(lying.addresses().count(), 65_536);
    }
}
