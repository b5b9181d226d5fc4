//! Dropped packets: one counter for each reason that the kernel has.

use aya::maps::{MapData, PerCpuHashMap};
use shared_protocol::report::{DroppedPackets, DropsSeen, Seen};

use crate::attach::Hook;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;
use crate::reasons::Reasons;

/// Dropped packets being observed.
pub(crate) struct Drops {
    programs: Programs,
    dropped: PerCpuHashMap<MapData, u32, u64>,
    reasons: Reasons,
    top: usize,
}

impl Drops {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::DROPS, kernel, &ask.check_port, |_| {})?;
        let dropped = programs.take("dropped")?;
        programs.attach(kernel, &HOOKS)?;
        let reasons = Reasons::of(kernel);
        programs.attachment.missing.extend(reasons.missing());
        Ok(Self {
            dropped: PerCpuHashMap::try_from(dropped)?,
            programs,
            reasons,
            top: ask.top,
        })
    }

    fn told(&self, reason: u32, packets: u64) -> DroppedPackets {
        DroppedPackets {
            reason: self.reasons.name(reason),
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

pub(crate) const HOOKS: [Hook; 1] = [Hook {
    tracepoint: "kfree_skb",
    typed: "drop",
    plain: "drop_plain",
    without: None,
}];

/// Entries of the map `dropped`.
const ENTRIES: usize = 1_024;
