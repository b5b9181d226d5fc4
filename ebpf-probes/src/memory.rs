//! Memory running short: one entry of a map for each program that faults or has to free pages, one message of a ring for each that is killed.

use std::cmp::Reverse;
use std::collections::VecDeque;

use aya::maps::{HashMap, MapData, RingBuf};
use shared_protocol::report::{Killed, Masked, MemorySeen, MemoryTotals, Seen};

mod raw;

use raw::{RawPressure, RawUser, RawVictim};

use crate::attach::Hook;
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::message::message;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;

/// Memory being observed.
pub(crate) struct Memory {
    programs: Programs,
    users: HashMap<MapData, RawUser, RawPressure>,
    told: RingBuf<MapData>,
    masked: Vec<Masked>,
    top: usize,
    /// The last first.
    killed: VecDeque<Killed>,
    kills: u64,
}

impl Memory {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let only_pid = ask.pid.unwrap_or(0);
        let mut programs = Programs::open(object::MEMORY, kernel, &ask.check_port, |loader| {
            loader.override_global("only_pid", &only_pid, true);
        })?;
        let (users, told) = (programs.take("users")?, programs.take("told")?);
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            programs,
            users: HashMap::try_from(users)?,
            told: RingBuf::try_from(told)?,
            masked: ask.masked.to_vec(),
            top: ask.top,
            killed: VecDeque::new(),
            kills: 0,
        })
    }
}

impl Observer for Memory {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn gather(&mut self) -> Look {
        while let Some(item) = self.told.next() {
            if let Some(victim) = message::<RawVictim>(&item) {
                self.kills += 1;
                self.killed.truncate(self.top.saturating_sub(1));
                self.killed.push_front(victim.told(&self.masked));
            }
        }
        Look::Later
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        self.gather();
        let mut users = entries(self.users.iter(), ENTRIES)?;
        let mut totals = MemoryTotals {
            killed: self.kills,
            ..MemoryTotals::default()
        };
        for (_, pressure) in &users {
            totals.faults += pressure.faults;
            totals.write_faults += pressure.write_faults;
            totals.reclaims += pressure.reclaims;
            totals.reclaimed_pages += pressure.reclaimed;
            totals.reclaim_us += pressure.total_ns / 1_000;
        }
        // Who waits for memory suffers, who takes much of it does not yet.
        users.sort_by_key(|(user, pressure)| (Reverse((pressure.total_ns, pressure.faults)), *user));
        Ok(Seen::Memory(MemorySeen {
            totals,
            users: users.iter().take(self.top).map(|(user, pressure)| user.told(pressure, &self.masked)).collect(),
            killed: self.killed.iter().cloned().collect(),
        }))
    }
}

pub(crate) const HOOKS: [Hook; 6] = [
    Hook {
        tracepoint: "page_fault_user",
        typed: "faults",
        plain: "faults_plain",
        without: Some("page faults"),
    },
    Hook {
        tracepoint: "mm_vmscan_direct_reclaim_begin",
        typed: "reclaim_begin",
        plain: "reclaim_begin_plain",
        without: Some("how long programs had to free pages"),
    },
    Hook {
        tracepoint: "mm_vmscan_direct_reclaim_end",
        typed: "reclaim_end",
        plain: "reclaim_end_plain",
        without: Some("which programs had to free pages"),
    },
    Hook {
        tracepoint: "mm_vmscan_memcg_reclaim_begin",
        typed: "group_begin",
        plain: "group_begin_plain",
        without: Some("how long programs had to free pages at the limit of their control group"),
    },
    Hook {
        tracepoint: "mm_vmscan_memcg_reclaim_end",
        typed: "group_end",
        plain: "group_end_plain",
        without: Some("which programs had to free pages at the limit of their control group"),
    },
    Hook {
        tracepoint: "mark_victim",
        typed: "killing",
        plain: "killing_plain",
        without: Some("who was killed for want of memory"),
    },
];

/// Entries of the map `users`.
const ENTRIES: usize = 8_192;
