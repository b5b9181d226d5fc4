//! What is printed: data on standard output, words on standard error, both harmless to a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

pub(crate) mod ping;
mod printable;
mod table;

pub(crate) use printable::{json_line, json_pretty, printable};
pub(crate) use table::table;

use crate::cli::Format;

/// The two standard streams.
pub struct Screen<'a> {
    data: &'a mut dyn Write,
    words: &'a mut dyn Write,
    surface: Surface,
}

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// A file or a pipe.
    Pipe,
    /// A terminal, without colour.
    Terminal,
    /// A terminal whose owner has nothing against colour.
    Colour,
}

impl<'a> Screen<'a> {
    /// Prints data and words to these.
    pub fn new(data: &'a mut dyn Write, words: &'a mut dyn Write, surface: Surface) -> Self {
        Self { data, words, surface }
    }

    /// What standard output is.
    pub(crate) const fn surface(&self) -> Surface {
        self.surface
    }

    /// Prints one line of data for people.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.data, "{}", printable(text))?;
        self.data.flush()
    }

    /// Prints one line of data for people in a colour, where that is wanted.
    pub(crate) fn warning_line(&mut self, text: &str) -> io::Result<()> {
        match self.surface {
            Surface::Pipe | Surface::Terminal => self.line(text),
            Surface::Colour => {
                writeln!(self.data, "\x1b[31m{}\x1b[0m", printable(text))?;
                self.data.flush()
            }
        }
    }

    /// Says something; nothing is lost when nobody listens.
    pub(crate) fn say(&mut self, text: &str) {
        let _nobody_listens = writeln!(self.words, "probectl: {}", printable(text));
    }

    /// Prints one JSON document, with the version of its shape first.
    pub(crate) fn document(&mut self, members: Vec<(&str, Value)>) -> io::Result<()> {
        writeln!(self.data, "{}", json_pretty(&versioned(members)))?;
        self.data.flush()
    }

    /// Prints one JSON document in one line, with the version of its shape first.
    pub(crate) fn record(&mut self, members: Vec<(&str, Value)>) -> io::Result<()> {
        writeln!(self.data, "{}", json_line(&versioned(members)))?;
        self.data.flush()
    }

    /// Prints items in the format asked for.
    pub(crate) fn items<T: Serialize>(&mut self, format: Format, listing: &Listing<'_, T>) -> io::Result<()> {
        match format {
            Format::Table => {
                let rows: Vec<Vec<String>> = listing.items.iter().map(listing.row).collect();
                for line in table(listing.columns, &rows) {
                    self.line(&line)?;
                }
                Ok(())
            }
            Format::Json => self.document(vec![(listing.noun, json!(listing.items))]),
            Format::Ndjson => listing.items.iter().try_for_each(|item| self.record(vec![(listing.single, json!(item))])),
        }
    }

    /// Prints one thing in the format asked for; for people, one line for each of its fields.
    pub(crate) fn item<T: Serialize>(&mut self, format: Format, single: &str, item: &T, fields: &[(&str, String)]) -> io::Result<()> {
        match format {
            Format::Table => {
                let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                fields.iter().try_for_each(|(name, value)| self.line(&format!("{name:width$}  {value}")))
            }
            Format::Json => self.document(vec![(single, json!(item))]),
            Format::Ndjson => self.record(vec![(single, json!(item))]),
        }
    }
}

/// A list and how its items look.
pub(crate) struct Listing<'a, T> {
    /// The member that holds the list.
    pub(crate) noun: &'a str,
    /// The member that holds one item where each has its own line.
    pub(crate) single: &'a str,
    /// The items.
    pub(crate) items: &'a [T],
    /// Headings of the table.
    pub(crate) columns: &'a [&'a str],
    /// The cells of one item.
    pub(crate) row: fn(&T) -> Vec<String>,
}

fn versioned(members: Vec<(&str, Value)>) -> Value {
    let version = std::iter::once(("v".to_owned(), json!(1)));
    Value::Object(version.chain(members.into_iter().map(|(name, value)| (name.to_owned(), value))).collect())
}
