//! Addresses of interfaces on an Ethernet (IEEE 802, EUI-48), in their one plain spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address of an interface on an Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The address of these bytes.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// Its bytes, in the order in which they travel.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether whoever uses it has made it up, and no registry has given it away: the second lowest bit of its first byte (IEEE 802).
    pub const fn is_local(self) -> bool {
        self.0[0] & LOCAL != 0
    }

    /// Whether it can be the address of one interface: none that stands for several (its lowest bit), and not the one of nobody.
    pub fn is_of_one(self) -> bool {
        self.0[0] & GROUP == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let between = if place > 0 { ":" } else { "" };
            write!(formatter, "{between}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = InvalidMacAddress;

    fn from_str(text: &str) -> Result<Self, InvalidMacAddress> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(InvalidMacAddress)?;
            let plain = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| plain).ok_or(InvalidMacAddress)?;
        }
        if parts.next().is_some() {
            return Err(InvalidMacAddress);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMacAddress;

    fn try_from(text: String) -> Result<Self, InvalidMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

/// The text is no address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be six bytes in hexadecimal, as 02:00:5e:10:00:01")]
pub struct InvalidMacAddress;

/// Set in addresses that stand for several interfaces.
const GROUP: u8 = 1;
/// Set in addresses that no registry has given away.
const LOCAL: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written_and_odd_spellings_are_refused() {
        for (text, shown) in [("02:00:5e:10:00:01", "02:00:5e:10:00:01"), ("AA:bb:0C:00:00:ff", "aa:bb:0c:00:00:ff")] {
            assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "02",
            "2:0:5e:10:0:1",
            "02-00-5e-10-00-01",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "+2:00:5e:10:00:01",
            "02:00:5e:10:00:0g",
        ] {
            assert_eq!(text.parse::<MacAddress>(), Err(InvalidMacAddress), "{text}");
        }
    }

    #[test]
    fn groups_and_nobody_are_not_one_and_what_a_host_made_up_is_local() {
        let is_of_one = |text: &str| text.parse::<MacAddress>().unwrap().is_of_one();
        assert!(is_of_one("02:00:00:00:00:01") && is_of_one("00:00:00:00:00:01"));
        let is_local = |text: &str| text.parse::<MacAddress>().unwrap().is_local();
        assert!(is_local("02:00:00:00:00:01") && is_local("fe:00:00:00:00:01") && !is_local("00:00:5e:00:00:01") && !is_local("ac:de:48:00:00:02"));
        assert!(!is_of_one("ff:ff:ff:ff:ff:ff") && !is_of_one("01:00:5e:00:00:01") && !is_of_one("33:33:00:00:00:01") && !is_of_one("00:00:00:00:00:00"));
    }
}
