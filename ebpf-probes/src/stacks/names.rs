//! Addresses and their names: the kernel names its own, files those that they have symbols for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use aya::maps::{Array, MapData};
use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::mappings::Module;
use crate::attach::{self, Walk};
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::programs::Programs;

/// One place in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frame {
    /// In the kernel.
    Kernel(u64),
    /// In a file that a process runs.
    File {
        /// Its place among the modules.
        module: usize,
        offset: u64,
    },
    /// In no file, as code that was made while running; or its process was gone before it could be asked for.
    Unknown,
    /// In something that the owner hides.
    Hidden,
    /// There was no room for the stack.
    Lost,
    /// Nobody looked at the stack.
    Unread,
}

/// What [`Frame::Unknown`] is called.
pub(super) const UNKNOWN: &str = "[unknown]";

/// Names that were found.
pub(super) struct Names {
    nameless: Array<MapData, [u64; ADDRESSES]>,
    kernel: BTreeMap<u64, String>,
    /// By file and where in it a function begins: where it ends, and its name, where it has one.
    functions: BTreeMap<(usize, u64), (u64, Option<String>)>,
}

impl Names {
    pub(super) fn new(programs: &mut Programs, kernel: &Kernel) -> Result<Self, ObserveError> {
        let nameless = Array::try_from(programs.take("nameless")?)?;
        if attach::load_walk(&mut programs.ebpf, kernel, &NAMES).is_err() {
            programs.attachment.missing.push(NO_NAMES.to_owned());
        }
        Ok(Self {
            nameless,
            kernel: BTreeMap::new(),
            functions: BTreeMap::new(),
        })
    }

    /// Finds the names of all that have none yet.
    pub(super) fn find(&mut self, programs: &mut Programs, modules: &[Module], frames: &BTreeSet<Frame>) {
        let mut kernel = Vec::new();
        let mut files: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for frame in frames {
            match *frame {
                Frame::Kernel(address) if !self.kernel.contains_key(&address) => kernel.push(address),
                Frame::File { module, offset } if self.function(module, offset).is_none() => files.entry(module).or_default().push(offset),
                Frame::Kernel(_) | Frame::File { .. } | Frame::Unknown | Frame::Hidden | Frame::Lost | Frame::Unread => {}
            }
        }
        for some in kernel.chunks(ADDRESSES) {
            self.ask_kernel(programs, some);
        }
        for (number, offsets) in files {
            if let Some(module) = modules.get(number) {
                self.ask_file(number, module, &offsets);
            }
        }
    }

    /// What a frame is called.
    pub(super) fn of(&self, modules: &[Module], frame: Frame) -> String {
        match frame {
            Frame::Kernel(address) => format!("{}{KERNEL}", self.kernel.get(&address).map_or(NAMELESS, String::as_str)),
            Frame::File { module, offset } => {
                let named = self.function(module, offset).and_then(|(_, name)| name.clone());
                named.unwrap_or_else(|| {
                    let path = modules.get(module).map_or("", |module| module.path.as_str());
                    format!("{}+{offset:#x}", path.rsplit('/').next().unwrap_or(path))
                })
            }
            Frame::Unknown => UNKNOWN.to_owned(),
            Frame::Hidden => "[hidden]".to_owned(),
            Frame::Lost => "[lost]".to_owned(),
            Frame::Unread => "[not looked at]".to_owned(),
        }
    }

    fn function(&self, module: usize, offset: u64) -> Option<&(u64, Option<String>)> {
        let ((found, _), function) = self.functions.range(..=(module, offset)).next_back()?;
        (*found == module && offset < function.0).then_some(function)
    }

    /// The kernel has a name for each of its addresses, and says it in their order.
    fn ask_kernel(&mut self, programs: &mut Programs, addresses: &[u64]) {
        let mut asked = [0; ADDRESSES];
        for (place, address) in asked.iter_mut().zip(addresses) {
            // It looks one before what it is asked for.
            *place = address.saturating_add(1);
        }
        let mut told = Vec::new();
        let answered = self.nameless.set(0, asked, 0).is_ok() && attach::walk(&mut programs.ebpf, &NAMES, &mut told).is_ok();
        let text = String::from_utf8_lossy(&told);
        let mut lines = if answered { text.lines() } else { "".lines() };
        for address in addresses {
            self.kernel.insert(*address, lines.next().map_or_else(|| NAMELESS.to_owned(), kernel_name));
        }
    }

    /// A file that cannot be read, or is another by now, names nothing.
    fn ask_file(&mut self, number: usize, module: &Module, offsets: &[u64]) {
        let found = symbols(module, offsets).unwrap_or_default();
        let mut found = found.into_iter();
        for offset in offsets {
            match found.next().flatten() {
                Some((begins, ends, name)) => self.functions.insert((number, begins), (ends.max(offset + 1), Some(harmless(&name)))),
                None => self.functions.insert((number, *offset), (offset + 1, None)),
            };
        }
    }
}

/// Leaves out, at the inner end of a stack, how a task left its CPU, and who looked: it waits in what called the scheduler.
pub(super) fn leave_scheduler(names: &mut Vec<String>) {
    while names.len() > 1 && names.last().and_then(|name| name.strip_suffix(KERNEL)).is_some_and(is_of_scheduler) {
        names.pop();
    }
}

fn is_of_scheduler(name: &str) -> bool {
    SCHEDULER.contains(&name) || LOOKERS.iter().any(|looker| name.starts_with(looker))
}

