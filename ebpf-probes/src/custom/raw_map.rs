//! Entries of a map whose types are not known when this is built, as bytes.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use aya::maps::{Map, MapData};
use aya::util::nr_cpus;
use ebpf_package::{Map as Described, MapKind};

use super::load::CustomError;

/// A map.
pub(super) struct RawMap {
    map: Map,
    described: Described,
    cpus: usize,
}

/// An entry: its key, and a value for each CPU, or the only one.
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) values: Vec<Vec<u8>>,
}

/// `bpf_attr` as commands about one element take it.
#[repr(C, align(8))]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    /// The value, or the next key.
    to: u64,
    flags: u64,
}

impl RawMap {
    /// Takes a map that is as described: the kernel is asked, since it is it that writes behind pointers.
    pub(super) fn open(map: Map, described: &Described) -> Result<Self, CustomError> {
        let cpus = nr_cpus().map_err(|(_, source)| CustomError::System(source))?;
        let raw = Self {
            map,
            described: described.clone(),
            cpus,
        };
        let info = raw.data()?.info().map_err(|error| CustomError::read(&described.name, error))?;
        let is_same = (info.key_size(), info.value_size(), info.max_entries()) == (described.key_bytes, described.value_bytes, described.entries);
        if !is_same {
            return Err(CustomError::read(&described.name, "the kernel has it with other sizes"));
        }
        Ok(raw)
    }

    pub(super) fn name(&self) -> &str {
        &self.described.name
    }

    /// Gives every entry to whoever wants it, each once. Entries that come and go meanwhile may be missed.
    pub(super) fn each(&self, mut take: impl FnMut(Entry)) -> Result<(), CustomError> {
        if self.described.kind.is_array() {
            for place in 0..self.described.entries {
                let key = place.to_ne_bytes();
                if let Some(values) = self.values(&key)?
                    && values.iter().flatten().any(|byte| *byte != 0)
                {
                    take(Entry { key: key.to_vec(), values });
                }
            }
            return Ok(());
        }
        let mut met = BTreeSet::new();
        let mut key = None;
        // Where a key is gone by the time the next one is asked for, it begins again.
        for _ in 0..u64::from(self.described.entries) * 2 {
            let Some(next) = self.next(key.as_deref())? else { break };
            if met.insert(next.clone())
                && let Some(values) = self.values(&next)?
            {
                take(Entry { key: next.clone(), values });
            }
            key = Some(next);
        }
        Ok(())
    }

    /// The sum of an array of counters.
    pub(super) fn sum(&self) -> Result<u64, CustomError> {
        let mut sum: u64 = 0;
        self.each(|entry| {
            let counts = entry.values.iter().filter_map(|value| value.first_chunk().copied().map(u64::from_ne_bytes));
            sum = counts.fold(sum, u64::saturating_add);
        })?;
        Ok(sum)
    }

    pub(super) fn is_empty(&self) -> Result<bool, CustomError> {
        if self.described.kind.is_array() {
            let mut empty = true;
            self.each(|_| empty = false)?;
            return Ok(empty);
        }
        Ok(self.next(None)?.is_none())
    }

    fn next(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, CustomError> {
        let mut next = vec![0; bytes(self.described.key_bytes)];
        let found = self.ask(NEXT_KEY, key, &mut next)?;
        Ok(found.then_some(next))
    }

    fn values(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, CustomError> {
        let each = bytes(self.described.value_bytes);
        let (copies, stride) = if self.described.kind.is_by_cpu() {
            // The kernel rounds each up (kernel/bpf/syscall.c, bpf_map_value_size).
            (self.cpus, each.next_multiple_of(8))
        } else {
            (1, each)
        };
        let mut all = vec![0; copies * stride];
        if !self.ask(LOOK_UP, Some(key), &mut all)? {
            return Ok(None);
        }
        let values = all.chunks_exact(stride.max(1)).map(|value| value.get(..each).unwrap_or_default().to_vec());
        Ok(Some(values.collect()))
    }

    /// Whether there is such an element.
    fn ask(&self, command: libc::c_long, key: Option<&[u8]>, to: &mut [u8]) -> Result<bool, CustomError> {
        let address = |bytes: *const u8| u64::try_from(bytes.addr()).unwrap_or_default();
        let mut element = Element {
            map: u32::try_from(self.fd()?.as_raw_fd()).unwrap_or(u32::MAX),
            padding: 0,
            key: key.map_or(0, |key| address(key.as_ptr())),
            to: address(to.as_mut_ptr()),
            flags: 0,
        };
        // SAFETY: `bpf` takes this structure for both commands. The key has as many bytes as keys of the map, and `to` as many as its values
        // (for each CPU) or keys: `open` has compared them with what the kernel says of the map. Both live until the call is over.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut element, size_of::<Element>()) };
        if answer == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ENOENT) {
            return Ok(false);
        }
        Err(CustomError::read(self.name(), error))
    }

    fn fd(&self) -> Result<BorrowedFd<'_>, CustomError> {
        self.data().map(|data| data.fd().as_fd())
    }

    fn data(&self) -> Result<&MapData, CustomError> {
        match (&self.map, self.described.kind) {
            (Map::HashMap(data), MapKind::Hash)
            | (Map::Array(data), MapKind::Array)
            | (Map::PerCpuHashMap(data), MapKind::HashByCpu)
            | (Map::PerCpuArray(data), MapKind::ArrayByCpu)
            | (Map::LruHashMap(data), MapKind::RecentHash)
            | (Map::PerCpuLruHashMap(data), MapKind::RecentHashByCpu) => Ok(data),
            _ => Err(CustomError::read(self.name(), "it was loaded as another kind of map")),
        }
    }
}

fn bytes(number: u32) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// `BPF_MAP_LOOKUP_ELEM` and `BPF_MAP_GET_NEXT_KEY` of include/uapi/linux/bpf.h.
const LOOK_UP: libc::c_long = 1;
const NEXT_KEY: libc::c_long = 4;
