//! The object as ELF: its sections by what a loader takes them for, and where each function begins and ends.
//!
//! The loader takes sections by how their names begin; whatever it would take for something else than what it is called is refused here.

use std::collections::BTreeMap;

use object::elf::{EM_BPF, ET_REL};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};
use object::{LittleEndian, SectionIndex, SectionKind, SymbolKind};

use crate::attach::Attach;
use crate::limits::DATA_BYTES;
use crate::refusal::Refusal;

/// The parts of an object.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    pub(crate) license: String,
    pub(crate) btf: &'a [u8],
    /// Functions of all sections of code.
    pub(crate) functions: Vec<Function<'a>>,
    /// Bytes of its global variables.
    pub(crate) data_bytes: u64,
    /// Whether the object defines maps.
    pub(crate) has_maps: bool,
}

/// A program, or a function that programs call.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub(crate) name: String,
    /// What it is put onto; none of a function that programs call.
    pub(crate) attach: Option<Attach>,
    pub(crate) code: &'a [u8],
    /// What its instructions refer to, by their place in its code.
    pub(crate) refers: BTreeMap<u64, Referred>,
}

/// What an instruction refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Referred {
    /// A map, or global variables.
    Data,
    /// A function of the object.
    Function,
    /// Something that the object does not have.
    Elsewhere(String),
}

/// What a section is to a loader.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    License,
    Btf,
    Maps,
    Data,
    Text,
    Program(Attach),
    Nothing,
}

type File<'a> = ElfFile64<'a, LittleEndian>;

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let file = File::parse(bytes).map_err(not_elf)?;
        let header = file.elf_header();
        let machine = header.e_machine(LittleEndian);
        if machine != EM_BPF {
            return Err(Refusal::OtherMachine(machine));
        }
        if header.e_type(LittleEndian) != ET_REL {
            return Err(Refusal::NotElf("it is linked: give the object as the compiler makes it".to_owned()));
        }
        let mut parts = BTreeMap::new();
        let mut read = Self {
            license: String::new(),
            btf: &[],
            functions: Vec::new(),
            data_bytes: 0,
            has_maps: false,
        };
        let mut seen = [false; 4];
        for section in file.sections() {
            let name = section.name().map_err(not_elf)?;
            let part = part(name, &section)?;
            let once = match part {
                Part::License => seen.first_mut(),
                Part::Btf => seen.get_mut(1),
                Part::Maps => seen.get_mut(2),
                Part::Text => seen.get_mut(3),
                Part::Data | Part::Program(_) | Part::Nothing => None,
            };
            if let Some(once) = once {
                if *once {
                    return Err(not_allowed(name, "there is another one"));
                }
                *once = true;
            }
            read.take(&section, &part)?;
            parts.insert(section.index().0, part);
        }
        if read.license.is_empty() {
            return Err(Refusal::NoLicense);
        }
        if read.btf.is_empty() {
            return Err(Refusal::NoBtf);
        }
        if read.data_bytes > DATA_BYTES {
            return Err(Refusal::too_much("bytes of global variables", read.data_bytes, DATA_BYTES));
        }
        for section in file.sections() {
            let attach = match parts.get(&section.index().0) {
                Some(Part::Program(attach)) => Some(attach.clone()),
                Some(Part::Text) => None,
                Some(Part::License | Part::Btf | Part::Maps | Part::Data | Part::Nothing) | None => continue,
            };
            functions(&file, &section, attach.as_ref(), &parts, &mut read.functions)?;
        }
        Ok(read)
    }

    fn take(&mut self, section: &object::read::elf::ElfSection64<'a, '_, LittleEndian>, part: &Part) -> Result<(), Refusal> {
        match part {
            Part::License => {
                let text = section.data().map_err(not_elf)?;
                let text = text.strip_suffix(&[0]).and_then(|text| std::str::from_utf8(text).ok());
                let text = text.filter(|text| !text.is_empty() && text.len() <= 64 && !text.contains(char::is_control));
                text.ok_or(Refusal::NoLicense)?.clone_into(&mut self.license);
            }
            Part::Btf => self.btf = section.data().map_err(not_elf)?,
            Part::Maps => self.has_maps = true,
            Part::Data => self.data_bytes = self.data_bytes.saturating_add(section.size()),
            Part::Text | Part::Program(_) | Part::Nothing => {}
        }
        Ok(())
    }
}