/// Where a function begins and ends in its file, and its name.
type Symbol = (u64, u64, String);

/// What a file calls its functions, for each place in it.
fn symbols(module: &Module, offsets: &[u64]) -> Option<Vec<Option<Symbol>>> {
    let file = File::open(&module.path).ok()?;
    let metadata = file.metadata().ok()?;
    let device = libc::dev_t::from(metadata.dev());
    let kernels = libc::major(device) << MINOR_BITS | libc::minor(device);
    if (kernels, metadata.ino()) != (module.device, module.inode) || !metadata.is_file() || metadata.len() > FILE_BYTES {
        return None;
    }
    // The very file that was looked at, whatever its name stands for by now.
    let mut elf = Elf::new(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    elf.debug_syms = false;
    let symbolizer = Symbolizer::builder()
        .enable_code_info(false)
        .enable_inlined_fns(false)
        .enable_auto_reload(false)
        .build();
    let found = symbolizer.symbolize(&Source::Elf(elf), Input::FileOffset(offsets)).ok()?;
    let symbols = found.into_iter().zip(offsets).map(|(found, offset)| match found {
        Symbolized::Sym(symbol) => {
            let begins = offset.checked_sub(u64::try_from(symbol.offset).ok()?)?;
            let size = u64::try_from(symbol.size.unwrap_or(0)).ok()?;
            Some((begins, begins.checked_add(size)?, symbol.name.into_owned()))
        }
        Symbolized::Unknown(_) => None,
    });
    Some(symbols.collect())
}

/// The name in what the kernel says of an address: `name+0x1a/0x40 [module]`. Without a name it is a number, which is nobody's business.
fn kernel_name(told: &str) -> String {
    match told.split_once("+0x") {
        Some((name, place)) => {
            let module = place.split_once(' ').map_or("", |(_, module)| module);
            harmless(format!("{name} {module}").trim())
        }
        None => NAMELESS.to_owned(),
    }
}

/// A name is a stranger's text.
fn harmless(name: &str) -> String {
    let fits = name.chars().filter(|character| !character.is_control() && *character != ';');
    fits.take(NAME_CHARACTERS).collect()
}

/// What marks a function of the kernel.
const KERNEL: &str = "_[k]";
/// The scheduler's own.
const SCHEDULER: [&str; 5] = ["__schedule", "schedule", "schedule_idle", "schedule_rtlock", "preempt_schedule_common"];
/// What our programs are called through, and they themselves.
const LOOKERS: [&str; 4] = ["bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_"];
const NAMES: Walk = Walk {
    program: "tell_names",
    through: "task",
};
const NO_NAMES: &str = "which functions of the kernel they are: task does not load";
/// A function of the kernel that has no name, or none that may be told.
const NAMELESS: &str = "[kernel]";
/// `ADDRESSES` of the programs.
const ADDRESSES: usize = 128;
/// The kernel keeps the number of a device so.
const MINOR_BITS: u32 = 20;
/// Largest file whose symbols are read.
const FILE_BYTES: u64 = 1 << 30;
/// Longest name told.
const NAME_CHARACTERS: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_breaks_no_line_and_no_folded_stack() {
        assert_eq!(harmless("a;b\n\u{1b}[31m"), "ab[31m");
        assert_eq!(harmless(&"x".repeat(1_000)).len(), NAME_CHARACTERS);
    }

    #[test]
    fn a_function_of_the_kernel_is_told_without_its_place_in_it() {
        assert_eq!(kernel_name("futex_wait+0x1a/0x40"), "futex_wait");
        assert_eq!(kernel_name("nf_hook_slow+0x1/0x40 [nf_tables]"), "nf_hook_slow [nf_tables]");
        assert_eq!(kernel_name("0xffffffff81000000"), "[kernel]");
    }

    #[test]
    fn a_task_waits_in_what_called_the_scheduler() {
        let left = |names: &str| {
            let mut names: Vec<String> = names.split(' ').map(str::to_owned).collect();
            leave_scheduler(&mut names);
            names.join(" ")
        };
        assert_eq!(
            left(
                "main schedule futex_wait_[k] schedule_[k] __schedule_[k] __traceiter_sched_switch_[k] bpf_trace_run4_[k] bpf_prog_6deef7357e7b4530_slept_[k]"
            ),
            "main schedule futex_wait_[k]"
        );
        assert_eq!(
            left("main schedule"),
            "main schedule",
            "a program's own function is none of the scheduler's, whatever its name"
        );
        assert_eq!(left("kthread_[k] schedule_timeout_[k] schedule_[k]"), "kthread_[k] schedule_timeout_[k]");
        assert_eq!(left("schedule_[k]"), "schedule_[k]", "something is left");
    }

    #[test]
    fn another_file_of_the_same_name_names_nothing() {
        let path = std::env::current_exe().unwrap();
        let metadata = path.metadata().unwrap();
        let device = libc::dev_t::from(metadata.dev());
        let module = Module {
            path: path.to_str().unwrap().to_owned(),
            device: libc::major(device) << MINOR_BITS | libc::minor(device),
            inode: metadata.ino(),
        };
        assert!(symbols(&module, &[0]).is_some());
        for other in [
            Module {
                inode: module.inode + 1,
                ..module.clone()
            },
            Module {
                device: module.device + 1,
                ..module.clone()
            },
            Module {
                path: "/nonexistent".to_owned(),
                ..module
            },
        ] {
            assert_eq!(symbols(&other, &[0]), None);
        }
    }
}
