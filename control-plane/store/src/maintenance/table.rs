//! The tables of the control plane as PostgreSQL's catalogue lists them, and rows of any of them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// A table with its columns in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    /// The database numbers its rows by itself.
    pub(super) numbered: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Uuid,
    Bytes,
    Text,
    Number,
    Float,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Uuid(Uuid),
    Bytes(Vec<u8>),
    Text(String),
    Number(i64),
    Float(f64),
}

/// How many rows, and what they hold, in whatever order they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sum: u64,
    mixed: u64,
}

impl Table {
    /// The columns, as a statement lists them.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }

    pub(super) fn sqlite_row(&self, row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
        self.columns.iter().enumerate().map(|(at, column)| column.kind.of_sqlite(row, at)).collect()
    }

    pub(super) fn postgres_row(&self, row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
        self.columns.iter().enumerate().map(|(at, column)| column.kind.of_postgres(row, at)).collect()
    }
}

/// Reads a column by its kind from a row of either database.
macro_rules! read {
    ($kind:expr, $row:expr, $at:expr) => {
        Ok(match $kind {
            ColumnKind::Uuid => $row.try_get::<Option<Uuid>, _>($at)?.map(Value::Uuid),
            ColumnKind::Bytes => $row.try_get::<Option<Vec<u8>>, _>($at)?.map(Value::Bytes),
            ColumnKind::Text => $row.try_get::<Option<String>, _>($at)?.map(Value::Text),
            ColumnKind::Number => $row.try_get::<Option<i64>, _>($at)?.map(Value::Number),
            ColumnKind::Float => $row.try_get::<Option<f64>, _>($at)?.map(Value::Float),
        }
        .unwrap_or(Value::Null))
    };
}

impl ColumnKind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytes,
            "text" => Self::Text,
            "bigint" => Self::Number,
            "double precision" => Self::Float,
            _ => return None,
        })
    }

    fn of_sqlite(self, row: &SqliteRow, at: usize) -> Result<Value, sqlx::Error> {
        read!(self, row, at)
    }

    fn of_postgres(self, row: &PgRow, at: usize) -> Result<Value, sqlx::Error> {
        read!(self, row, at)
    }
}

impl Digest {
    /// Takes a row in.
    pub(super) fn add(&mut self, row: &[Value]) {
        let mut hasher = DefaultHasher::new();
        for value in row {
            value.hash_into(&mut hasher);
        }
        let hash = hasher.finish();
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
        self.mixed = self.mixed.wrapping_add(hash.rotate_left(17).wrapping_mul(hash | 1));
    }
}

impl Value {
    fn hash_into(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::Null => 0_u8.hash(hasher),
            Self::Uuid(value) => (1_u8, value.as_bytes()).hash(hasher),
            Self::Bytes(value) => (2_u8, value).hash(hasher),
            Self::Text(value) => (3_u8, value).hash(hasher),
            Self::Number(value) => (4_u8, value).hash(hasher),
            Self::Float(value) => (5_u8, value.to_bits()).hash(hasher),
        }
    }

    /// Writes the value as PostgreSQL's COPY reads it, in its text format.
    pub(super) fn write_copy(&self, line: &mut String) {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _written = match self {
            Self::Null => write!(line, "\\N"),
            Self::Uuid(value) => write!(line, "{value}"),
            Self::Number(value) => write!(line, "{value}"),
            // The fewest digits that give the same number back.
            Self::Float(value) => write!(line, "{value:e}"),
            Self::Bytes(value) => write!(line, "\\\\x").and_then(|()| value.iter().try_for_each(|byte| write!(line, "{byte:02x}"))),
            Self::Text(value) => value.chars().try_for_each(|character| match character {
                '\\' => line.write_str("\\\\"),
                '\n' => line.write_str("\\n"),
                '\r' => line.write_str("\\r"),
                '\t' => line.write_str("\\t"),
                // PostgreSQL's text holds every character but this one.
                '\0' => line.write_char('\u{fffd}'),
                other => line.write_char(other),
            }),
        };
    }
}

/// All tables, each after those it leads to.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let mut waiting: Vec<Table> = Vec::new();
    for row in sqlx::query(COLUMNS).fetch_all(&mut *connection).await? {
        let name: String = row.try_get("table")?;
        let kind: String = row.try_get("kind")?;
        let column = Column {
            name: row.try_get("name")?,
            kind: ColumnKind::parse(&kind).ok_or_else(|| sqlx::Error::TypeNotFound { type_name: kind })?,
            numbered: row.try_get("numbered")?,
        };
        match waiting.last_mut().filter(|table| table.name == name) {
            Some(table) => table.columns.push(column),
            None => waiting.push(Table { name, columns: vec![column] }),
        }
    }
    let mut leads: BTreeSet<(String, String)> = BTreeSet::new();
    for row in sqlx::query(LEADS).fetch_all(connection).await? {
        leads.insert((row.try_get("from")?, row.try_get("to")?));
    }
    let mut ordered: Vec<Table> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let there: BTreeSet<String> = ordered.iter().map(|table| table.name.clone()).collect();
        let is_ready = |table: &Table| leads.iter().all(|(from, to)| from != &table.name || to == from || there.contains(to));
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        if ready.is_empty() {
            return Err(sqlx::Error::Configuration("the tables lead to each other in a circle".into()));
        }
        ordered.extend(ready);
        waiting = rest;
    }
    Ok(ordered)
}

/// A name as it stands in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

const COLUMNS: &str = r#"SELECT c.table_name::text AS "table", c.column_name::text AS name, c.data_type::text AS kind, c.is_identity = 'YES' AS numbered
FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.table_name <> '_sqlx_migrations'
ORDER BY c.table_name, c.ordinal_position"#;
const LEADS: &str = r#"SELECT f.relname::text AS "from", t.relname::text AS "to" FROM pg_constraint c
JOIN pg_class f ON f.oid = c.conrelid JOIN pg_class t ON t.oid = c.confrelid WHERE c.contype = 'f'"#;