/// What a loader takes a section for.
fn part(name: &str, section: &object::read::elf::ElfSection64<'_, '_, LittleEndian>) -> Result<Part, Refusal> {
    let is_code = section.kind() == SectionKind::Text && section.size() > 0;
    let part = match name {
        "license" => Part::License,
        ".BTF" => Part::Btf,
        ".maps" => Part::Maps,
        ".text" => Part::Text,
        ".BTF.ext" => Part::Nothing,
        _ if name.starts_with(".rodata") || name.starts_with(".data") || name.starts_with(".bss") => Part::Data,
        _ if name.starts_with("maps") => return Err(not_allowed(name, "maps are described by BTF, in a section .maps")),
        _ if name.starts_with("version") => return Err(not_allowed(name, "a package is not for one version of the kernel")),
        _ if ["license", ".maps", ".text"].iter().any(|own| name.starts_with(own)) => return Err(not_allowed(name, "it is not known")),
        _ if is_code => Part::Program(name.parse().map_err(|_| Refusal::ProgramKind {
            section: name.chars().filter(|character| !character.is_control()).take(64).collect(),
        })?),
        _ => Part::Nothing,
    };
    if is_code && !matches!(part, Part::Text | Part::Program(_)) {
        return Err(not_allowed(name, "there is code in it"));
    }
    Ok(part)
}

/// The functions of a section of code, which have to lie in it without a gap.
fn functions<'a>(
    file: &File<'a>,
    section: &object::read::elf::ElfSection64<'a, '_, LittleEndian>,
    attach: Option<&Attach>,
    parts: &BTreeMap<usize, Part>,
    found: &mut Vec<Function<'a>>,
) -> Result<(), Refusal> {
    let place = attach.map_or_else(|| ".text".to_owned(), ToString::to_string);
    let data = section.data().map_err(not_elf)?;
    let mut symbols: Vec<_> = file
        .symbols()
        .filter(|symbol| symbol.section_index() == Some(section.index()) && symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .collect();
    symbols.sort_by_key(object::ObjectSymbol::address);
    let mut refers = BTreeMap::new();
    for (at, relocation) in section.relocations() {
        refers.insert(at, referred(file, relocation.target(), parts)?);
    }
    let mut end = 0;
    for symbol in symbols {
        let name = symbol.name().ok().filter(|name| crate::attach::is_name(name));
        let name = name.ok_or_else(|| Refusal::code(&place, "a function has no name, or one that C would not have"))?;
        let (from, size) = (symbol.address(), symbol.size());
        if from != end || size == 0 || !size.is_multiple_of(INSTRUCTION) || section.address() != 0 {
            return Err(Refusal::code(name, "it does not begin where the one before it ends"));
        }
        end = from.saturating_add(size);
        let range = usize::try_from(from).ok().zip(usize::try_from(end).ok());
        let code = range.and_then(|(from, end)| data.get(from..end));
        found.push(Function {
            name: name.to_owned(),
            attach: attach.cloned(),
            code: code.ok_or_else(|| Refusal::code(name, "it ends behind its section"))?,
            refers: refers.range(from..end).map(|(at, referred)| (at - from, referred.clone())).collect(),
        });
    }
    if end != u64::try_from(data.len()).unwrap_or(u64::MAX) {
        return Err(Refusal::code(&place, "there is code that belongs to no function"));
    }
    Ok(())
}

fn referred(file: &File<'_>, target: RelocationTarget, parts: &BTreeMap<usize, Part>) -> Result<Referred, Refusal> {
    let RelocationTarget::Symbol(index) = target else {
        return Err(Refusal::NotElf("a relocation is about no symbol".to_owned()));
    };
    let symbol = file.symbol_by_index(index).map_err(not_elf)?;
    let part = symbol.section_index().and_then(|SectionIndex(number)| parts.get(&number));
    Ok(match part {
        Some(Part::Maps | Part::Data) => Referred::Data,
        Some(Part::Text) => Referred::Function,
        Some(Part::License | Part::Btf | Part::Program(_) | Part::Nothing) | None => {
            let name = symbol.name().unwrap_or("");
            Referred::Elsewhere(name.chars().filter(|character| !character.is_control()).take(64).collect())
        }
    })
}

fn not_elf(error: object::read::Error) -> Refusal {
    Refusal::NotElf(error.to_string())
}

fn not_allowed(section: &str, why: &'static str) -> Refusal {
    Refusal::Section {
        section: section.chars().filter(|character| !character.is_control()).take(64).collect(),
        why,
    }
}

/// Bytes of an instruction.
pub(crate) const INSTRUCTION: u64 = 8;
