//! The maps of an object, as its BTF describes them.

use crate::attach::is_name;
use crate::btf::{Btf, Kind, Type};
use crate::limits::{ENTRIES, KEY_BYTES, MAPS, RING_BYTES, VALUE_BYTES};
use crate::refusal::Refusal;

/// A map of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: MapKind,
    /// Bytes of a key; zero of a ring.
    pub key_bytes: u32,
    /// Bytes of a value; zero of a ring.
    pub value_bytes: u32,
    /// Most entries; bytes of a ring.
    pub entries: u32,
    /// The types of key and value, where they are described.
    pub(crate) types: (Option<u32>, Option<u32>),
}

/// What a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// One value by key.
    Hash,
    /// One value by place.
    Array,
    /// One value by key for each CPU.
    HashByCpu,
    /// One value by place for each CPU.
    ArrayByCpu,
    /// One value by key; those not used for long make room.
    RecentHash,
    /// The same for each CPU.
    RecentHashByCpu,
    /// Messages.
    Ring,
}

impl MapKind {
    const fn numbered(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Hash,
            2 => Self::Array,
            5 => Self::HashByCpu,
            6 => Self::ArrayByCpu,
            9 => Self::RecentHash,
            10 => Self::RecentHashByCpu,
            27 => Self::Ring,
            _ => return None,
        })
    }

    /// Whether there is a value for each CPU.
    pub const fn is_by_cpu(self) -> bool {
        matches!(self, Self::HashByCpu | Self::ArrayByCpu | Self::RecentHashByCpu)
    }

    /// Whether its keys are places from zero, all of which are there from the beginning.
    pub const fn is_array(self) -> bool {
        matches!(self, Self::Array | Self::ArrayByCpu)
    }
}

impl Map {
    /// Bytes it takes where there are so many CPUs.
    pub fn memory_bytes(&self, cpus: u32) -> u64 {
        if self.kind == MapKind::Ring {
            return u64::from(self.entries);
        }
        let round = |bytes: u32| u64::from(bytes).next_multiple_of(8);
        let copies = if self.kind.is_by_cpu() { u64::from(cpus.max(1)) } else { 1 };
        u64::from(self.entries) * (round(self.key_bytes) + round(self.value_bytes) * copies)
    }
}

/// All maps that an object defines.
pub(crate) fn read(btf: &Btf) -> Result<Vec<Map>, Refusal> {
    let variables = btf.variables(".maps");
    if variables.len() > MAPS {
        return Err(Refusal::too_much("maps", variables.len(), MAPS));
    }
    let mut maps: Vec<Map> = Vec::new();
    for (name, number) in variables {
        if !is_name(name) {
            return Err(Refusal::Btf("a map has a name that C would not have".to_owned()));
        }
        if maps.iter().any(|map| map.name == name) {
            return Err(Refusal::map(name, "there is another one of that name"));
        }
        maps.push(one(btf, name, number)?);
    }
    Ok(maps)
}

fn one(btf: &Btf, name: &str, number: u32) -> Result<Map, Refusal> {
    let refused = |why: &str| Refusal::map(name, why);
    let definition = btf.resolved(number).filter(|(_, found)| found.kind == Kind::Structure);
    let (_, definition) = definition.ok_or_else(|| refused("it is not described as a structure"))?;
    let (mut kind, mut flags) = (None, 0);
    let mut map = Map {
        name: name.to_owned(),
        kind: MapKind::Ring,
        key_bytes: 0,
        value_bytes: 0,
        entries: 0,
        types: (None, None),
    };
    for member in btf.members(definition) {
        let number = || number_of(btf, member.number).ok_or_else(|| refused("a number of its definition cannot be read"));
        let pointed = || {
            let pointed = btf.numbered(member.number).filter(|found| found.kind == Kind::Pointer)?.size;
            Some((pointed, u32::try_from(btf.bytes(pointed)?).ok()?))
        };
        let described = || pointed().ok_or_else(|| refused("a type of its definition cannot be read"));
        match member.name {
            "type" => kind = Some(number()?),
            "key_size" => map.key_bytes = number()?,
            "value_size" => map.value_bytes = number()?,
            "max_entries" => map.entries = number()?,
            "map_flags" => flags = number()?,
            "key" => {
                let (number, bytes) = described()?;
                (map.types.0, map.key_bytes) = (Some(number), bytes);
            }
            "value" => {
                let (number, bytes) = described()?;
                (map.types.1, map.value_bytes) = (Some(number), bytes);
            }
            "pinning" => return Err(refused("it is pinned: nothing of a package stays behind")),
            "values" => return Err(refused("it holds other maps, or programs")),
            _ => return Err(refused("its definition has a part that is not known")),
        }
    }
    let number = kind.ok_or_else(|| refused("its definition names no type"))?;
    let allowed = "it is of a kind that is not allowed; there are: hash, array, both by CPU, LRU hash, both ways, ring buffer";
    map.kind = MapKind::numbered(number).ok_or_else(|| refused(allowed))?;
    check(&map, flags)?;
    Ok(map)
}

fn check(map: &Map, flags: u32) -> Result<(), Refusal> {
    let refused = |why: &str| Refusal::map(&map.name, why);
    let too_much = |what: &str, found: u32, most: u32| Refusal::too_much(format!("{what} of the map {}", map.name), found, most);
    let is_hash = matches!(map.kind, MapKind::Hash | MapKind::HashByCpu);
    if flags != 0 && !(is_hash && flags == NOT_ALLOCATED_BEFORE) {
        return Err(refused("it has flags that are not allowed (only BPF_F_NO_PREALLOC of a hash)"));
    }
    if map.kind == MapKind::Ring {
        if map.key_bytes != 0 || map.value_bytes != 0 || map.types != (None, None) {
            return Err(refused("a ring has neither keys nor values"));
        }
        if map.entries > RING_BYTES {
            return Err(too_much("bytes", map.entries, RING_BYTES));
        }
        if !map.entries.is_power_of_two() || map.entries < RING_LEAST {
            return Err(refused("the bytes of a ring are a power of two, 4096 or more"));
        }
        return Ok(());
    }
    if map.key_bytes == 0 || map.value_bytes == 0 || map.entries == 0 {
        return Err(refused("it has no keys, no values, or room for none"));
    }
    if map.kind.is_array() && map.key_bytes != 4 {
        return Err(refused("the key of an array has four bytes"));
    }
    for (what, found, most) in [
        ("entries", map.entries, ENTRIES),
        ("bytes of a key", map.key_bytes, KEY_BYTES),
        ("bytes of a value", map.value_bytes, VALUE_BYTES),
    ] {
        if found > most {
            return Err(too_much(what, found, most));
        }
    }
    Ok(())
}

/// A number is written as the length of an array that is pointed to.
fn number_of(btf: &Btf, number: u32) -> Option<u32> {
    let of_kind = |number: u32, kind: Kind| btf.numbered(number).filter(|found: &&Type| found.kind == kind);
    let pointer = of_kind(number, Kind::Pointer)?;
    Btf::elements(of_kind(pointer.size, Kind::Array)?).map(|(_, count)| count)
}

/// `BPF_F_NO_PREALLOC`.
const NOT_ALLOCATED_BEFORE: u32 = 1;
/// A page, of which a ring has at least one.
const RING_LEAST: u32 = 4_096;
