//! What a package of somebody's own sees: its programs in the kernel, its maps as JSON.
//!
//! A package is checked before anything of it is given to the kernel, by the same code that its author and the control plane had
//! ([`ebpf_package`]). Whether its signature is trusted is for whoever calls to have decided.

mod events;
mod load;
mod raw_map;
mod rows;
mod tried;

use aya::Ebpf;
use aya::programs::Program;
use aya::util::nr_cpus;
use ebpf_package::{Checked, Package, Reading, Refusal};
use shared_protocol::package::PackageDigest;
use shared_protocol::report::{CustomSeen, ProgramCost, Seen, SelfCheck};

pub use load::CustomError;
pub use tried::{Tried, TriedProgram, try_out};

use crate::attach::Attachment;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::observing::Look;
use crate::programs::passed_over;
use events::Events;
use raw_map::RawMap;
use rows::Rows;

/// A package under way. Its programs and maps are gone when it is dropped.
pub(crate) struct Custom {
    ebpf: Ebpf,
    attachment: Attachment,
    digest: PackageDigest,
    checked: Checked,
    rows: Vec<Rows>,
    events: Vec<Events>,
    lost: Option<RawMap>,
    check: Option<RawMap>,
    top: usize,
}

impl Custom {
    /// Loads the programs and puts them onto their hooks.
    pub(crate) fn start(kernel: &Kernel, package: &Package, top: usize, check_port: u16) -> Result<Self, ObserveError> {
        let (checked, mut ebpf) = open(kernel, package, check_port)?;
        let (mut rows, mut events) = (Vec::new(), Vec::new());
        for exported in &checked.exported {
            let map = load::take(&mut ebpf, &exported.map.name)?;
            match &exported.reading {
                Reading::Events { event } => events.push(Events::open(&exported.map.name, map, event.clone(), top)?),
                Reading::Rows { key, value, order_by } => {
                    let map = RawMap::open(map, &exported.map)?;
                    rows.push(Rows::new(map, (key.clone(), value.clone()), order_by.clone()));
                }
            }
        }
        let mut counter = |name: &Option<String>| {
            let described = name.as_ref().and_then(|name| checked.maps.iter().find(|map| map.name == *name));
            // One map may be both counter and told.
            let told = described.filter(|map| checked.exported.iter().any(|exported| exported.map.name == map.name));
            match (described, told) {
                (Some(map), None) => RawMap::open(load::take(&mut ebpf, &map.name)?, map).map(Some),
                (Some(map), Some(_)) => Err(CustomError::from(Refusal::Map {
                    map: map.name.clone(),
                    why: "it is a counter of its own and told: it can be one only".to_owned(),
                })),
                (None, _) => Ok(None),
            }
        };
        let lost = counter(&checked.manifest.lost)?;
        let check = counter(&checked.manifest.check)?;
        load::attach(&mut ebpf, kernel, &checked.manifest)?;
        Ok(Self {
            ebpf,
            attachment: Attachment::default(),
            digest: package.digest(),
            checked,
            rows,
            events,
            lost,
            check,
            top,
        })
    }

    pub(crate) const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Takes in what waits in rings.
    pub(crate) fn gather(&mut self) -> Look {
        self.events.iter_mut().for_each(Events::gather);
        if self.events.is_empty() { Look::Later } else { Look::Soon }
    }

    /// What its maps hold, and the messages since it was last asked.
    pub(crate) fn seen(&mut self) -> Result<Seen, ObserveError> {
        self.told(Events::told_since)
    }

    /// What its maps hold, and the last messages of all.
    pub(crate) fn found(&mut self) -> Result<Seen, ObserveError> {
        self.told(Events::told_of_all)
    }

    fn told(&mut self, events: impl Fn(&mut Events, &mut usize) -> shared_protocol::report::CustomEvents) -> Result<Seen, ObserveError> {
        self.gather();
        // Each map and ring has the same share of what can be told at all; what one leaves is for those after it.
        let share = TOLD_BYTES / (self.rows.len() + self.events.len()).max(1);
        let mut room = 0;
        let mut maps = Vec::new();
        for rows in &self.rows {
            room += share;
            maps.push(rows.told(self.top, &mut room)?);
        }
        let mut rings = Vec::new();
        for ring in &mut self.events {
            room += share;
            rings.push(events(ring, &mut room));
        }
        Ok(Seen::Custom(CustomSeen {
            package: self.checked.manifest.name.clone(),
            version: self.checked.manifest.version.clone(),
            sha256: self.digest,
            maps,
            events: rings,
        }))
    }

    /// What it says it had no room for, and what the kernel passed over while a program of it was at work already.
    pub(crate) fn lost(&self) -> Result<u64, ObserveError> {
        let passed: u64 = self.ebpf.programs().map(|(_, program)| passed_over(program)).sum();
        Ok(self.lost.as_ref().map_or(Ok(0), RawMap::sum)? + passed)
    }

    /// Whether it runs: by its own counter, where it names one; else because it saw something, or the kernel counted its runs.
    pub(crate) fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        if let Some(check) = &self.check {
            return Ok(if check.sum()? > 0 { SelfCheck::Passed } else { SelfCheck::Failed });
        }
        let ran = self.cost().is_some() || self.events.iter().any(Events::has_seen);
        let seen = ran || self.rows.iter().map(Rows::is_empty).any(|empty| matches!(empty, Ok(false)));
        Ok(if seen { SelfCheck::Passed } else { SelfCheck::Unknown })
    }

    /// What its programs have cost, where the kernel counts it.
    pub(crate) fn cost(&self) -> Option<ProgramCost> {
        let mut cost = ProgramCost { runs: 0, run_ns: 0 };
        for (_, program) in self.ebpf.programs() {
            let Ok(info) = info(program) else { continue };
            cost.runs += info.run_count();
            cost.run_ns += u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
        }
        (cost.runs > 0).then_some(cost)
    }
}

/// Looks at a package, and takes its object in; nothing is on its hook yet.
fn open(kernel: &Kernel, package: &Package, check_port: u16) -> Result<(Checked, Ebpf), CustomError> {
    let checked = package.check()?;
    let cpus = nr_cpus().map_err(|(_, source)| CustomError::System(source))?;
    checked.check_memory(u32::try_from(cpus).unwrap_or(u32::MAX))?;
    let ebpf = load::open(kernel, package, check_port)?;
    Ok((checked, ebpf))
}

fn info(program: &Program) -> Result<aya::programs::ProgramInfo, aya::programs::ProgramError> {
    program.info()
}

/// Most bytes of what is told at once, as JSON: what an observer may say has a bound, and there is more in it.
const TOLD_BYTES: usize = 96 * 1024;
