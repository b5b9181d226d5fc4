//! Instants as people and the API write them: RFC 3339 in UTC with microseconds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared_protocol::time::UnixMicros;
use utoipa::ToSchema;

/// An instant, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-21T09:00:00.000000Z")]
pub struct Timestamp(UnixMicros);

impl Timestamp {
    /// The instant as the store keeps it.
    pub const fn unix_micros(self) -> UnixMicros {
        self.0
    }
}

impl From<UnixMicros> for Timestamp {
    fn from(at: UnixMicros) -> Self {
        Self(at)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.micros()) {
            Ok(at) => write!(formatter, "{at:.6}"),
            Err(_) => formatter.write_str("out-of-range"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(UnixMicros::from_micros(at.as_microsecond())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_rfc_3339_in_utc_and_reads_back() {
        let at = Timestamp::from(UnixMicros::from_micros(1_763_715_600_000_001));
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, r#""2025-11-21T09:00:00.000001Z""#);
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
    }
}
