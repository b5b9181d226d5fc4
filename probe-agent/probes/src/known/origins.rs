//! Who announces which addresses.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packed::{PackedV4, PackedV6};
use super::{NAME_CHARACTERS, Unusable, database, origin_lines};
use crate::text;

/// Autonomous systems by the prefixes that they announce, from one or several files. Of two prefixes the longer counts, of two files with the same
/// prefix the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Origins {
    v4: PackedV4,
    v6: PackedV6,
    names: Names,
}

/// Who announces an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// In ascending order.
    pub(crate) systems: Vec<u32>,
    pub(crate) name: Option<String>,
    pub(crate) prefix: String,
}

/// Names by numbers, in ascending order; the texts stand one after another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Each number, and where its name ends.
    ends: Vec<(u32, usize)>,
    text: String,
}

/// What is read from one file.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    v4: PackedV4,
    v6: PackedV6,
    names: BTreeMap<u32, Box<str>>,
    /// Room that the files before it have left.
    room: (usize, usize),
}

impl Origins {
    /// Reads a file of lines as CAIDA publishes them for IPv4 and IPv6 (`pfx2as`): a network, the length of its prefix, the numbers of the systems
    /// that announce it, apart by `_` where several do, and by `,` where they do as a set. Says how many prefixes it has.
    ///
    /// # Errors
    /// [`Unusable`]; nothing of the file is taken then.
    pub fn read_lines(&mut self, input: impl BufRead) -> Result<usize, Unusable> {
        let mut gathered = self.begin();
        origin_lines::read(input, &mut gathered)?;
        self.take_in(gathered)
    }

    /// Reads a database in the format of `MaxMind`, whose records have `autonomous_system_number` and may have `autonomous_system_organization`. Says how many
    /// prefixes it has.
    ///
    /// # Errors
    /// [`Unusable`]; nothing of the file is taken then.
    pub fn read_database(&mut self, bytes: &[u8]) -> Result<usize, Unusable> {
        let mut gathered = self.begin();
        database::read(bytes, &mut gathered)?;
        self.take_in(gathered)
    }

    /// Who announces an address, as far as a file says it.
    pub(super) fn of(&self, address: IpAddr) -> Option<Origin> {
        let (prefix, systems) = match address {
            IpAddr::V4(address) => {
                let (length, systems) = self.v4.longest(&address.octets())?;
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0);
                (format!("{}/{length}", Ipv4Addr::from(address.to_bits() & mask)), first(systems))
            }
            IpAddr::V6(address) => {
                let (length, systems) = self.v6.longest(&address.octets())?;
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0);
                (format!("{}/{length}", Ipv6Addr::from(address.to_bits() & mask)), first(systems))
            }
        };
        let only = systems.first().filter(|_| systems.len() == 1);
        let name = only.and_then(|system| self.names.of(*system));
        Some(Origin {
            name: name.map(str::to_owned),
            systems,
            prefix,
        })
    }

    fn begin(&self) -> Gathered {
        Gathered {
            room: (V4_MAX.saturating_sub(self.v4.len()), V6_MAX.saturating_sub(self.v6.len())),
            ..Gathered::default()
        }
    }

    fn take_in(&mut self, mut gathered: Gathered) -> Result<usize, Unusable> {
        gathered.v4.order();
        gathered.v6.order();
        let prefixes = gathered.v4.prefixes() + gathered.v6.prefixes();
        if prefixes == 0 {
            return Err(Unusable::Empty);
        }
        self.v4.take_in(gathered.v4);
        self.v6.take_in(gathered.v6);
        self.names.take_in(gathered.names);
        Ok(prefixes)
    }
}

impl Gathered {
    /// Adds a prefix that a system announces; all of its bits behind its length are 0.
    pub(super) fn add(&mut self, network: IpAddr, length: u8, system: u32) -> Result<(), Unusable> {
        let (entries, most) = match network {
            IpAddr::V4(network) => {
                self.v4.push(&network.octets(), length, system);
                (self.v4.len().saturating_sub(self.room.0), V4_MAX)
            }
            IpAddr::V6(network) => {
                self.v6.push(&network.octets(), length, system);
                (self.v6.len().saturating_sub(self.room.1), V6_MAX)
            }
        };
        if entries > 0 { Err(Unusable::TooMany { most }) } else { Ok(()) }
    }

    /// Notes what a system is called, where it has no name yet.
    pub(super) fn name(&mut self, system: u32, name: &str) {
        self.names
            .entry(system)
            .or_insert_with(|| text::shown(name.trim(), NAME_CHARACTERS).into_boxed_str());
    }
}

impl Names {
    fn of(&self, number: u32) -> Option<&str> {
        let place = self.ends.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, end) = self.ends.get(place)?;
        let begin = place.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| *end);
        self.text.get(begin..*end).filter(|name| !name.is_empty())
    }

    fn take_in(&mut self, mut more: BTreeMap<u32, Box<str>>) {
        if more.is_empty() {
            return;
        }
        for (number, _) in &self.ends {
            if let Some(name) = self.of(*number) {
                more.insert(*number, name.into());
            }
        }
        let mut all = Self::default();
        for (number, name) in more {
            all.text.push_str(&name);
            all.ends.push((number, all.text.len()));
        }
        all.ends.shrink_to_fit();
        all.text.shrink_to_fit();
        *self = all;
    }
}

