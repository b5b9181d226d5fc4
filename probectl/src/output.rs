//! What is printed: data on standard output, words on standard error, both harmless to a terminal.
//!
//! One mechanism for everything: a list is a [`Listing`], a running measurement a [`view::View`], and both end in rows of [`Cell`]s under
//! the same column names, which are a table for people and comma-separated values for programs. JSON is what the API gave.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

mod cell;
mod csv;
mod dns;
mod evidence;
pub(crate) mod flame;
pub(crate) mod http;
mod line;
mod live;
mod markdown;
mod mtr;
mod neighbor;
pub(crate) mod observe;
pub(crate) mod ping;
mod pmtu;
mod port;
mod port_sweep;
mod printable;
pub(crate) mod probe;
mod prometheus;
mod ranges;
mod sweep;
mod systems;
mod table;
mod tcp;
pub(crate) mod tell;
mod traceroute;
mod udp;
pub(crate) mod view;

pub(crate) use cell::Cell;
pub(crate) use csv::csv;
pub(crate) use line::{Line, Tone};
pub(crate) use live::Live;
pub(crate) use markdown::markdown;
pub(crate) use printable::{json_line, json_pretty, printable};
pub(crate) use prometheus::{Subject, prometheus};
pub(crate) use ranges::ranges;
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
    /// A terminal.
    Terminal(Terminal),
}

/// What is known of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Whether colour is wanted.
    pub colour: Colour,
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Whether colour is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Yes.
    On,
    /// No: `NO_COLOR` is set.
    Off,
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
        self.print(&Line::plain(text))
    }

    /// Prints one line of data for people, in the colour of its tone where that is wanted.
    pub(crate) fn print(&mut self, line: &Line) -> io::Result<()> {
        let colour = match self.surface {
            Surface::Pipe => Colour::Off,
            Surface::Terminal(terminal) => terminal.colour,
        };
        writeln!(self.data, "{}", live::coloured(&printable(&line.text), line.tone, colour))?;
        self.data.flush()
    }

    /// Prints what is made already: drawings, or a program's text. Whoever calls has made it harmless.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.data.write_all(bytes)?;
        self.data.flush()
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

    /// Prints rows as comma-separated values.
    pub(crate) fn csv(&mut self, columns: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
        self.raw(&csv(columns, rows)?)
    }

    /// Prints rows as comma-separated values, or as a table of Markdown.
    pub(crate) fn rows(&mut self, format: Format, columns: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
        match format {
            Format::Csv => self.csv(columns, rows),
            Format::Table | Format::Json | Format::Ndjson | Format::Markdown | Format::Prometheus => self.raw(markdown(columns, rows).as_bytes()),
        }
    }

    /// Prints items in the format asked for.
    pub(crate) fn items<T: Serialize>(&mut self, format: Format, listing: &Listing<'_, T>) -> io::Result<()> {
        let rows = || -> Vec<Vec<Cell>> { listing.items.iter().map(listing.row).collect() };
        match format {
            Format::Table => table(listing.columns, &rows()).iter().try_for_each(|line| self.line(line)),
            Format::Csv => self.csv(listing.columns, &rows()),
            // Numbers for Prometheus are refused before, where there are none.
            Format::Markdown | Format::Prometheus => self.raw(markdown(listing.columns, &rows()).as_bytes()),
            Format::Json => self.document(vec![(listing.noun, json!(listing.items))]),
            Format::Ndjson => listing.items.iter().try_for_each(|item| self.record(vec![(listing.single, json!(item))])),
        }
    }

    /// Prints one thing, a list of one, in the format asked for; for people, one line for each of its fields.
    pub(crate) fn item<T: Serialize>(&mut self, format: Format, one: &Listing<'_, T>, fields: &[(&str, Cell)]) -> io::Result<()> {
        match format {
            Format::Table => {
                let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                fields
                    .iter()
                    .try_for_each(|(name, value)| self.line(&format!("{name:width$}  {}", value.shown())))
            }
            Format::Json => one.items.iter().try_for_each(|item| self.document(vec![(one.single, json!(item))])),
            Format::Csv | Format::Ndjson | Format::Markdown | Format::Prometheus => self.items(format, one),
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
    /// Names of the columns: stable, lower-case, with the unit at their end where there is one.
    pub(crate) columns: &'a [&'a str],
    /// The cells of one item.
    pub(crate) row: fn(&T) -> Vec<Cell>,
}

fn versioned(members: Vec<(&str, Value)>) -> Value {
    let version = std::iter::once(("v".to_owned(), json!(1)));
    Value::Object(version.chain(members.into_iter().map(|(name, value)| (name.to_owned(), value))).collect())
}
