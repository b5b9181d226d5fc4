//! The pieces of SQL that differ between databases; everything else is one text. Each says what PostgreSQL writes in its place.
//!
//! They are macros because `concat!` takes literals only, and statements are constants.

/// The rows of a JSON array given as one parameter, each as `value`; PostgreSQL: `jsonb_array_elements($n::jsonb) AS batch (value)`.
macro_rules! rows {
    ($parameter:literal) => {
        concat!("json_each(", $parameter, ")")
    };
}

/// A UUID written as text inside a JSON parameter; PostgreSQL: `(…)::uuid`.
macro_rules! uuid {
    ($text:literal) => {
        concat!("unhex(", $text, ", '-')")
    };
}

pub(crate) use {rows, uuid};