/// Whether a number can be that of an autonomous system (RFC 7607, RFC 7300).
pub(super) const fn is_system(number: u32) -> bool {
    number != 0 && number != u32::MAX
}

fn first(systems: impl Iterator<Item = u32>) -> Vec<u32> {
    systems.take(SYSTEMS_MAX).collect()
}

/// Most prefixes of IPv4 with their systems: twice as many as the Internet has.
const V4_MAX: usize = 2_000_000;
/// Most of IPv6: four times as many.
const V6_MAX: usize = 1_000_000;
/// Most systems of one prefix that are told.
const SYSTEMS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn of(origins: &Origins, address: &str) -> Option<(Vec<u32>, Option<String>, String)> {
        let origin = origins.of(address.parse().unwrap())?;
        Some((origin.systems, origin.name, origin.prefix))
    }

    #[test]
    fn the_longest_prefix_of_all_files_counts_and_names_are_found_by_number() {
        let mut origins = Origins::default();
        let text = "8.0.0.0\t8\t64500\n8.8.0.0\t16\t64501_64502\n2a00::\t16\t64503,64504\n";
        assert_eq!(origins.read_lines(text.as_bytes()).unwrap(), 3);
        let mut named = origins.begin();
        named.add("8.8.8.0".parse().unwrap(), 24, 64_505).unwrap();
        named.add("8.0.0.0".parse().unwrap(), 8, 64_999).unwrap();
        named.name(64_500, " Exam\u{7}ple \u{1b}[31mTransit ");
        named.name(64_501, "Never told: it is one of two");
        named.name(64_505, "");
        origins.take_in(named).unwrap();
        assert_eq!(
            of(&origins, "8.1.2.3"),
            Some((vec![64_500], Some("Example [31mTransit".to_owned()), "8.0.0.0/8".to_owned()))
        );
        assert_eq!(of(&origins, "8.8.1.1"), Some((vec![64_501, 64_502], None, "8.8.0.0/16".to_owned())));
        assert_eq!(of(&origins, "8.8.8.8"), Some((vec![64_505], None, "8.8.8.0/24".to_owned())));
        assert_eq!(of(&origins, "2a01::1"), None);
        assert_eq!(of(&origins, "2a00:0:1::1"), Some((vec![64_503, 64_504], None, "2a00::/16".to_owned())));
        assert_eq!(of(&origins, "9.0.0.0"), None);
    }

    #[test]
    fn of_names_the_first_is_kept_and_a_long_one_is_cut() {
        let mut names = Names::default();
        names.take_in([(7, "seven".into()), (3, "three".into())].into());
        names.take_in([(3, "another".into()), (5, "five".into())].into());
        assert_eq!([3, 5, 7, 4].map(|number| names.of(number)), [Some("three"), Some("five"), Some("seven"), None]);
        let mut gathered = Gathered::default();
        gathered.name(1, &"ä".repeat(1_000));
        assert_eq!(gathered.names.get(&1).unwrap().chars().count(), 128);
    }

    #[test]
    fn kno_04_a_file_with_more_prefixes_than_there_can_be_is_refused_whole() {
        let mut origins = Origins::default();
        origins.read_lines(&b"8.0.0.0\t8\t64500\n"[..]).unwrap();
        let mut gathered = origins.begin();
        let mut add = |number: u32| gathered.add(Ipv4Addr::from(0x0900_0000 + number).into(), 32, 1);
        (0..1_999_999).for_each(|number| add(number).unwrap());
        assert!(matches!(add(1_999_999), Err(Unusable::TooMany { most: 2_000_000 })));
    }

    #[test]
    fn a_prefix_takes_nine_bytes() {
        const PREFIXES: u32 = 100_000;
        // Blocks of 256 addresses from 8.0.0.0 on, in the order of no number; 7,919 is prime to their count.
        let network = |number: u32| Ipv4Addr::from(0x0800_0000 + (number * 7_919) % PREFIXES * 256);
        let mut text = String::new();
        for number in 0..PREFIXES {
            writeln!(text, "{}\t24\t{}", network(number), number + 1).unwrap();
        }
        let mut origins = Origins::default();
        assert_eq!(origins.read_lines(text.as_bytes()).unwrap(), 100_000);
        assert_eq!(origins.v4.bytes(), 900_000);
        for number in [0, 1, 77_777, PREFIXES - 1] {
            let origin = of(&origins, &network(number).to_string()).unwrap();
            assert_eq!((origin.0, origin.2), (vec![number + 1], format!("{}/24", network(number))));
        }
    }

    #[test]
    fn of_many_systems_of_one_prefix_sixteen_are_told() {
        let mut text = "8.0.0.0\t8\t1".to_owned();
        for number in 2..40 {
            write!(text, "_{number}").unwrap();
        }
        let mut origins = Origins::default();
        origins.read_lines(text.as_bytes()).unwrap();
        assert_eq!(of(&origins, "8.0.0.1").unwrap().0, (1..=16).collect::<Vec<_>>());
    }
}
