//! The object's own description of its types (BTF, Documentation/bpf/btf.rst of the kernel), as a table by number.

use crate::limits::TYPES;
use crate::refusal::Refusal;

/// All types of an object. Types are numbered from one; zero is `void`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Btf {
    types: Vec<Type>,
    strings: Vec<u8>,
}

/// A type as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Type {
    name_at: u32,
    pub(crate) kind: Kind,
    /// Bytes, or the number of the type that this one is about.
    pub(crate) size: u32,
    /// Whether members have their width beside their place; whether an enumeration has a sign.
    pub(crate) flag: bool,
    /// What follows the head, as words.
    rest: Vec<u32>,
}

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Pointer,
    Array,
    Structure,
    Union,
    Enumeration,
    Forward,
    /// Another name, or a property, of another type.
    Alias,
    Function,
    Prototype,
    Variable,
    Section,
    Float,
    Tag,
    Enumeration64,
}

/// A member of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: u32,
    /// Its place in bits.
    pub(crate) at: u32,
    /// Its width in bits, where it is narrower than its type.
    pub(crate) bits: u32,
}

impl Btf {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or_else(|| Refusal::Btf("it is cut off, or of another form".to_owned()))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..2)? != MAGIC || bytes.get(2)? != &1 {
            return None;
        }
        let part = |offset: usize, length: usize| {
            let from = place(word(bytes, 4)?)?.checked_add(place(word(bytes, offset)?)?)?;
            bytes.get(from..from.checked_add(place(word(bytes, length)?)?)?)
        };
        let (mut rest, strings) = (part(8, 12)?, part(16, 20)?);
        let mut types = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest.split_at_checked(HEAD)?;
            let info = word(head, 4)?;
            let (kind, words) = kind(info >> 24 & 0x1f, place(info & 0xffff)?)?;
            let (body, next) = after.split_at_checked(words * 4)?;
            types.push(Type {
                name_at: word(head, 0)?,
                kind,
                size: word(head, 8)?,
                flag: info >> 31 == 1,
                rest: body.chunks_exact(4).filter_map(|bytes| word(bytes, 0)).collect(),
            });
            if types.len() > TYPES {
                return None;
            }
            rest = next;
        }
        Some(Self {
            types,
            strings: strings.to_vec(),
        })
    }

    /// A type by its number; none for `void` and what there is not.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Type> {
        self.types.get(place(number.checked_sub(1)?)?)
    }

    /// The type beneath other names and properties, with its number.
    pub(crate) fn resolved(&self, number: u32) -> Option<(u32, &Type)> {
        let mut number = number;
        for _ in 0..NAMES_DEEP {
            let found = self.numbered(number)?;
            if found.kind != Kind::Alias {
                return Some((number, found));
            }
            number = found.size;
        }
        None
    }

    /// The structure of this name.
    pub(crate) fn structure(&self, name: &str) -> Option<u32> {
        let is_it = |found: &Type| found.kind == Kind::Structure && self.name(found) == name;
        let at = self.types.iter().position(is_it)?;
        u32::try_from(at + 1).ok()
    }

    /// The variables that a section holds, by their types' numbers.
    pub(crate) fn variables(&self, section: &str) -> Vec<(&str, u32)> {
        let of_section = |found: &&Type| found.kind == Kind::Section && self.name(found) == section;
        let numbers = self.types.iter().filter(of_section).flat_map(|found| found.rest.chunks_exact(3));
        numbers
            .filter_map(|variable| self.numbered(*variable.first()?))
            .filter(|variable| variable.kind == Kind::Variable)
            .map(|variable| (self.name(variable), variable.size))
            .collect()
    }

    pub(crate) fn name(&self, of: &Type) -> &str {
        self.text(of.name_at)
    }

    /// A structure's members, in their order.
    pub(crate) fn members<'a>(&'a self, of: &'a Type) -> impl Iterator<Item = Member<'a>> {
        of.rest.chunks_exact(3).filter_map(|member| {
            let [name, number, at] = *member else { return None };
            let (at, bits) = if of.flag { (at & 0x00ff_ffff, at >> 24) } else { (at, 0) };
            Some(Member {
                name: self.text(name),
                number,
                at,
                bits,
            })
        })
    }

    /// An enumeration's values with their names.
    pub(crate) fn values(&self, of: &Type) -> Vec<(i64, String)> {
        let wide = of.kind == Kind::Enumeration64;
        let value = |words: &[u32]| {
            let (name, low, high) = (*words.first()?, *words.get(1)?, words.get(2).copied());
            let value = match (high.filter(|_| wide), of.flag) {
                (Some(high), _) => (u64::from(high) << 32 | u64::from(low)).cast_signed(),
                (None, true) => i64::from(low.cast_signed()),
                (None, false) => i64::from(low),
            };
            Some((value, self.text(name).to_owned()))
        };
        of.rest.chunks_exact(if wide { 3 } else { 2 }).filter_map(value).collect()
    }

    /// An array's element and how many there are.
    pub(crate) fn elements(of: &Type) -> Option<(u32, u32)> {
        let [element, _, count] = *of.rest.as_slice() else { return None };
        Some((element, count))
    }

    /// How an integer is to be read: its encoding, its first bit, its bits.
    pub(crate) fn encoding(of: &Type) -> Option<(u32, u32, u32)> {
        let encoding = *of.rest.first()?;
        Some((encoding >> 24 & 0xf, encoding >> 16 & 0xff, encoding & 0xff))
    }

    /// Bytes of a type.
    pub(crate) fn bytes(&self, number: u32) -> Option<u64> {
        self.bytes_within(number, NAMES_DEEP)
    }

    fn bytes_within(&self, number: u32, deep: usize) -> Option<u64> {
        let deep = deep.checked_sub(1)?;
        let (_, found) = self.resolved(number)?;
        match found.kind {
            Kind::Integer | Kind::Structure | Kind::Union | Kind::Enumeration | Kind::Enumeration64 | Kind::Float | Kind::Section => {
                Some(u64::from(found.size))
            }
            Kind::Pointer => Some(8),
            Kind::Array => {
                let (element, count) = Self::elements(found)?;
                self.bytes_within(element, deep)?.checked_mul(u64::from(count))
            }
            Kind::Forward | Kind::Alias | Kind::Function | Kind::Prototype | Kind::Variable | Kind::Tag => None,
        }
    }

    fn text(&self, at: u32) -> &str {
        let text = place(at).and_then(|at| self.strings.get(at..)?.split(|byte| *byte == 0).next());
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("")
    }
}

/// What a kind is, and how many words follow its head.
fn kind(number: u32, members: usize) -> Option<(Kind, usize)> {
    Some(match number {
        1 => (Kind::Integer, 1),
        2 => (Kind::Pointer, 0),
        3 => (Kind::Array, 3),
        4 => (Kind::Structure, members * 3),
        5 => (Kind::Union, members * 3),
        6 => (Kind::Enumeration, members * 2),
        7 => (Kind::Forward, 0),
        8..=11 | 18 => (Kind::Alias, 0),
        12 => (Kind::Function, 0),
        13 => (Kind::Prototype, members * 2),
        14 => (Kind::Variable, 1),
        15 => (Kind::Section, members * 3),
        16 => (Kind::Float, 0),
        17 => (Kind::Tag, 1),
        19 => (Kind::Enumeration64, members * 3),
        _ => return None,
    })
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn place(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

/// What BTF begins with, in the order of machines that have the lowest byte first.
const MAGIC: &[u8] = &[0x9f, 0xeb];
const HEAD: usize = 12;
/// Most names and properties upon each other, and most arrays within each other.
const NAMES_DEEP: usize = 32;
