//! A name that can be asked about: wider than a host name, still in one plain spelling.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// An absolute domain name (RFC 9499): labels of letters, digits, hyphens, underscores and slashes, or a lone asterisk; lower-case, without trailing dot
/// but for the root, which is `.`. Octets beyond these have no plain spelling and are refused; an international name is written in its `xn--` form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct QueryName(String);

impl QueryName {
    /// The name as it is asked for, without trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueryName {
    type Err = InvalidQueryName;

    fn from_str(text: &str) -> Result<Self, InvalidQueryName> {
        if text == "." {
            return Ok(Self(text.to_owned()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(InvalidQueryName::Empty);
        }
        if name.len() > NAME_BYTES {
            return Err(InvalidQueryName::TooLong);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.' | b'*');
        if !name.bytes().all(plain) {
            return Err(InvalidQueryName::Character);
        }
        let well_formed =
            |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && (label == "*" || !label.contains('*'));
        if !name.split('.').all(well_formed) {
            return Err(InvalidQueryName::Label);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for QueryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<QueryName> for String {
    fn from(name: QueryName) -> Self {
        name.0
    }
}

/// Why a text is no name to ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQueryName {
    /// Nothing was given.
    #[error("must not be empty; the root is \".\"")]
    Empty,
    /// Longer than any name.
    #[error("must be at most 253 characters")]
    TooLong,
    /// A character that has no plain spelling.
    #[error("must be made of ASCII letters, digits, '-', '_', '/', '*' and '.'; write an international name in its xn-- form")]
    Character,
    /// An empty or overlong label, or one that starts or ends with a hyphen.
    #[error("must be made of labels of 1 to 63 characters that neither start nor end with '-', or are a lone '*'")]
    Label,
}

const NAME_BYTES: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_services_zones_and_the_root_can_be_asked_about() {
        for (text, name) in [
            (".", "."),
            ("Example.TEST.", "example.test"),
            ("test", "test"),
            ("_dmarc.example.test", "_dmarc.example.test"),
            ("*.example.test", "*.example.test"),
            ("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(text.parse::<QueryName>().unwrap().as_str(), name);
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
            " ",
            "😀",
            "bücher.example",
            "раураl.example",
            "a\\b",
            "a\"b",
        ] {
            assert_eq!(text.parse::<QueryName>(), Err(InvalidQueryName::Character), "{text:?}");
        }
        for text in ["-f", "--help", "a..b", "..", ".a", "a-.b", "a*.b", "**.b"] {
            assert_eq!(text.parse::<QueryName>(), Err(InvalidQueryName::Label), "{text:?}");
        }
        assert_eq!("".parse::<QueryName>(), Err(InvalidQueryName::Empty));
        assert_eq!(format!("{}.example", "a".repeat(64)).parse::<QueryName>(), Err(InvalidQueryName::Label));
        assert_eq!("a.".repeat(128).parse::<QueryName>(), Err(InvalidQueryName::TooLong));
        assert_eq!("a.".repeat(127).parse::<QueryName>().unwrap().as_str().len(), 253);
    }
}
