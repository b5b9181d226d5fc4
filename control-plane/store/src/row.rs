//! From columns to values: ids, instants, enumerations, documents.

use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_protocol::time::UnixMicros;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
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

/// Typed access to the columns of a row.
pub(crate) trait Columns {
    fn uuid(&self, column: &'static str) -> Result<Uuid, RowError>;
    fn uuid_or_none(&self, column: &'static str) -> Result<Option<Uuid>, RowError>;
    fn instant(&self, column: &'static str) -> Result<UnixMicros, RowError>;
    fn instant_or_none(&self, column: &'static str) -> Result<Option<UnixMicros>, RowError>;
    fn text(&self, column: &'static str) -> Result<String, RowError>;
    fn text_or_none(&self, column: &'static str) -> Result<Option<String>, RowError>;
    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, RowError>;
    fn number_or_none<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, RowError>;
    fn known<T: FromStr>(&self, column: &'static str) -> Result<T, RowError>;
    fn known_or_none<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, RowError>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, RowError>;
    fn digest(&self, column: &'static str) -> Result<[u8; 32], RowError>;
    fn document<T: DeserializeOwned + 'static>(&self, column: &'static str) -> Result<T, RowError>;
    fn document_or_none<T: DeserializeOwned + 'static>(&self, column: &'static str) -> Result<Option<T>, RowError>;
}

impl Columns for SqliteRow {
    fn uuid(&self, column: &'static str) -> Result<Uuid, RowError> {
        Ok(self.try_get(column)?)
    }

    fn uuid_or_none(&self, column: &'static str) -> Result<Option<Uuid>, RowError> {
        Ok(self.try_get(column)?)
    }

    fn instant(&self, column: &'static str) -> Result<UnixMicros, RowError> {
        Ok(UnixMicros::from_micros(self.try_get(column)?))
    }

    fn instant_or_none(&self, column: &'static str) -> Result<Option<UnixMicros>, RowError> {
        Ok(self.try_get::<Option<i64>, _>(column)?.map(UnixMicros::from_micros))
    }

    fn text(&self, column: &'static str) -> Result<String, RowError> {
        Ok(self.try_get(column)?)
    }

    fn text_or_none(&self, column: &'static str) -> Result<Option<String>, RowError> {
        Ok(self.try_get(column)?)
    }

    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, RowError> {
        T::try_from(self.try_get(column)?).map_err(|_| RowError::Unknown(column))
    }

    fn number_or_none<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        let number = self.try_get::<Option<i64>, _>(column)?;
        number.map(|number| T::try_from(number).map_err(|_| RowError::Unknown(column))).transpose()
    }

    fn known<T: FromStr>(&self, column: &'static str) -> Result<T, RowError> {
        self.try_get::<&str, _>(column)?.parse().map_err(|_| RowError::Unknown(column))
    }

    fn known_or_none<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        let name = self.try_get::<Option<&str>, _>(column)?;
        name.map(|name| name.parse().map_err(|_| RowError::Unknown(column))).transpose()
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, RowError> {
        Ok(self.try_get(column)?)
    }

    fn digest(&self, column: &'static str) -> Result<[u8; 32], RowError> {
        self.try_get::<&[u8], _>(column)?.try_into().map_err(|_| RowError::Unknown(column))
    }

    fn document<T: DeserializeOwned + 'static>(&self, column: &'static str) -> Result<T, RowError> {
        Ok(self.try_get::<Json<T>, _>(column)?.0)
    }

    fn document_or_none<T: DeserializeOwned + 'static>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        Ok(self.try_get::<Option<Json<T>>, _>(column)?.map(|json| json.0))
    }
}

/// Makes values of rows; says how many were left out because this version does not know a value in them.
pub(crate) fn known<T>(rows: &[SqliteRow], read: fn(&SqliteRow) -> Result<T, RowError>) -> Result<(Vec<T>, u64), StoreError> {
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
