//! How an observation of somebody's own is named: by name, version, and the hash of what it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fault::{ErrorCode, Status};

/// A package's name: lower-case letters, digits, `-` and `_`, at most 40, the first a letter or digit. It is part of no path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(String);

/// Which package of a name: letters, digits, `.`, `-`, `+` and `_`, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageVersion(String);

/// The hash of a package's content (SHA-256), written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageDigest([u8; 32]);

/// What an agent asks its control plane for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageWanted {
    /// The package of this name.
    pub name: PackageName,
    /// Exactly this one; whichever the agent is to have where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<PackageDigest>,
}

/// What an agent's observer made of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageTold {
    /// Its name.
    pub name: PackageName,
    /// Which one it was.
    pub sha256: PackageDigest,
    /// How it went, as in the report.
    pub status: Status,
    /// Why not, as in the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// Why not, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The text names no package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackage {
    /// Not a name.
    #[error("must be 1 to 40 lower-case letters, digits, - and _, the first a letter or digit")]
    Name,
    /// Not a version.
    #[error("must be 1 to 32 letters, digits, ., -, + and _, the first a letter or digit")]
    Version,
    /// Not a hash.
    #[error("must be 64 lower-case hexadecimal digits")]
    Digest,
}

impl FromStr for PackageName {
    type Err = InvalidPackage;

    fn from_str(text: &str) -> Result<Self, InvalidPackage> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let rest = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
        if first && rest && text.len() <= 40 {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidPackage::Name)
    }
}

impl FromStr for PackageVersion {
    type Err = InvalidPackage;

    fn from_str(text: &str) -> Result<Self, InvalidPackage> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte));
        if first && rest && text.len() <= 32 {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidPackage::Version)
    }
}

impl FromStr for PackageDigest {
    type Err = InvalidPackage;

    fn from_str(text: &str) -> Result<Self, InvalidPackage> {
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 64 || !text.bytes().all(is_hexadecimal) {
            return Err(InvalidPackage::Digest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidPackage::Digest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidPackage::Digest)?;
        }
        Ok(Self(bytes))
    }
}

impl PackageName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PackageVersion {
    /// The version.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PackageDigest {
    /// The hash of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for PackageDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidPackage;

            fn try_from(text: String) -> Result<Self, InvalidPackage> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(of: $name) -> Self {
                of.to_string()
            }
        }
    )*};
}

as_text!(PackageName, PackageVersion, PackageDigest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_names_a_package_can_be_part_of_a_path_or_a_line() {
        for name in ["a", "tcp-opens_2", "0", &"a".repeat(40)] {
            assert_eq!(name.parse::<PackageName>().unwrap().as_str(), name);
        }
        for name in ["", "A", "a/b", "..", ".a", "-a", "_a", "a b", "a\n", "é", "a:b", &"a".repeat(41)] {
            assert_eq!(name.parse::<PackageName>(), Err(InvalidPackage::Name), "{name}");
        }
        for version in ["", "1/2", "..", "1 0", &"1".repeat(33)] {
            assert_eq!(version.parse::<PackageVersion>(), Err(InvalidPackage::Version), "{version}");
        }
        let digest = "0f".repeat(32);
        assert_eq!(digest.parse::<PackageDigest>().unwrap().to_string(), digest);
        for digest in ["", "0f", &"0F".repeat(32), &"0g".repeat(32), &format!("+{}", "f".repeat(63))] {
            assert_eq!(digest.parse::<PackageDigest>(), Err(InvalidPackage::Digest), "{digest}");
        }
    }
}
