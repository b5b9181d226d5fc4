//! Identifiers: one newtype for each thing that has one, so that a job's id can never stand where an agent's is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::UnixMicros;

/// Defines a UUID newtype with the one accepted spelling: 36 lower-case characters, not nil.
macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a time-ordered id (`UUIDv7`, RFC 9562 section 5.7) from the instant and ten random bytes given.
            pub fn new(at: UnixMicros, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(at.unix_millis(), &random).into_uuid())
            }

            /// Wraps a UUID that is already known to name this kind of thing, as one read from the database.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID, as the database stores it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.hyphenated().to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }
    )*};
}

uuid_id! {
    /// The organisation that owns users, keys, agents and measurements.
    TenantId;
    /// One installed probe agent.
    AgentId;
    /// What a tenant asked for: one spec and a selection of agents.
    MeasurementId;
    /// One measurement on one agent.
    JobId;
    /// One run of the agent process, random at each start.
    InstanceId;
    /// One life of an agent's outbox.
    IncarnationId;
    /// What an agent does until it is told otherwise.
    StandingId;
}

/// Counts the sessions of one agent; a higher epoch fences the server's writes of a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// Counts how often a job was handed out; a later attempt fences the answers of an earlier one. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// The number of a report in its outbox, from 1 upwards; 0 means "none yet". At most 2⁵³ − 1, so that every JSON reader keeps it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Sequence(u64);

impl Sequence {
    /// The highest sequence number there is.
    pub const MAX: u64 = (1 << 53) - 1;
    /// Stands before the first report.
    pub const ZERO: Self = Self(0);

    /// Accepts a number up to [`Sequence::MAX`].
    ///
    /// # Errors
    /// [`InvalidId`] above that.
    pub const fn new(value: u64) -> Result<Self, InvalidId> {
        if value <= Self::MAX { Ok(Self(value)) } else { Err(InvalidId) }
    }

    /// The plain number.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The number that follows; it stays at the maximum once there, which no outbox reaches.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX { Self(self.0 + 1) } else { self }
    }
}

impl TryFrom<u64> for Sequence {
    type Error = InvalidId;

    fn try_from(value: u64) -> Result<Self, InvalidId> {
        Self::new(value)
    }
}

impl From<Sequence> for u64 {
    fn from(sequence: Sequence) -> Self {
        sequence.0
    }
}

/// A job and which handing-out of it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobRef {
    /// The job.
    pub job: JobId,
    /// Which handing-out of it.
    pub attempt: Attempt,
}

/// The text or number is not an identifier in its one accepted spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

fn parse_uuid(text: &str) -> Result<Uuid, InvalidId> {
    let exact = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let uuid = exact.then(|| Uuid::try_parse(text).ok()).flatten().ok_or(InvalidId)?;
    if uuid.is_nil() { Err(InvalidId) } else { Ok(uuid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_05_only_the_canonical_spelling_is_an_id() {
        let id = JobId::new(UnixMicros::from_micros(1_700_000_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        for bad in [
            id.to_string().to_uppercase(),
            id.uuid().simple().to_string(),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            "00000000-0000-0000-0000-000000000000".to_owned(),
            String::new(),
            "a".repeat(10_000),
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(InvalidId), "{bad}");
        }
    }

    #[test]
    fn ids_sort_by_their_time() {
        let early = JobId::new(UnixMicros::from_micros(1_000_000), [255; 10]);
        let late = JobId::new(UnixMicros::from_micros(2_000_000), [0; 10]);
        assert!(early < late);
    }

    #[test]
    fn frm_12_a_sequence_beyond_its_range_is_refused() {
        assert_eq!(Sequence::new(1 << 63), Err(InvalidId));
        assert!(serde_json::from_str::<Sequence>("9223372036854775808").is_err());
        assert!(serde_json::from_str::<Sequence>("-1").is_err());
    }
}
