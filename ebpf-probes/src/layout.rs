//! The types of an object as its BTF describes them, beside ours. For tests only: a field that moved in one place must not be read in another.

use std::collections::BTreeMap;

/// What BTF says of a structure: its size, and each field with its first byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) bytes: usize,
    pub(crate) fields: BTreeMap<String, usize>,
}

/// Asserts that a type of ours lies in memory as the structure of this name in an object does.
macro_rules! assert_same_layout {
    ($object:expr, $name:literal, $ours:ty { $($field:ident),* $(,)? }) => {
        let ours = $crate::layout::Layout {
            bytes: size_of::<$ours>(),
            fields: [$((stringify!($field).to_owned(), std::mem::offset_of!($ours, $field))),*].into(),
        };
        assert_eq!($crate::layout::of($object, $name), ours);
    };
}
pub(crate) use assert_same_layout;

/// Reads the layout of a structure out of an object.
pub(crate) fn of(object: &[u8], name: &str) -> Layout {
    let btf = section(object, ".BTF");
    let (types_at, types_bytes) = (word(btf, 8), word(btf, 12));
    let strings = &btf[word(btf, 4) + word(btf, 16)..];
    let mut at = word(btf, 4) + types_at;
    let end = at + types_bytes;
    while at < end {
        let (name_at, info, size) = (word(btf, at), word(btf, at + 4), word(btf, at + 8));
        let (kind, members) = (info >> 24 & 0x1f, info & 0xffff);
        if kind == STRUCT && text(strings, name_at) == name {
            let fields = (0..members).map(|number| {
                let member = at + HEADER + number * 12;
                (text(strings, word(btf, member)), word(btf, member + 8) / 8)
            });
            return Layout {
                bytes: size,
                fields: fields.collect(),
            };
        }
        at += HEADER + extra(kind, members);
    }
    panic!("no structure {name}")
}

/// Bytes after a type's header (include/uapi/linux/btf.h).
fn extra(kind: usize, members: usize) -> usize {
    match kind {
        // Integer, variable, tag of a declaration.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Structure, union, section, enumeration of 64 bits.
        4 | 5 | 15 | 19 => members * 12,
        // Enumeration, prototype.
        6 | 13 => members * 8,
        _ => 0,
    }
}

fn section<'a>(object: &'a [u8], name: &str) -> &'a [u8] {
    let long = |at: usize| usize::try_from(u64::from_le_bytes(object[at..at + 8].try_into().unwrap())).unwrap();
    let short = |at: usize| usize::from(u16::from_le_bytes(object[at..at + 2].try_into().unwrap()));
    let (headers, each, count, names) = (long(0x28), short(0x3a), short(0x3c), short(0x3e));
    let content = |number: usize| {
        let header = headers + number * each;
        &object[long(header + 0x18)..long(header + 0x18) + long(header + 0x20)]
    };
    let names = content(names);
    let found = (0..count).find(|number| text(names, word(object, headers + number * each)) == name);
    content(found.unwrap_or_else(|| panic!("no section {name}")))
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
}

fn text(strings: &[u8], at: usize) -> String {
    let text = strings[at..].split(|byte| *byte == 0).next().unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

const STRUCT: usize = 4;
const HEADER: usize = 12;
