//! From columns to values: ids, instants, enumerations, documents.

use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_protocol::time::UnixMicros;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::StoreError;

/// Why a row could not become a value.
#[derive(Debug)]
pub(crate) enum RowError {
    /// An enumeration holds a name that this version does not know: written by a newer one.
    Unknown(&'static str),
    /// The column is missing or of another type.
    Column(sqlx::Error),
}

impl From<sqlx::Error> for RowError {
    fn from(error: sqlx::Error) -> Self {
        Self::Column(error)
    }
}

/// A row of either database, with typed access to its columns.
pub enum Row {
    /// SQLite's.
    Sqlite(SqliteRow),
    /// PostgreSQL's.
    Postgres(PgRow),
}

/// Reads a column by a type that both databases know.
macro_rules! get {
    ($row:expr, $column:expr, $type:ty) => {
        match $row {
            Row::Sqlite(row) => row.try_get::<$type, _>($column),
            Row::Postgres(row) => row.try_get::<$type, _>($column),
        }
    };
}

impl Row {
    pub(crate) fn uuid(&self, column: &'static str) -> Result<Uuid, RowError> {
        Ok(get!(self, column, Uuid)?)
    }

    pub(crate) fn uuid_or_none(&self, column: &'static str) -> Result<Option<Uuid>, RowError> {
        Ok(get!(self, column, Option<Uuid>)?)
    }

    pub(crate) fn instant(&self, column: &'static str) -> Result<UnixMicros, RowError> {
        Ok(UnixMicros::from_micros(get!(self, column, i64)?))
    }

    pub(crate) fn instant_or_none(&self, column: &'static str) -> Result<Option<UnixMicros>, RowError> {
        Ok(get!(self, column, Option<i64>)?.map(UnixMicros::from_micros))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, RowError> {
        Ok(get!(self, column, String)?)
    }

    pub(crate) fn text_or_none(&self, column: &'static str) -> Result<Option<String>, RowError> {
        Ok(get!(self, column, Option<String>)?)
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, RowError> {
        T::try_from(get!(self, column, i64)?).map_err(|_| RowError::Unknown(column))
    }

    pub(crate) fn number_or_none<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        let number = get!(self, column, Option<i64>)?;
        number.map(|number| T::try_from(number).map_err(|_| RowError::Unknown(column))).transpose()
    }

    pub(crate) fn known<T: FromStr>(&self, column: &'static str) -> Result<T, RowError> {
        get!(self, column, &str)?.parse().map_err(|_| RowError::Unknown(column))
    }

    pub(crate) fn known_or_none<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        let name = get!(self, column, Option<&str>)?;
        name.map(|name| name.parse().map_err(|_| RowError::Unknown(column))).transpose()
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, RowError> {
        Ok(get!(self, column, Vec<u8>)?)
    }

    pub(crate) fn bytes_or_none(&self, column: &'static str) -> Result<Option<Vec<u8>>, RowError> {
        Ok(get!(self, column, Option<Vec<u8>>)?)
    }

    pub(crate) fn float(&self, column: &'static str) -> Result<f64, RowError> {
        Ok(get!(self, column, f64)?)
    }

    pub(crate) fn digest(&self, column: &'static str) -> Result<[u8; 32], RowError> {
        get!(self, column, Vec<u8>)?.try_into().map_err(|_| RowError::Unknown(column))
    }

    pub(crate) fn document<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, RowError> {
        parse(column, get!(self, column, &str)?)
    }

    pub(crate) fn document_or_none<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        get!(self, column, Option<&str>)?.map(|text| parse(column, text)).transpose()
    }
}

fn parse<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|source| {
        RowError::Column(sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: source.into(),
        })
    })
}

/// Makes values of rows; says how many were left out because this version does not know a value in them.
pub(crate) fn known<T>(rows: &[Row], read: fn(&Row) -> Result<T, RowError>) -> Result<(Vec<T>, u64), StoreError> {
    let mut values = Vec::with_capacity(rows.len());
    let mut skipped = 0;
    for row in rows {
        match read(row) {
            Ok(value) => values.push(value),
            Err(RowError::Unknown(column)) => {
                skipped += 1;
                tracing::warn!(column, "a row holds a value that this version does not know; it is left out");
            }
            Err(RowError::Column(error)) => return Err(unreadable(error)),
        }
    }
    Ok((values, skipped))
}

/// The text of a JSON parameter.
pub(crate) fn json(value: &(impl Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable {
        column: "of a parameter".to_owned(),
        reason: error.to_string(),
    })
}

/// A text as a JSON parameter carries it: PostgreSQL's JSON holds every character but NUL.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Bytes as a JSON parameter carries them.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unreadable(error: sqlx::Error) -> StoreError {
    if let sqlx::Error::ColumnDecode { index, source } = error {
        StoreError::Unreadable {
            column: index,
            reason: source.to_string(),
        }
    } else {
        error.into()
    }
}
