//! The one parser of what a probe may be aimed at: an IP address or a DNS name, each in its one plain spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A probe's target: an address, or a name that the agent resolves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// An address, used as it stands.
    Address(IpAddr),
    /// A name, resolved by the agent; every address it has is checked against the owner's policy.
    Name(DnsName),
}

/// A host name of RFC 1123: ASCII letters, digits, hyphens and underscores, in labels of at most 63, in all at most 253; lower-case, without trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct DnsName(String);

impl DnsName {
    /// The name as it is asked for.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// Parses a target and refuses every spelling that another parser could read differently.
    ///
    /// # Errors
    /// [`InvalidTarget`] tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        if text.is_empty() {
            return Err(InvalidTarget::Empty);
        }
        if text.len() > NAME_BYTES {
            return Err(InvalidTarget::TooLong);
        }
        if text.contains(':') {
            return parse_v6(text);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        parse_name(text)
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidTarget;

    fn try_from(text: String) -> Result<Self, InvalidTarget> {
        Self::parse(&text)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name.as_str()),
        }
    }
}

/// Why a text is not a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than any name.
    #[error("must be at most 253 characters")]
    TooLong,
    /// A colon, but not an IPv6 address.
    #[error("must be a plain IPv6 address, without brackets, port or zone")]
    Address6,
    /// Ends like a number, but is not four decimal octets.
    #[error("must be four decimal octets without leading zeros; short, octal and hexadecimal forms are refused")]
    Address4,
    /// A character that no host name has.
    #[error("must be a host name of ASCII letters, digits, '-' and '_', or an IP address; write an international name in its xn-- form")]
    Character,
    /// An empty or overlong label, or one that starts or ends with a hyphen.
    #[error("must be made of labels of 1 to 63 characters that neither start nor end with '-', without a trailing dot")]
    Label,
}

fn parse_v6(text: &str) -> Result<Target, InvalidTarget> {
    let address = text.parse::<Ipv6Addr>().map_err(|_| InvalidTarget::Address6)?;
    Ok(Target::Address(IpAddr::V6(address)))
}

fn parse_name(text: &str) -> Result<Target, InvalidTarget> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(InvalidTarget::Character);
    }
    let well_formed = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    if !text.split('.').all(well_formed) {
        return Err(InvalidTarget::Label);
    }
    // What ends in a number would be read as an IPv4 address by one resolver and as a name by another (WHATWG URL, "ends in a number").
    let last = text.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .or_else(|| last.strip_prefix("0X"))
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidTarget::Address4);
    }
    Ok(Target::Name(DnsName(text.to_ascii_lowercase())))
}

const NAME_BYTES: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;
    use crate::url::HttpUrl;

    #[test]
    fn plain_addresses_and_names_are_targets() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("Example.TEST", "example.test"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_service.example", "_service.example"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn job_01_odd_spellings_of_addresses_are_refused() {
        for text in [
            "0xA9FEA9FE",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.43518",
            "169.254.169.254.",
            "127.1",
            "0x7f.1",
            "01.2.3.4",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.0x4",
        ] {
            assert!(matches!(Target::parse(text), Err(InvalidTarget::Address4 | InvalidTarget::Label)), "{text}");
        }
        for text in ["[::1]", "[::ffff:169.254.169.254]", "fe80::1%eth0", "::1:", "127.0.0.1:80", "http://x", ":"] {
            assert_eq!(Target::parse(text), Err(InvalidTarget::Address6), "{text}");
        }
    }

    #[test]
    fn job_07_what_is_no_name_is_refused() {
        for text in [
            ";id",
            "$(id)",
            "`id`",
            "a\nb",
            "a\0b",
            "%0a",
            "a b",
            "😀",
            "bücher.example",
            "user@host",
            "a/b",
            "a\\b",
            "раураl.example",
        ] {
            assert_eq!(Target::parse(text), Err(InvalidTarget::Character), "{text:?}");
        }
        for text in ["-f", "--help", "example.test.", "a..b", ".", ".a", "a-.b"] {
            assert_eq!(Target::parse(text), Err(InvalidTarget::Label), "{text:?}");
        }
        assert_eq!(Target::parse(""), Err(InvalidTarget::Empty));
        assert_eq!(Target::parse(&format!("{}.example", "a".repeat(64))), Err(InvalidTarget::Label));
        assert_eq!(Target::parse(&"a.".repeat(127)), Err(InvalidTarget::TooLong));
    }

    #[test]
    fn job_10_a_zone_is_refused() {
        assert_eq!(Target::parse("fe80::1%eth0"), Err(InvalidTarget::Address6));
    }

    #[test]
    fn job_10_fuzz_place() {
        let target =
            test_fuzz::Target::new("place", include_str!("../corpus/place.txt")).with_words(&[b".", b":", b"/", b"::", b"@", b"%", b"[", b"]", b"\\", b"0x"]);
        target.survives(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let target = Target::parse(&text).ok();
            let block = Block::parse(&text).ok();
            let url = HttpUrl::parse(&text).ok();
            if let Some(target) = &target {
                assert_eq!(Target::parse(&target.to_string()).as_ref(), Ok(target));
            }
            if let Some(block) = block {
                assert_eq!(Block::parse(&block.to_string()), Ok(block));
                assert!(block.addresses().take(70_000).count() <= 65_536);
            }
            if let Some(url) = &url {
                assert_eq!(HttpUrl::parse(&url.to_string()).as_ref(), Ok(url));
            }
            test_fuzz::Reading::of(target.is_some() || block.is_some() || url.is_some())
        });
    }
}
