//! Whom an agent serves: its own tenant, or every tenant as part of the operator's shared fleet. Only the operator says which.

use std::str::FromStr;

/// Whom an agent serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    /// Its own tenant alone.
    #[default]
    Own,
    /// Every tenant. It stays its own tenant's: nobody else changes it, or reads of its host.
    Shared,
}

impl Sharing {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
        }
    }
}

/// The text names nobody whom an agent could serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of own, shared")]
pub struct UnknownSharing;

impl FromStr for Sharing {
    type Err = UnknownSharing;

    fn from_str(text: &str) -> Result<Self, UnknownSharing> {
        [Self::Own, Self::Shared]
            .into_iter()
            .find(|sharing| sharing.as_str() == text)
            .ok_or(UnknownSharing)
    }
}
