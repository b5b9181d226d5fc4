//! Ports as people write them: `22,80,8000-8010`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Ports in ascending order, none twice, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortList(Vec<u16>);

impl PortList {
    /// The ports.
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }

    /// How many they are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

impl FromStr for PortList {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        if text.len() > TEXT_BYTES {
            return Err(InvalidPorts::TooMany);
        }
        let mut ports = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(InvalidPorts::Form);
            }
            // No range is looked at beyond the bound.
            ports.extend((first..=last).take(PORTS + 1));
            if ports.len() > PORTS {
                return Err(InvalidPorts::TooMany);
            }
        }
        Ok(Self(ports.into_iter().collect()))
    }
}

/// A port in its plain spelling.
fn port(text: &str) -> Result<u16, InvalidPorts> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten().ok_or(InvalidPorts::Form)
}

impl fmt::Display for PortList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for port in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(*port) => *last = *port,
                Some(_) | None => ranges.push((*port, *port)),
            }
        }
        for (place, (first, last)) in ranges.into_iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            if first == last {
                write!(formatter, "{comma}{first}")?;
            } else {
                write!(formatter, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for PortList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no list of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPorts {
    /// Something else than ports and ranges.
    #[error("must be ports from 1 to 65535 and ranges of them, as 22,80,8000-8010")]
    Form,
    /// More than a probe may ask.
    #[error("must come to at most {PORTS} ports")]
    TooMany,
}

/// Most ports of one probe.
const PORTS: usize = 1_024;
/// Longest text: every port alone, with its comma.
const TEXT_BYTES: usize = PORTS * 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, InvalidPorts> {
        text.parse::<PortList>().map(|ports| ports.to_string())
    }

    #[test]
    fn ports_are_sorted_joined_and_named_once() {
        assert_eq!(read("443,22,23,24,80-82,81-83").as_deref(), Ok("22-24,80-83,443"));
        assert_eq!(read("65535").as_deref(), Ok("65535"));
        assert_eq!(read("65534-65535,1").as_deref(), Ok("1,65534-65535"));
        assert_eq!("1-1024".parse::<PortList>().unwrap().count(), 1_024);
    }

    #[test]
    fn job_12_what_is_no_list_of_ports_is_refused() {
        for text in ["", ",", "80,", "0", "080", "-80", "80-", "90-80", "65536", "80 ,81", "http", "80-90-100", "+80"] {
            assert_eq!(read(text), Err(InvalidPorts::Form), "{text}");
        }
        for text in ["1-65535", "1-1025", "1-1000,2000-2100"] {
            assert_eq!(read(text), Err(InvalidPorts::TooMany), "{text}");
        }
        assert_eq!(read(&"80,".repeat(4_000)), Err(InvalidPorts::TooMany));
    }
}
