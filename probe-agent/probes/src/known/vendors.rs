//! Who makes which interfaces.

use std::collections::HashMap;
use std::io::BufRead;

use shared_protocol::mac_address::MacAddress;

use super::{NAME_CHARACTERS, Unusable, vendor_lines};
use crate::text;

/// Vendors by the blocks of addresses that the IEEE has given them, from one or several files. Of two blocks the smaller counts, of two entries
/// for one block the first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Vendors {
    /// Blocks in order, and the places of their names.
    blocks: Vec<(Block, u32)>,
    names: Vec<Box<str>>,
}

/// A block of addresses: its first, and how many bits all of them share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Block {
    pub(super) first: u64,
    pub(super) bits: u8,
}

/// What is read from one file.
#[derive(Debug, Default)]
pub(super) struct Assignments {
    found: Vec<(Block, Box<str>)>,
    /// Room that the files before it have left.
    room: usize,
}

impl Vendors {
    /// Reads a file of the IEEE, as text (`oui.txt` and its like) or comma-separated (`oui.csv`), of large, medium or small blocks. Says how many
    /// blocks it names.
    ///
    /// # Errors
    /// [`Unusable`]; nothing of the file is taken then.
    pub fn read(&mut self, input: impl BufRead) -> Result<usize, Unusable> {
        let mut assignments = Assignments {
            room: BLOCKS_MAX.saturating_sub(self.blocks.len()),
            ..Assignments::default()
        };
        vendor_lines::read(input, &mut assignments)?;
        let entries = assignments.found.len();
        if entries == 0 {
            return Err(Unusable::Empty);
        }
        self.take_in(assignments);
        Ok(entries)
    }

    /// To whom the block that an address is from was given, as far as a file says it.
    pub(super) fn of(&self, mac: MacAddress) -> Option<String> {
        let address = mac.octets().iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        SIZES.into_iter().find_map(|bits| {
            let wanted = Block {
                first: (address >> (ADDRESS_BITS - bits)) << (ADDRESS_BITS - bits),
                bits,
            };
            let place = self.blocks.binary_search_by_key(&wanted, |(block, _)| *block).ok()?;
            let (_, name) = self.blocks.get(place)?;
            self.names.get(usize::try_from(*name).ok()?).map(|name| name.clone().into_string())
        })
    }

    fn take_in(&mut self, assignments: Assignments) {
        // Some vendors have thousands of blocks.
        let mut places: HashMap<Box<str>, u32> = self.names.drain(..).zip(0..).collect();
        for (block, name) in assignments.found {
            let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
            self.blocks.push((block, *places.entry(name).or_insert(next)));
        }
        // The sort is stable: what was there first stays first.
        self.blocks.sort_by_key(|(block, _)| *block);
        self.blocks.dedup_by_key(|(block, _)| *block);
        self.blocks.shrink_to_fit();
        let mut names: Vec<(u32, Box<str>)> = places.into_iter().map(|(name, place)| (place, name)).collect();
        names.sort_unstable_by_key(|(place, _)| *place);
        self.names = names.into_iter().map(|(_, name)| name).collect();
    }
}

impl Assignments {
    /// Adds a block. Those that the registry has kept to give away in smaller ones have no vendor of their own.
    ///
    /// # Errors
    /// [`Unusable::TooMany`] where there is no room.
    pub(super) fn add(&mut self, block: Block, name: &str) -> Result<(), Unusable> {
        let name = text::shown(name.trim(), NAME_CHARACTERS);
        if name.is_empty() || name == REGISTRY {
            return Ok(());
        }
        if self.found.len() >= self.room {
            return Err(Unusable::TooMany { most: BLOCKS_MAX });
        }
        self.found.push((block, name.into_boxed_str()));
        Ok(())
    }
}

impl Block {
    /// The block whose addresses begin with these hexadecimal digits: six, seven or nine of them.
    pub(super) fn of_digits(digits: &str) -> Option<Self> {
        let bits = match digits.len() {
            6 => LARGE,
            7 => MEDIUM,
            9 => SMALL,
            _ => return None,
        };
        let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| plain)?;
        Some(Self {
            first: number << (ADDRESS_BITS - bits),
            bits,
        })
    }

    /// The part of a large block from one address to another, both without their first 24 bits: a medium or small block, or all of it.
    pub(super) fn part(self, first: u64, last: u64) -> Option<Self> {
        let bits = SIZES
            .into_iter()
            .find(|bits| last.checked_sub(first) == Some((1 << (ADDRESS_BITS - bits)) - 1))?;
        let is_whole = first.is_multiple_of(1 << (ADDRESS_BITS - bits)) && last < 1 << (ADDRESS_BITS - LARGE);
        is_whole.then_some(Self {
            first: self.first | first,
            bits,
        })
    }
}

/// How the registry calls itself where it has given a block away in smaller ones.
const REGISTRY: &str = "IEEE Registration Authority";
/// Bits that the addresses of a small block share (MA-S, and IAB before it).
const SMALL: u8 = 36;
/// Of a medium one (MA-M).
const MEDIUM: u8 = 28;
/// Of a large one (MA-L).
const LARGE: u8 = 24;
/// The smallest first.
const SIZES: [u8; 3] = [SMALL, MEDIUM, LARGE];
const ADDRESS_BITS: u8 = 48;
/// Most blocks of all files: several times as many as were given away.
const BLOCKS_MAX: usize = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vendors: &Vendors, mac: &str) -> Option<String> {
        vendors.of(mac.parse().unwrap())
    }

    #[test]
    fn the_smallest_block_of_all_files_counts() {
        let mut vendors = Vendors::default();
        let large = "00-1B-C5   (hex)\t\tIEEE Registration Authority\n00-00-5E   (hex)\t\tLarge\n10-E9-92   (hex)\t\tLarge\n00-00-5E   (hex)\t\tSecond\n";
        assert_eq!(vendors.read(large.as_bytes()).unwrap(), 3);
        let medium = "10-E9-92   (hex)\t\tMedium\n500000-5FFFFF     (base 16)\t\tMedium\n";
        assert_eq!(vendors.read(medium.as_bytes()).unwrap(), 1);
        let small = "Registry,Assignment,Organization Name,Organization Address\nMA-S,10E992501,\"Small, Inc.\",\"A \"\"street\"\"\nof two lines\"\nMA-S,001BC5000,Other,\n";
        assert_eq!(vendors.read(small.as_bytes()).unwrap(), 2);
        for (mac, expected) in [
            ("10:e9:92:50:1f:ff", Some("Small, Inc.")),
            ("10:e9:92:50:20:00", Some("Medium")),
            ("10:e9:92:4f:ff:ff", Some("Large")),
            ("00:00:5e:00:00:01", Some("Large")),
            ("00:1b:c5:00:00:01", Some("Other")),
            ("00:1b:c5:00:10:01", None),
            ("00:00:5f:00:00:01", None),
        ] {
            assert_eq!(of(&vendors, mac).as_deref(), expected, "{mac}");
        }
    }

    #[test]
    fn kno_06_a_name_is_cut_and_has_nothing_that_moves_a_terminal() {
        let mut vendors = Vendors::default();
        let text = format!("00-00-5E   (hex)\t\tA\u{1b}[2J\u{8}{}\n00-00-5F   (hex)\t\t\u{7}\n", "b".repeat(200));
        assert_eq!(vendors.read(text.as_bytes()).unwrap(), 1);
        assert_eq!(of(&vendors, "00:00:5e:00:00:01").unwrap(), format!("A[2J{}", "b".repeat(124)));
    }
}
