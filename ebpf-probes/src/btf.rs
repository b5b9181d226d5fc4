//! A look into BTF (Documentation/bpf/btf.rst): what a kernel calls the values of its enumerations, how many arguments its
//! tracepoints have, where a structure has its fields.

use std::collections::BTreeMap;

/// The values of an enumeration by their names; none where there is no such enumeration.
pub(crate) fn enumeration(btf: &[u8], name: &str) -> BTreeMap<u32, String> {
    let Some(content) = Content::of(btf) else { return BTreeMap::new() };
    let found = content
        .types()
        .find(|described| described.kind == ENUM && content.text(described.name_at) == Some(name));
    let Some(found) = found else { return BTreeMap::new() };
    let values = found
        .members
        .chunks_exact(8)
        .filter_map(|member| Some((word(member, 4)?, content.text(word(member, 0)?)?.to_owned())));
    values.collect()
}

/// How many arguments a tracepoint gives its programs; none where the kernel does not say.
pub(crate) fn arguments(btf: &[u8], tracepoint: &str) -> Option<usize> {
    let content = Content::of(btf)?;
    let name = format!("btf_trace_{tracepoint}");
    let named = content
        .types()
        .find(|described| described.kind == TYPEDEF && content.text(described.name_at) == Some(&name))?;
    // Types are numbered from one.
    let numbered = |number: u32| content.types().nth(place(number.checked_sub(1)?)?);
    let pointer = numbered(named.size)?;
    let prototype = numbered(pointer.size).filter(|described| described.kind == PROTOTYPE)?;
    // The first is for the tracepoint itself.
    (prototype.members.len() / 8).checked_sub(1)
}

/// The parts of BTF.
pub(crate) struct Content<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

/// A type as it is described.
pub(crate) struct Described<'a> {
    pub(crate) name_at: u32,
    pub(crate) kind: u32,
    /// Bytes of a structure; the number of the type that a pointer or another name is about.
    pub(crate) size: u32,
    /// What follows the head.
    pub(crate) members: &'a [u8],
}

impl<'a> Content<'a> {
    pub(crate) fn of(btf: &'a [u8]) -> Option<Self> {
        let part = |offset: usize, length: usize| {
            let from = place(word(btf, 4)?)? + place(word(btf, offset)?)?;
            btf.get(from..from.checked_add(place(word(btf, length)?)?)?)
        };
        Some(Self {
            types: part(8, 12)?,
            strings: part(16, 20)?,
        })
    }

    /// All types, in order; ends where something cannot be read.
    pub(crate) fn types(&self) -> impl Iterator<Item = Described<'a>> {
        let mut rest = self.types;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_at_checked(HEAD)?;
            let (info, kind) = (word(head, 4)?, word(head, 4)? >> 24 & 0x1f);
            let (members, next) = after.split_at_checked(extra(kind, place(info & 0xffff)?))?;
            rest = next;
            Some(Described {
                name_at: word(head, 0)?,
                kind,
                size: word(head, 8)?,
                members,
            })
        })
    }

    pub(crate) fn text(&self, at: u32) -> Option<&'a str> {
        let text = self.strings.get(place(at)?..)?.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    }
}

/// Bytes after a type's head.
const fn extra(kind: u32, members: usize) -> usize {
    match kind {
        // Integer, variable, tag of a declaration.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Structure, union, section, enumeration of 64 bits.
        4 | 5 | 15 | 19 => members * 12,
        // Enumeration, prototype.
        ENUM | PROTOTYPE => members * 8,
        _ => 0,
    }
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn place(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const PROTOTYPE: u32 = 13;
const HEAD: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_names_its_reasons() {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let reasons = enumeration(&btf, "skb_drop_reason");
        assert!(reasons.values().any(|name| name == "SKB_DROP_REASON_NETFILTER_DROP"), "{reasons:?}");
        assert!(enumeration(&btf, "no_such_thing").is_empty());
    }

    #[test]
    fn the_running_kernel_says_what_its_tracepoints_give() {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        assert_eq!(arguments(&btf, "inet_sock_set_state"), Some(3));
        assert_eq!(arguments(&btf, "block_rq_complete"), Some(3));
        assert_eq!(arguments(&btf, "no_such_thing"), None);
    }

    #[test]
    fn what_is_cut_off_or_something_else_says_nothing_and_does_no_harm() {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        for length in [0, 3, 23, 24, 25, 1_000] {
            assert!(enumeration(&btf[..length], "skb_drop_reason").is_empty());
            assert_eq!(arguments(&btf[..length], "inet_sock_set_state"), None);
        }
        assert!(enumeration(&[0xff; 4_096], "skb_drop_reason").is_empty());
    }
}
