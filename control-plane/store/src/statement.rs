//! A statement with its parameters, whichever database runs it.

use std::borrow::Cow;

use control_core::authorize::TenantScope;
use shared_protocol::id::TenantId;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, Sqlite};
use uuid::Uuid;

use crate::database::Kind;
use crate::dialect;

/// A statement, whose data it is about, and its parameters in order.
#[derive(Debug, Clone)]
pub struct Statement {
    text: &'static str,
    whose: Whose,
    parameters: Vec<Parameter>,
}

/// Whose data a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The control plane's own work: everybody's.
    Everybodys,
    /// One tenant's. Where the database can, it shows a reader nothing else, whatever the statement says.
    Tenant(TenantId),
}

/// A value of a parameter; none is NULL.
#[derive(Debug, Clone)]
pub(crate) enum Parameter {
    Uuid(Option<Uuid>),
    Text(Option<Cow<'static, str>>),
    Bytes(Option<Vec<u8>>),
    Number(Option<i64>),
}

impl Statement {
    /// A statement of the control plane's own work.
    pub(crate) const fn own(text: &'static str) -> Self {
        Self {
            text,
            whose: Whose::Everybodys,
            parameters: Vec::new(),
        }
    }

    /// A statement about a tenant's data. It still names the tenant in its text: only PostgreSQL has the second wall.
    pub(crate) fn of(scope: TenantScope, text: &'static str) -> Self {
        Self {
            text,
            whose: Whose::Tenant(scope.tenant()),
            parameters: Vec::new(),
        }
    }

    /// Adds the next parameter: `$1`, then `$2`, and so on.
    #[must_use]
    pub(crate) fn bind(mut self, value: impl Into<Parameter>) -> Self {
        self.parameters.push(value.into());
        self
    }

    pub(crate) const fn whose(&self) -> Whose {
        self.whose
    }

    pub(crate) fn for_sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        bind_sqlite(sqlx::query(dialect::render(self.text, Kind::Sqlite)), self.parameters)
    }

    /// The text, marks and all, and the parameters in order.
    pub(crate) fn into_parts(self) -> (&'static str, Vec<Parameter>) {
        (self.text, self.parameters)
    }

    pub(crate) fn for_postgres(self) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(dialect::render(self.text, Kind::Postgres));
        self.parameters.into_iter().fold(query, |query, parameter| match parameter {
            Parameter::Uuid(value) => query.bind(value),
            Parameter::Text(value) => query.bind(value.map(|text| without_nul(&text).into_owned())),
            Parameter::Bytes(value) => query.bind(value),
            Parameter::Number(value) => query.bind(value),
        })
    }
}

/// Binds parameters in order.
pub(crate) fn bind_sqlite(query: Query<'static, Sqlite, SqliteArguments>, parameters: Vec<Parameter>) -> Query<'static, Sqlite, SqliteArguments> {
    parameters.into_iter().fold(query, |query, parameter| match parameter {
        Parameter::Uuid(value) => query.bind(value),
        Parameter::Text(value) => query.bind(value),
        Parameter::Bytes(value) => query.bind(value),
        Parameter::Number(value) => query.bind(value),
    })
}

/// PostgreSQL's text holds every character but NUL, raw or as JSON writes it.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        return text.replace('\0', "\u{fffd}").into();
    }
    text.into()
}

macro_rules! parameter {
    ($($from:ty => $variant:ident ($value:ident) $made:expr;)+) => {
        $(
            impl From<$from> for Parameter {
                fn from($value: $from) -> Self {
                    Self::$variant(Some($made))
                }
            }

            impl From<Option<$from>> for Parameter {
                fn from(value: Option<$from>) -> Self {
                    Self::$variant(value.map(|$value| $made))
                }
            }
        )+
    };
}

parameter! {
    Uuid => Uuid(value) value;
    String => Text(value) value.into();
    &'static str => Text(value) value.into();
    Vec<u8> => Bytes(value) value;
    i64 => Number(value) value;
    u32 => Number(value) i64::from(value);
}
