//! A package whose manifest and object say the same, and whose object does nothing that is not allowed.

use crate::attach::Attach;
use crate::btf::Btf;
use crate::code;
use crate::elf::Elf;
use crate::limits::{INSTRUCTIONS, MEMORY_BYTES, OBJECT_BYTES, PROGRAMS, TOLD_ENTRIES};
use crate::manifest::{Manifest, ManifestMap, Read};
use crate::map::{self, Map, MapKind};
use crate::refusal::Refusal;
use crate::shape::{self, Shape};

/// A package that may be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it is said to be, and is.
    pub manifest: Manifest,
    /// All its maps.
    pub maps: Vec<Map>,
    /// Those that are told, in the manifest's order.
    pub exported: Vec<Exported>,
    /// How many instructions all its functions have.
    pub instructions: usize,
}

/// A map that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The map.
    pub map: Map,
    /// How it is read.
    pub reading: Reading,
}

/// How a map is read, with what its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// All entries.
    Rows {
        /// What keys are.
        key: Shape,
        /// What values are.
        value: Shape,
        /// The number by which the first ones are chosen.
        order_by: Option<String>,
    },
    /// Messages.
    Events {
        /// What each is.
        event: Shape,
    },
}

impl Checked {
    /// Compares a manifest with an object, and looks at everything that the object does.
    pub(crate) fn of(manifest: Manifest, object: &[u8]) -> Result<Self, Refusal> {
        if object.len() > OBJECT_BYTES {
            return Err(Refusal::too_much("bytes of the object", object.len(), OBJECT_BYTES));
        }
        let elf = Elf::parse(object)?;
        let instructions = elf.functions.iter().map(|function| function.code.len() / 8).sum();
        if instructions > INSTRUCTIONS {
            return Err(Refusal::too_much("instructions", instructions, INSTRUCTIONS));
        }
        for function in &elf.functions {
            code::check(function, &elf.license)?;
        }
        check_programs(&manifest, &elf)?;
        let btf = Btf::parse(elf.btf)?;
        let maps = if elf.has_maps { map::read(&btf)? } else { Vec::new() };
        let exported = manifest.maps.iter().map(|told| export(&btf, &maps, told)).collect::<Result<_, _>>()?;
        for (what, counter) in [("lost", &manifest.lost), ("check", &manifest.check)] {
            if let Some(name) = counter {
                check_counter(&btf, &maps, what, name)?;
            }
        }
        let checked = Self {
            manifest,
            maps,
            exported,
            instructions,
        };
        checked.check_memory(1)?;
        Ok(checked)
    }

    /// Whether its maps stay within the bound where there are so many CPUs.
    ///
    /// # Errors
    /// [`Refusal::TooMuch`].
    pub fn check_memory(&self, cpus: u32) -> Result<(), Refusal> {
        let bytes = self.memory_bytes(cpus);
        if bytes > MEMORY_BYTES {
            return Err(Refusal::too_much(format!("bytes of all maps on a host with {cpus} CPUs"), bytes, MEMORY_BYTES));
        }
        Ok(())
    }

    /// Bytes of all maps where there are so many CPUs.
    pub fn memory_bytes(&self, cpus: u32) -> u64 {
        self.maps.iter().fold(0, |sum: u64, map| sum.saturating_add(map.memory_bytes(cpus)))
    }
}

/// Each side names every program of the other, on the same hook.
fn check_programs(manifest: &Manifest, elf: &Elf<'_>) -> Result<(), Refusal> {
    let programs: Vec<(&str, &Attach)> = elf
        .functions
        .iter()
        .filter_map(|function| Some((function.name.as_str(), function.attach.as_ref()?)))
        .collect();
    if programs.is_empty() {
        return Err(Refusal::NoProgram);
    }
    if programs.len() > PROGRAMS {
        return Err(Refusal::too_much("programs", programs.len(), PROGRAMS));
    }
    for program in &manifest.programs {
        let what = format!("the program {}", program.name);
        match programs.iter().filter(|(name, _)| *name == program.name).collect::<Vec<_>>().as_slice() {
            [] => return Err(Refusal::differs(what, &program.attach, "has none of that name")),
            [(_, attach)] if **attach == program.attach => {}
            [(_, attach)] => return Err(Refusal::differs(what, &program.attach, attach)),
            _ => return Err(Refusal::code(&program.name, "there is another function of that name")),
        }
    }
    let unnamed = programs.iter().find(|(name, _)| !manifest.programs.iter().any(|program| program.name == *name));
    unnamed.map_or(Ok(()), |(name, attach)| {
        Err(Refusal::differs(format!("the program {name}"), "nothing of it", attach))
    })
}

