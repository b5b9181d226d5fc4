//! Block devices: how long they take for a request, one histogram for each device and kind of request.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use aya::Pod;
use aya::maps::{MapData, PerCpuHashMap};
use shared_protocol::report::{BlockRequests, BlockSeen, Seen, SelfCheck};

use crate::attach::Hook;
use crate::btf;
use crate::endpoint::text;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;
use crate::slots::{self, SLOTS};

/// Block devices being observed.
pub(crate) struct Biolatency {
    programs: Programs,
    done: PerCpuHashMap<MapData, Whose, Requests>,
    /// What this kernel calls the kinds of requests.
    kinds: BTreeMap<u32, String>,
    top: usize,
}

/// `struct whose` of `programs/biolatency.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Whose {
    major: u32,
    minor: u32,
    kind: u32,
}

/// `struct requests` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Requests {
    bytes: u64,
    total_ns: u64,
    max_ns: u64,
    slots: [u64; SLOTS],
    device: [u8; 32],
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Whose {}
// SAFETY: as above.
unsafe impl Pod for Requests {}

impl Requests {
    fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.total_ns += other.total_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        if self.device == [0; 32] {
            self.device = other.device;
        }
        for (sum, count) in self.slots.iter_mut().zip(other.slots) {
            *sum += count;
        }
    }

    fn count(&self) -> u64 {
        self.slots.iter().sum()
    }
}

impl Biolatency {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let described = kernel.btf.to_bytes();
        let queue_comes_first = u32::from(btf::arguments(&described, ISSUE) == Some(2));
        let mut programs = Programs::open(object::BIOLATENCY, kernel, &ask.check_port, |loader| {
            loader.override_global("queue_comes_first", &queue_comes_first, true);
        })?;
        let done = programs.take("done")?;
        programs.attach(kernel, &HOOKS)?;
        // Where there is no disk behind it, whatever request comes has to do for a check.
        let _none_can_be_made = ask_a_disk();
        let kinds = KINDS.into_iter().map(|name| btf::enumeration(&described, name)).find(|kinds| !kinds.is_empty());
        Ok(Self {
            done: PerCpuHashMap::try_from(done)?,
            programs,
            kinds: kinds.unwrap_or_default(),
            top: ask.top,
        })
    }

    /// By device and kind; one that is met twice, while others are made, is there once.
    fn done(&self) -> Result<BTreeMap<Whose, Requests>, ObserveError> {
        let mut done = BTreeMap::new();
        for entry in self.done.iter().take(2 * ENTRIES) {
            let (whose, each_cpu) = entry?;
            let mut all = Requests::default();
            for requests in each_cpu.iter() {
                all.add(requests);
            }
            done.insert(whose, all);
        }
        Ok(done)
    }

    fn told(&self, whose: &Whose, requests: &Requests) -> BlockRequests {
        let name = self.kinds.get(&whose.kind).and_then(|name| name.strip_prefix(PREFIX));
        BlockRequests {
            device: text(&requests.device),
            kind: name.map_or_else(|| whose.kind.to_string(), str::to_lowercase),
            requests: requests.count(),
            bytes: requests.bytes,
            latencies: slots::told(&requests.slots, requests.total_ns, requests.max_ns),
        }
    }
}

impl Observer for Biolatency {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let done = self.done()?;
        let mut all = Requests::default();
        for requests in done.values() {
            all.add(requests);
        }
        let mut devices: Vec<(Whose, Requests)> = done.into_iter().collect();
        devices.sort_by_key(|(whose, requests)| (std::cmp::Reverse(requests.count()), requests.device, *whose));
        devices.truncate(self.top);
        Ok(Seen::Biolatency(BlockSeen {
            requests: all.count(),
            bytes: all.bytes,
            latencies: slots::told(&all.slots, all.total_ns, all.max_ns),
            devices: devices.into_iter().map(|(whose, requests)| self.told(&whose, &requests)).collect(),
        }))
    }

    fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        Ok(if self.done()?.is_empty() { SelfCheck::Failed } else { SelfCheck::Passed })
    }
}

/// Brings a request about: the first page of this very program, read past the cache.
fn ask_a_disk() -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open("/proc/self/exe")?;
    let mut page = Box::new(Page([0; PAGE]));
    file.read_at(&mut page.0, 0)?;
    Ok(())
}

/// What is read past the cache goes to where a page begins.
#[repr(align(4096))]
struct Page([u8; PAGE]);

const PAGE: usize = 4_096;

pub(crate) const HOOKS: [Hook; 2] = [
    Hook {
        tracepoint: "block_rq_complete",
        typed: "complete",
        plain: "complete_plain",
        without: None,
    },
    Hook {
        tracepoint: ISSUE,
        typed: "issue",
        plain: "issue_plain",
        without: None,
    },
];

const ISSUE: &str = "block_rq_issue";
/// The kernel's type of kinds of requests, since version 6.0 and before.
const KINDS: [&str; 2] = ["req_op", "req_opf"];
const PREFIX: &str = "REQ_OP_";
/// Entries of the map `done`.
const ENTRIES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = object::BIOLATENCY.bytes;
        assert_same_layout!(object, "whose", Whose { major, minor, kind });
        assert_same_layout!(
            object,
            "requests",
            Requests {
                bytes,
                total_ns,
                max_ns,
                slots,
                device
            }
        );
    }
}
