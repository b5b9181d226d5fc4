//! Which part of which file a process has where, as the kernel itself tells: others' `/proc` is closed to an observer.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{HashMap, MapData};

use super::names::Frame;
use crate::attach::{self, Walk};
use crate::endpoint::text;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::programs::Programs;

/// The mappings of all processes that were asked for.
pub(super) struct Mappings {
    asked: HashMap<MapData, u32, u8>,
    processes: BTreeMap<u32, Process>,
    modules: Vec<Module>,
}

/// What is known of a process.
#[derive(Debug, Default)]
struct Process {
    areas: Vec<Area>,
    /// How often it was asked for; something that it runs may have come later.
    asked: u8,
    /// Whether an address of it was in none of them.
    is_stale: bool,
}

#[derive(Debug)]
struct Area {
    from: u64,
    to: u64,
    file_offset: u64,
    module: usize,
}

/// A file that is executed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Module {
    /// Where it is, for whoever mapped it.
    pub(super) path: String,
    /// Which file that is: elsewhere another may be called the same.
    pub(super) device: u32,
    pub(super) inode: u64,
}

impl Mappings {
    pub(super) fn new(programs: &mut Programs, kernel: &Kernel) -> Result<Self, ObserveError> {
        let asked = HashMap::try_from(programs.take("asked")?)?;
        if attach::load_walk(&mut programs.ebpf, kernel, &MAPPINGS).is_err() {
            programs.attachment.missing.push(NO_MAPPINGS.to_owned());
        }
        Ok(Self {
            asked,
            processes: BTreeMap::new(),
            modules: Vec::new(),
        })
    }

    /// Asks the kernel for the mappings of those that are not known yet, or not well.
    pub(super) fn ask(&mut self, programs: &mut Programs, processes: &BTreeSet<u32>) {
        let unknown = |pid: &&u32| {
            let known = self.processes.get(pid);
            known.is_none_or(|known| known.is_stale && known.asked < TRIES)
        };
        let unknown: Vec<u32> = processes.iter().filter(unknown).take(ASKED).copied().collect();
        let asked: Vec<u32> = unknown.into_iter().filter(|pid| self.asked.insert(pid, 1, 0).is_ok()).collect();
        if asked.is_empty() {
            return;
        }
        let mut told = Vec::new();
        // Nothing is told where the program was not accepted, which `missing` says.
        let _no_names = attach::walk(&mut programs.ebpf, &MAPPINGS, &mut told);
        for pid in asked {
            let _gone_by_itself = self.asked.remove(&pid);
            let process = self.processes.entry(pid).or_default();
            process.asked += 1;
            process.is_stale = false;
            process.areas.clear();
        }
        for mapping in told.chunks_exact(MAPPING_BYTES).filter_map(RawMapping::read) {
            self.take_in(&mapping);
        }
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Where in which file an address of a process is.
    pub(super) fn frame(&mut self, pid: u32, address: u64) -> Frame {
        let Some(process) = self.processes.get_mut(&pid) else {
            return Frame::Unknown;
        };
        let area = process.areas.iter().find(|area| (area.from..area.to).contains(&address));
        let found = area.map(|area| Frame::File {
            module: area.module,
            offset: address - area.from + area.file_offset,
        });
        process.is_stale |= found.is_none();
        found.unwrap_or(Frame::Unknown)
    }

    fn take_in(&mut self, mapping: &RawMapping) {
        let module = Module {
            path: text(&mapping.path),
            device: mapping.device,
            inode: mapping.inode,
        };
        let known = self.modules.iter().position(|known| *known == module);
        let number = known.unwrap_or(self.modules.len());
        if known.is_none() {
            if self.modules.len() == MODULES {
                return;
            }
            self.modules.push(module);
        }
        let process = self.processes.entry(mapping.pid).or_default();
        if process.areas.len() < AREAS {
            process.areas.push(Area {
                from: mapping.from,
                to: mapping.to,
                file_offset: mapping.file_offset,
                module: number,
            });
        }
    }
}

/// `struct mapping` of `programs/stacks.h`.
#[repr(C)]
struct RawMapping {
    from: u64,
    to: u64,
    file_offset: u64,
    inode: u64,
    device: u32,
    pid: u32,
    path: [u8; 256],
}

impl RawMapping {
    fn read(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let short = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            from: long(0)?,
            to: long(8)?,
            file_offset: long(16)?,
            inode: long(24)?,
            device: short(32)?,
            pid: short(36)?,
            path: *bytes.get(40..)?.first_chunk()?,
        })
    }
}

const MAPPING_BYTES: usize = size_of::<RawMapping>();
const MAPPINGS: Walk = Walk {
    program: "tell_mappings",
    through: "task_vma",
};
const NO_MAPPINGS: &str = "which functions of programs they are: task_vma does not load";
/// Most processes asked for in one go: entries of the map `asked`.
const ASKED: usize = 1_024;
/// How often a process is asked for that runs what is in none of its files.
const TRIES: u8 = 3;
/// Most files, and parts of files in one process.
const MODULES: usize = 4_096;
const AREAS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::object;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        assert_same_layout!(
            object::PROFILE.bytes,
            "mapping",
            RawMapping {
                from,
                to,
                file_offset,
                inode,
                device,
                pid,
                path
            }
        );
    }
}
