//! One value of a table: as people read it, and as a program does.

use shared_protocol::tier::NO_LIMIT;

use super::ping::milliseconds;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// There is none.
    Absent,
    /// Words.
    Text(String),
    /// A count, or anything else that is a plain number.
    Number(u64),
    /// A number so large that it limits nothing.
    Unlimited(u64),
    /// A count that may be less than nothing.
    Signed(i64),
    /// A duration in microseconds.
    Micros(u64),
    /// A share, 0 to 1.
    Ratio(f64),
}

impl Cell {
    /// For people: with its unit.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Absent => "-".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Unlimited(_) => "no limit".to_owned(),
            Self::Signed(number) => number.to_string(),
            Self::Micros(micros) => format!("{} ms", milliseconds(*micros)),
            Self::Ratio(ratio) => format!("{:.1} %", ratio * 100.0),
        }
    }

    /// For programs: the bare value in the unit that its column's name says.
    pub(crate) fn bare(&self) -> String {
        match self {
            Self::Absent => String::new(),
            Self::Text(text) => text.clone(),
            Self::Number(number) | Self::Unlimited(number) | Self::Micros(number) => number.to_string(),
            Self::Signed(number) => number.to_string(),
            Self::Ratio(ratio) => ratio.to_string(),
        }
    }

    /// Whether it is set to the right of its column.
    pub(crate) const fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Unlimited(_) | Self::Signed(_) | Self::Micros(_) | Self::Ratio(_))
    }

    /// A number that goes with a limit of a tier: the limit itself, or what is left of it.
    pub(crate) fn within(limit: u64, number: u64) -> Self {
        if limit >= u64::from(NO_LIMIT) {
            Self::Unlimited(number)
        } else {
            Self::Number(number)
        }
    }

    /// Of something that may not be there.
    pub(crate) fn of<T: Into<Self>>(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<control_api::timestamp::Timestamp> for Cell {
    fn from(instant: control_api::timestamp::Timestamp) -> Self {
        Self::Text(instant.to_string())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}
