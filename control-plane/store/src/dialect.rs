//! The pieces of SQL that differ between databases; everything else is one text. Ten at most, each with its reason.
//!
//! A macro stands for a piece inside a constant of SQL and expands to a mark in braces (`concat!` takes literals only).
//! [`render`] turns each mark into what the database at hand takes. Braces stand in no other place of our SQL.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use crate::database::Kind;

/// The rows of a JSON array given as one parameter, each as `value`: each database reads JSON by functions of its own. Both keep a row in their
/// binary form, so that taking a member out of it does not read its text again.
macro_rules! rows {
    ($parameter:literal) => {
        concat!("{rows ", $parameter, "}")
    };
}

/// A UUID written as text inside a JSON parameter: SQLite keeps ids as bytes, PostgreSQL has a type for them.
macro_rules! uuid {
    ("value") => {
        "{uuid_element }"
    };
    ($text:literal) => {
        concat!("{uuid ", $text, "}")
    };
}

/// The only value of a row of a JSON array of numbers: in PostgreSQL it is still JSON.
macro_rules! element {
    () => {
        "{element }"
    };
}

/// Bytes written in hexadecimal inside a JSON parameter.
macro_rules! bytes {
    ($text:literal) => {
        concat!("{bytes ", $text, "}")
    };
}

/// Two columns of bytes one after the other: SQLite makes a text of them, of the same bytes.
macro_rules! joined {
    ($text:literal) => {
        concat!("{joined ", $text, "}")
    };
}

pub(crate) use {bytes, element, joined, rows, uuid};

/// A mark, and what stands before and after its argument.
struct Piece {
    name: &'static str,
    sqlite: (&'static str, &'static str),
    postgres: (&'static str, &'static str),
}

const PIECES: [Piece; 6] = [
    Piece {
        name: "rows",
        sqlite: ("jsonb_each(", ")"),
        postgres: ("jsonb_array_elements(", "::jsonb)"),
    },
    Piece {
        name: "uuid",
        sqlite: ("unhex(", ", '-')"),
        postgres: ("(", ")::uuid"),
    },
    Piece {
        name: "uuid_element",
        sqlite: ("unhex(value, '-')", ""),
        postgres: ("(value #>> ARRAY[]::text[])::uuid", ""),
    },
    Piece {
        name: "element",
        sqlite: ("value", ""),
        postgres: ("value #>> ARRAY[]::text[]", ""),
    },
    Piece {
        name: "bytes",
        sqlite: ("unhex(", ")"),
        postgres: ("decode(", ", 'hex')"),
    },
    Piece {
        name: "joined",
        sqlite: ("CAST(", " AS BLOB)"),
        postgres: ("(", ")"),
    },
];

/// The text as the database takes it. Texts are constants, so what is kept of them here has a bound.
pub(crate) fn render(text: &'static str, kind: Kind) -> &'static str {
    static RENDERED: LazyLock<RwLock<HashMap<(Kind, &'static str), &'static str>>> = LazyLock::new(RwLock::default);
    if !text.contains('{') {
        return text;
    }
    if let Some(rendered) = RENDERED.read().unwrap_or_else(PoisonError::into_inner).get(&(kind, text)) {
        return rendered;
    }
    let mut all = RENDERED.write().unwrap_or_else(PoisonError::into_inner);
    all.entry((kind, text)).or_insert_with(|| Box::leak(expand(text, kind).into_boxed_str()))
}

/// Replaces every mark. One that nobody knows stays, so that the database refuses the statement.
fn expand(mut rest: &str, kind: Kind) -> String {
    let mut text = String::with_capacity(rest.len());
    while let Some((before, mark, after)) = next_mark(rest) {
        text.push_str(before);
        match piece(mark, kind) {
            Some((head, argument, tail)) => text.extend([head, argument, tail]),
            None => text.extend(["{", mark, "}"]),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn next_mark(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (mark, after) = rest.split_once('}')?;
    Some((before, mark, after))
}

fn piece(mark: &str, kind: Kind) -> Option<(&'static str, &str, &'static str)> {
    let (name, argument) = mark.split_once(' ')?;
    let piece = PIECES.iter().find(|piece| piece.name == name)?;
    let (head, tail) = match kind {
        Kind::Sqlite => piece.sqlite,
        Kind::Postgres => piece.postgres,
    };
    Some((head, argument, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_becomes_what_the_database_takes() {
        let text = concat!("SELECT ", uuid!("value ->> 'id'"), ", ", uuid!("value"), " FROM ", rows!("$1"), " WHERE true");
        assert_eq!(
            render(text, Kind::Sqlite),
            "SELECT unhex(value ->> 'id', '-'), unhex(value, '-') FROM jsonb_each($1) WHERE true"
        );
        assert_eq!(
            render(text, Kind::Postgres),
            "SELECT (value ->> 'id')::uuid, (value #>> ARRAY[]::text[])::uuid FROM jsonb_array_elements($1::jsonb) WHERE true"
        );
    }

    #[test]
    fn a_mark_that_nobody_knows_stays_for_the_database_to_refuse() {
        assert_eq!(render("SELECT {strange $1} FROM {", Kind::Postgres), "SELECT {strange $1} FROM {");
    }
}