fn export(btf: &Btf, maps: &[Map], told: &ManifestMap) -> Result<Exported, Refusal> {
    let what = |of: &str| format!("{of} of the map {}", told.name);
    let map = maps.iter().find(|map| map.name == told.name);
    let map = map.ok_or_else(|| Refusal::differs(format!("the map {}", told.name), "it is told", "has none of that name"))?;
    let reading = match (&told.read, map.kind) {
        (Read::Events { of }, MapKind::Ring) => {
            let number = btf.structure(of);
            let number = number.ok_or_else(|| Refusal::differs(what("the events"), format!("struct {of}"), "describes no such structure"))?;
            Reading::Events {
                event: shape::read(btf, number, of)?,
            }
        }
        (Read::Rows { order_by }, kind) if kind != MapKind::Ring => rows(btf, map, order_by.as_ref())?,
        (Read::Events { .. }, _) => return Err(Refusal::differs(what("the kind"), "a ring, for events", "no ring")),
        (Read::Rows { .. }, _) => return Err(Refusal::differs(what("the kind"), "rows", "a ring")),
    };
    let value_bytes = match &reading {
        Reading::Events { event } => u32::try_from(event.bytes()).unwrap_or(u32::MAX),
        Reading::Rows { .. } => map.value_bytes,
    };
    for (of, said, found) in [("entries", told.entries, map.entries), ("value_bytes", told.value_bytes, value_bytes)] {
        if let Some(said) = said.filter(|said| *said != found) {
            return Err(Refusal::differs(what(of), said, found));
        }
    }
    Ok(Exported { map: map.clone(), reading })
}

fn rows(btf: &Btf, map: &Map, order_by: Option<&String>) -> Result<Reading, Refusal> {
    if map.entries > TOLD_ENTRIES {
        return Err(Refusal::too_much(
            format!("entries of the map {}, which is told", map.name),
            map.entries,
            TOLD_ENTRIES,
        ));
    }
    let (Some(key), Some(value)) = map.types else {
        return Err(Refusal::map(
            &map.name,
            "it is told, but the types of its keys and values are not described (__type)",
        ));
    };
    let key = shape::read(btf, key, &format!("{}.key", map.name))?;
    let value = shape::read(btf, value, &format!("{}.value", map.name))?;
    if let Some(name) = order_by {
        let fields = if let Shape::Structure { fields, .. } = &value {
            fields.as_slice()
        } else {
            &[]
        };
        let is_number = |shape: &Shape| matches!(shape, Shape::Unsigned(_) | Shape::Signed(_));
        if !fields.iter().any(|field| field.name == *name && is_number(&field.shape)) {
            let what = format!("order_by of the map {}", map.name);
            return Err(Refusal::differs(what, name, "has no number of that name in the value"));
        }
    }
    Ok(Reading::Rows {
        key,
        value,
        order_by: order_by.cloned(),
    })
}

/// A counter is an array of numbers of 64 bits, by CPU or not.
fn check_counter(btf: &Btf, maps: &[Map], what: &str, name: &str) -> Result<(), Refusal> {
    let map = maps.iter().find(|map| map.name == name);
    let map = map.ok_or_else(|| Refusal::differs(format!("the map of {what}"), name, "has none of that name"))?;
    let value = map.types.1.map(|number| shape::read(btf, number, name)).transpose()?;
    if map.kind.is_array() && map.entries <= COUNTERS && value == Some(Shape::Unsigned(8)) {
        return Ok(());
    }
    let what = format!("the map of {what}");
    Err(Refusal::differs(
        what,
        format!("{name}: an array of at most {COUNTERS} numbers of 64 bits"),
        "something else",
    ))
}

/// Most counters of one kind.
const COUNTERS: u32 = 16;
