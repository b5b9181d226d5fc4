//! Databases in the format of `MaxMind`, with a record for each prefix. Everything is read once: what is found later cannot turn out to be broken.

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;

use super::Unusable;
use super::origins::{Gathered, is_system};
use crate::text;

/// What a record says of an autonomous system.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    autonomous_system_number: Option<u32>,
    #[serde(default, borrow)]
    autonomous_system_organization: Option<&'a str>,
}

/// Reads every record.
pub(super) fn read(bytes: &[u8], into: &mut Gathered) -> Result<(), Unusable> {
    let reader = Reader::from_source(bytes).map_err(|error| bad(&error))?;
    // A tree has at most one leaf more than nodes; one whose branches grow together again has more, as many as a machine can count.
    let most = usize::try_from(reader.metadata().node_count)
        .unwrap_or(usize::MAX)
        .saturating_add(1)
        .saturating_mul(2);
    let networks = reader
        .networks(WithinOptions::default().include_networks_without_data())
        .map_err(|error| bad(&error))?;
    for (count, found) in networks.enumerate() {
        if count >= most {
            return Err(Unusable::Database("its search tree has more leaves than nodes".to_owned()));
        }
        let found = found.map_err(|error| bad(&error))?;
        let Some(record) = found.decode::<Record<'_>>().map_err(|error| bad(&error))? else {
            continue;
        };
        let network = found.network().map_err(|error| bad(&error))?;
        let Some(system) = record.autonomous_system_number.filter(|number| is_system(*number) && network.prefix() > 0) else {
            continue;
        };
        into.add(network.ip(), network.prefix(), system)?;
        if let Some(name) = record.autonomous_system_organization {
            into.name(system, name);
        }
    }
    Ok(())
}

fn bad(error: &MaxMindDbError) -> Unusable {
    Unusable::Database(text::shown(&error.to_string(), MESSAGE_CHARACTERS))
}

/// Most characters of what is said of a broken database.
const MESSAGE_CHARACTERS: usize = 256;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use crate::known::Origins;

    const SAVED: &str = include_str!("../../corpus/origin_database.txt");

    /// The database at this place of the corpus.
    fn saved(place: usize) -> Vec<u8> {
        let line = SAVED.lines().filter_map(|line| line.strip_prefix("hex ")).nth(place).unwrap();
        let digits = (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap());
        digits.collect()
    }

    fn of(origins: &Origins, address: &str) -> Option<(Vec<u32>, Option<String>, String)> {
        let origin = origins.of(address.parse().unwrap())?;
        Some((origin.systems, origin.name, origin.prefix))
    }

    #[test]
    fn records_of_both_families_are_read_with_their_names() {
        let mut origins = Origins::default();
        assert_eq!(origins.read_database(&saved(0)).unwrap(), 4, "a record without a number says nothing");
        assert_eq!(origins.read_database(&saved(1)).unwrap(), 1, "0 is no number of a system");
        for (address, expected) in [
            ("203.0.113.9", Some((64_500, Some("Example Transit"), "203.0.113.0/24"))),
            ("8.127.0.1", Some((64_501, Some("Example[31m Access"), "8.0.0.0/9"))),
            ("8.191.0.1", Some((64_501, Some("Example[31m Access"), "8.128.0.0/10"))),
            ("8.8.0.1", Some((64_502, Some("Eight"), "8.8.0.0/16"))),
            ("2a0f::1", Some((65_536, None, "2a00::/12"))),
            ("8.192.0.1", None),
            ("9.0.0.1", None),
            ("2a10::", None),
        ] {
            let expected = expected.map(|(system, name, prefix): (u32, Option<&str>, &str)| (vec![system], name.map(str::to_owned), prefix.to_owned()));
            assert_eq!(of(&origins, address), expected, "{address}");
        }
    }

    #[test]
    fn kno_08_what_is_no_whole_database_is_refused() {
        let good = saved(0);
        let marker = good.windows(14).position(|bytes| bytes == b"\xab\xcd\xefMaxMind.com").unwrap();
        let with = |at: usize, bytes: &[u8]| [&good[..at], bytes, &good[at + bytes.len()..]].concat();
        let text = |name: &str| good.windows(name.len()).position(|bytes| bytes == name.as_bytes()).unwrap();
        for (bytes, what) in [
            (Vec::new(), "nothing"),
            (b"8.0.0.0\t8\t64500\n".to_vec(), "lines"),
            (good[..marker].to_vec(), "its end is missing"),
            (good[marker / 2..].to_vec(), "its beginning is missing"),
            (with(0, &[0xff; 6]), "a node that points behind the file"),
            // A size of 255 instead of the 15 of "Example Transit".
            (with(text("Example Transit") - 1, b"\x5d\xff"), "a text of another length"),
            (with(text("autonomous_system_number") + 24, b"\x44"), "a number that is a text"),
        ] {
            let mut origins = Origins::default();
            let refused = origins.read_database(&bytes).expect_err(what);
            assert_eq!(refused.code(), "file_bad_database", "{what}: {refused}");
            assert_eq!(origins, Origins::default(), "{what}");
        }
    }

    #[test]
    fn kno_08_a_tree_whose_branches_grow_together_again_is_given_up() {
        // Every node leads twice to the next, the last to the first record: 2^96 leaves.
        let mut grown = saved(1);
        let marker = grown.windows(14).position(|bytes| bytes == b"\xab\xcd\xefMaxMind.com").unwrap();
        let nodes = grown[..marker].windows(16).position(|bytes| bytes == [0; 16]).unwrap() / 6;
        for node in 0..nodes {
            let next = u32::try_from(if node + 1 == nodes { nodes + 16 } else { node + 1 }).unwrap().to_be_bytes();
            grown[node * 6..node * 6 + 3].copy_from_slice(&next[1..]);
            grown[node * 6 + 3..node * 6 + 6].copy_from_slice(&next[1..]);
        }
        let refused = Origins::default().read_database(&grown).unwrap_err().to_string();
        assert!(refused.contains("more leaves than nodes"), "{refused}");
    }

    #[test]
    fn kno_08_fuzz_origin_database() {
        Target::new("origin_database", SAVED).survives(|bytes| {
            let mut origins = Origins::default();
            let read = origins.read_database(bytes);
            assert!(read.is_ok() || origins == Origins::default(), "what is refused leaves nothing");
            for address in ["8.0.0.1", "203.0.113.1", "2a00::1", "ffff::"] {
                let origin = origins.of(address.parse().unwrap());
                assert!(origin.is_none_or(|origin| !origin.systems.is_empty() && origin.name.is_none_or(|name| name.chars().count() <= 128)));
            }
            Reading::of(read.is_ok())
        });
    }
}
