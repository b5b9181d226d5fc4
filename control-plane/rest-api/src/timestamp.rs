//! Instants as people and the API write them: RFC 3339 in UTC with microseconds.

use std::fmt;
use std::str::FromStr;

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

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let at: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        Ok(Self(UnixMicros::from_micros(at.as_microsecond())))
    }
}

/// The text is no instant of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an instant of RFC 3339, as in 2026-11-21T09:00:00Z")]
pub struct InvalidTimestamp;

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
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A day of UTC as people and the API write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// The day that is this many after 1970-01-01.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// How many days after 1970-01-01 it is.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Span::new().try_days(self.0).and_then(|days| EPOCH.checked_add(days)) {
            Ok(date) => write!(formatter, "{date}"),
            Err(_) => formatter.write_str("out-of-range"),
        }
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // A date is ten characters; what else the parser takes, as a time behind it, is no day.
        let date: jiff::civil::Date = text.parse().map_err(|_| NotADay)?;
        let days = EPOCH.until(date).map_err(|_| NotADay)?.get_days();
        if text.len() == 10 { Ok(Self(i64::from(days))) } else { Err(NotADay) }
    }
}

/// The text is not a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADay;

impl fmt::Display for NotADay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be a day, as in `2026-11-21`")
    }
}

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

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

    #[test]
    fn a_day_reads_back_as_written_and_nothing_else_is_one() {
        assert_eq!("1970-01-01".parse(), Ok(Day::from_number(0)));
        let day: Day = "2026-11-30".parse().unwrap();
        assert_eq!((day.number(), day.to_string()), (20_787, "2026-11-30".to_owned()));
        for bad in [
            "",
            "2026-11-31",
            "2026-02-29",
            "2026-11",
            "20261130",
            "2026-11-30T00:00:00Z",
            "tomorrow",
            "10000-01-01",
        ] {
            assert_eq!(bad.parse::<Day>(), Err(NotADay), "{bad}");
        }
    }
}
