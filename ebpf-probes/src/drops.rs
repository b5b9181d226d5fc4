//! Dropped packets: one counter for each reason that the kernel has.

use std::collections::BTreeMap;

use aya::maps::{MapData, PerCpuHashMap};
use shared_protocol::report::{DroppedPackets, DropsSeen, Seen};

use crate::attach::Hook;
use crate::btf;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;

/// Dropped packets being observed.
pub(crate) struct Drops {
    programs: Programs,
    dropped: PerCpuHashMap<MapData, u32, u64>,
    /// What this kernel calls its reasons: their numbers change from version to version.
    reasons: BTreeMap<u32, String>,
    top: usize,
}

impl Drops {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::DROPS, kernel, &ask.check_port, |_| {})?;
        let dropped = programs.take("dropped")?;
        programs.attach(kernel, &HOOKS)?;
        let reasons = btf::enumeration(&kernel.btf.to_bytes(), REASONS);
        if reasons.is_empty() {
            programs.attachment.missing.push(NO_REASONS.to_owned());
        }
        Ok(Self {
            dropped: PerCpuHashMap::try_from(dropped)?,
            programs,
            reasons,
            top: ask.top,
        })
    }

    fn told(&self, reason: u32, packets: u64) -> DroppedPackets {
        let name = self.reasons.get(&reason).and_then(|name| name.strip_prefix(PREFIX));
        let number = || {
            if self.reasons.is_empty() {
                UNSPECIFIED.to_owned()
            } else {
                reason.to_string()
            }
        };
        DroppedPackets {
            reason: name.map_or_else(number, str::to_lowercase),
            packets,
        }
    }
}

impl Observer for Drops {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut drops = Vec::new();
        for entry in self.dropped.iter().take(2 * ENTRIES) {
            let (reason, counts) = entry?;
            drops.push((reason, counts.iter().sum::<u64>()));
        }
        // An entry may be met twice while others are made.
        drops.sort_unstable();
        drops.dedup_by_key(|(reason, _)| *reason);
        let packets = drops.iter().map(|(_, packets)| packets).sum();
        drops.sort_by_key(|(reason, packets)| (std::cmp::Reverse(*packets), *reason));
        drops.truncate(self.top);
        Ok(Seen::Drops(DropsSeen {
            packets,
            reasons: drops.into_iter().map(|(reason, packets)| self.told(reason, packets)).collect(),
        }))
    }
}

const HOOKS: [Hook; 1] = [Hook {
    tracepoint: "kfree_skb",
    typed: "drop",
    plain: "drop_plain",
    without: None,
}];

/// The kernel's type of reasons, since version 5.17.
const REASONS: &str = "skb_drop_reason";
const PREFIX: &str = "SKB_DROP_REASON_";
const NO_REASONS: &str = "why packets are dropped: this kernel has no reasons";
/// What the kernels that have reasons call having none.
const UNSPECIFIED: &str = "not_specified";
/// Entries of the map `dropped`.
const ENTRIES: usize = 1_024;
