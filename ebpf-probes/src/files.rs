//! Files that are opened: one entry of a map for each process, one message of a ring for each opening.

use std::collections::VecDeque;

use aya::maps::{HashMap, MapData, RingBuf};
use shared_protocol::report::{FileTotals, FilesSeen, Masked, Opening, Seen};

mod raw;

use raw::{RawOpener, RawOpening, RawOpens};

use crate::attach::Hook;
use crate::check::CheckFile;
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::message::message;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;

/// Files that are opened being observed.
pub(crate) struct Files {
    programs: Programs,
    openers: HashMap<MapData, RawOpener, RawOpens>,
    told: RingBuf<MapData>,
    masked: Vec<Masked>,
    top: usize,
    /// The last first.
    latest: VecDeque<Opening>,
}

impl Files {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let check = CheckFile::new(ask.check_port);
        let only_pid = ask.pid.unwrap_or(0);
        let mut programs = Programs::open(object::FILES, kernel, &ask.check_port, |loader| {
            loader.override_global("only_pid", &only_pid, true);
            loader.override_global("check_file", &check, true);
        })?;
        let (openers, told) = (programs.take("openers")?, programs.take("told")?);
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            programs,
            openers: HashMap::try_from(openers)?,
            told: RingBuf::try_from(told)?,
            masked: ask.masked.to_vec(),
            top: ask.top,
            latest: VecDeque::new(),
        })
    }
}

impl Observer for Files {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn gather(&mut self) -> Look {
        while let Some(item) = self.told.next() {
            if let Some(opening) = message::<RawOpening>(&item) {
                self.latest.truncate(self.top.saturating_sub(1));
                self.latest.push_front(opening.told(&self.masked));
            }
        }
        Look::Soon
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        self.gather();
        let mut openers = entries(self.openers.iter(), ENTRIES)?;
        let mut totals = FileTotals::default();
        for (_, opens) in &openers {
            totals.opened += opens.opened;
            totals.failed += opens.failed;
        }
        openers.sort_by_key(|(opener, opens)| (std::cmp::Reverse(opens.opened + opens.failed), *opener));
        let most = openers.iter().take(self.top);
        Ok(Seen::Files(FilesSeen {
            totals,
            openers: most.map(|(opener, opens)| opener.told(opens, &self.masked)).collect(),
            openings: self.latest.iter().cloned().collect(),
        }))
    }
}

pub(crate) const HOOKS: [Hook; 1] = [Hook {
    tracepoint: "sys_exit",
    typed: "opened",
    plain: "opened_plain",
    without: None,
}];

/// Entries of the map `openers`.
const ENTRIES: usize = 16_384;
