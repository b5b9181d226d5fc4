//! Prefixes of one family with numbers, as small as they go: a network, the length of its prefix and a number stand in a row of bytes, and the rows
//! in order. A million of IPv4 take nine megabytes; a tree takes several times that.

/// Rows of `N` bytes: those of a network's address, one for the length of its prefix, four for the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed<const N: usize> {
    rows: Vec<[u8; N]>,
    /// Lengths that some row has, the bit of the lowest for 1.
    lengths: u128,
}

/// Rows of IPv4.
pub(super) type PackedV4 = Packed<9>;
/// Rows of IPv6.
pub(super) type PackedV6 = Packed<21>;

impl<const N: usize> Default for Packed<N> {
    fn default() -> Self {
        Self { rows: Vec::new(), lengths: 0 }
    }
}

impl<const N: usize> Packed<N> {
    /// Adds a prefix; its bits behind its length do not count. It is found once the rows are in order.
    pub(super) fn push(&mut self, network: &[u8], length: u8, number: u32) {
        self.rows.push(row(network, length, number));
        self.lengths |= bit(length);
    }

    /// How many prefixes there are, whatever their numbers; rows are in order.
    pub(super) fn prefixes(&self) -> usize {
        self.rows.chunk_by(is_same_prefix).count()
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What the rows take of the memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * N
    }

    /// Puts the rows in order, each once.
    pub(super) fn order(&mut self) {
        self.rows.sort_unstable();
        self.rows.dedup();
        self.rows.shrink_to_fit();
    }

    /// Takes in what another has, in order both, but for prefixes that are here already.
    pub(super) fn take_in(&mut self, mut other: Self) {
        other.rows.retain(|row| !self.has(row));
        if self.rows.is_empty() {
            self.rows = other.rows;
        } else {
            self.rows.append(&mut other.rows);
        }
        self.lengths |= other.lengths;
        self.order();
    }

    /// The longest prefix that holds an address: its length and its numbers, in order. Rows are in order.
    pub(super) fn longest<'a>(&'a self, address: &[u8]) -> Option<(u8, impl Iterator<Item = u32> + use<'a, N>)> {
        let most = u8::try_from(N.saturating_sub(TAIL) * 8).unwrap_or(u8::MAX);
        let mut lengths = (1..=most).rev().filter(|length| self.lengths & bit(*length) != 0);
        lengths.find_map(|length| {
            let wanted: [u8; N] = row(address, length, 0);
            let rows = self.starting_at(&wanted);
            rows.first().filter(|row| is_same_prefix(row, &wanted))?;
            let numbers = rows.iter().take_while(move |row| is_same_prefix(row, &wanted)).map(number);
            Some((length, numbers))
        })
    }

    fn has(&self, wanted: &[u8; N]) -> bool {
        let (prefix, _) = wanted.split_at(N.saturating_sub(NUMBER));
        let mut first = [0; N];
        first.iter_mut().zip(prefix).for_each(|(place, byte)| *place = *byte);
        self.starting_at(&first).first().is_some_and(|row| is_same_prefix(row, wanted))
    }

    fn starting_at(&self, first: &[u8; N]) -> &[[u8; N]] {
        let place = self.rows.partition_point(|row| row < first);
        self.rows.get(place..).unwrap_or_default()
    }
}

fn row<const N: usize>(network: &[u8], length: u8, number: u32) -> [u8; N] {
    let masked = network
        .iter()
        .zip((0_u8..).step_by(8))
        .map(|(byte, before)| byte & high_bits(length.saturating_sub(before)));
    let mut row = [0; N];
    let bytes = masked.chain([length]).chain(number.to_be_bytes());
    row.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    row
}

/// The byte with so many of its highest bits set.
const fn high_bits(count: u8) -> u8 {
    if count >= 8 { u8::MAX } else { !(u8::MAX >> count) }
}

const fn bit(length: u8) -> u128 {
    if length == 0 { 0 } else { 1 << ((length - 1) & 127) }
}

fn is_same_prefix<const N: usize>(one: &[u8; N], other: &[u8; N]) -> bool {
    one.iter().zip(other).take(N.saturating_sub(NUMBER)).all(|(one, other)| one == other)
}

fn number<const N: usize>(row: &[u8; N]) -> u32 {
    row.iter()
        .skip(N.saturating_sub(NUMBER))
        .fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

/// Bytes of a number.
const NUMBER: usize = 4;
/// Bytes behind the network.
const TAIL: usize = NUMBER + 1;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    type Plain = (u32, u8, u32);

    /// By looking at each.
    fn slowly(all: &[Plain], address: u32) -> Option<(u8, Vec<u32>)> {
        let holds = |(network, length, _): &&Plain| (network ^ address).checked_shr(32 - u32::from(*length)).unwrap_or(0) == 0;
        let length = all.iter().filter(holds).map(|(_, length, _)| *length).max()?;
        let mut numbers: Vec<u32> = all.iter().filter(holds).filter(|found| found.1 == length).map(|found| found.2).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Some((length, numbers))
    }

    fn packed(all: &[Plain]) -> PackedV4 {
        let mut packed = PackedV4::default();
        for (network, length, number) in all {
            packed.push(&Ipv4Addr::from(*network).octets(), *length, *number);
        }
        packed.order();
        packed
    }

    fn found(packed: &PackedV4, address: u32) -> Option<(u8, Vec<u32>)> {
        let (length, numbers) = packed.longest(&Ipv4Addr::from(address).octets())?;
        Some((length, numbers.collect()))
    }

    proptest! {
        #[test]
        fn the_longest_is_found_as_by_looking_at_each(
            all in prop::collection::vec((any::<u32>().prop_map(|bits| bits & 0x0f0f_00ff), 1_u8..=32, 1_u32..4), 0..40),
            addresses in prop::collection::vec(any::<u32>().prop_map(|bits| bits & 0x0f0f_00ff), 1..20),
        ) {
            let packed = packed(&all);
            for address in addresses.iter().copied().chain(all.iter().map(|found| found.0)) {
                prop_assert_eq!(found(&packed, address), slowly(&all, address));
            }
        }
    }

    #[test]
    fn what_is_taken_in_does_not_change_what_is_there() {
        let mut first = packed(&[(0x0800_0000, 8, 1), (0x0900_0000, 8, 2)]);
        first.take_in(packed(&[(0x0800_0000, 8, 7), (0x0800_0000, 16, 8), (0x0900_0000, 8, 9), (0x0a00_0000, 8, 3)]));
        for (address, expected) in [
            (0x0800_0001, (16, vec![8])),
            (0x0801_0000, (8, vec![1])),
            (0x0900_0001, (8, vec![2])),
            (0x0a00_0001, (8, vec![3])),
        ] {
            assert_eq!(found(&first, address), Some(expected));
        }
        assert_eq!(first.len(), 4);
    }

    #[test]
    fn the_longest_prefixes_there_can_be_are_found() {
        let mut six = PackedV6::default();
        six.push(&[0x2a; 16], 128, 5);
        six.push(&[0x2a; 16], 1, 6);
        six.order();
        let (length, numbers) = six.longest(&[0x2a; 16]).unwrap();
        assert_eq!((length, numbers.collect::<Vec<_>>()), (128, vec![5]));
        let (length, _) = six.longest(&[0; 16]).unwrap();
        assert_eq!(length, 1);
        assert!(six.longest(&[0xff; 16]).is_none());
    }
}
