//! The types of an object as its BTF describes them, beside ours. For tests only: a field that moved in one place must not be read in another.

use std::collections::BTreeMap;

use crate::btf::{Content, word};

/// What BTF says of a structure: its size, and each field with its first byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) bytes: u32,
    pub(crate) fields: BTreeMap<String, u32>,
}

/// Asserts that a type of ours lies in memory as the structure of this name in an object does.
macro_rules! assert_same_layout {
    ($object:expr, $name:literal, $ours:ty { $($field:ident),* $(,)? }) => {
        let ours = $crate::layout::Layout {
            bytes: u32::try_from(size_of::<$ours>()).unwrap(),
            fields: [$((stringify!($field).to_owned(), u32::try_from(std::mem::offset_of!($ours, $field)).unwrap())),*].into(),
        };
        assert_eq!($crate::layout::of($object, $name), ours);
    };
}
pub(crate) use assert_same_layout;

/// Reads the layout of a structure out of an object.
pub(crate) fn of(object: &[u8], name: &str) -> Layout {
    let content = Content::of(section(object, ".BTF")).unwrap();
    let found = content
        .types()
        .find(|described| described.kind == STRUCT && content.text(described.name_at) == Some(name));
    let found = found.unwrap_or_else(|| panic!("no structure {name}"));
    let fields = found.members.chunks_exact(12).map(|member| {
        let name = content.text(word(member, 0).unwrap()).unwrap();
        (name.to_owned(), word(member, 8).unwrap() / 8)
    });
    Layout {
        bytes: found.size,
        fields: fields.collect(),
    }
}

/// A section of an ELF file of 64 bits.
fn section<'a>(object: &'a [u8], name: &str) -> &'a [u8] {
    let long = |at: usize| usize::try_from(u64::from_le_bytes(object[at..at + 8].try_into().unwrap())).unwrap();
    let short = |at: usize| usize::from(u16::from_le_bytes(object[at..at + 2].try_into().unwrap()));
    let (headers, each, count, names) = (long(0x28), short(0x3a), short(0x3c), short(0x3e));
    let content = |number: usize| {
        let header = headers + number * each;
        &object[long(header + 0x18)..long(header + 0x18) + long(header + 0x20)]
    };
    let is_it = |number: &usize| {
        let at = usize::try_from(word(object, headers + number * each).unwrap()).unwrap();
        content(names)[at..].starts_with(&[name.as_bytes(), &[0]].concat())
    };
    content((0..count).find(is_it).unwrap_or_else(|| panic!("no section {name}")))
}

const STRUCT: u32 = 4;
