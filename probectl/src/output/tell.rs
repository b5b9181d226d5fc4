//! Reports as rows, one an agent, in every format that has rows.

use std::io;

use shared_protocol::spec::ProbeKind;

use super::probe::Details;
use super::view::{for_people, report_columns};
use super::{Cell, Screen, Subject, markdown, prometheus, table};
use crate::cli::Format;

/// A job as a row, and what its probe found beside.
#[derive(Debug)]
pub(crate) struct Told {
    /// The agent's name.
    pub(crate) agent: String,
    /// Under the columns of the measurement.
    pub(crate) row: Vec<Cell>,
    /// Rows of its own: the hops of a path, the lengths of a search.
    pub(crate) details: Option<Details>,
}

/// Prints jobs as a table, comma-separated values, Markdown or numbers for Prometheus.
pub(crate) fn print(format: Format, kind: Option<ProbeKind>, target: &str, told: &[Told], screen: &mut Screen<'_>) -> io::Result<()> {
    let columns = report_columns(kind);
    let rows = || -> Vec<Vec<Cell>> { told.iter().map(|told| told.row.clone()).collect() };
    let few = || -> Vec<Vec<Cell>> { rows().into_iter().map(|row| for_people(kind, row)).collect() };
    match format {
        Format::Csv => screen.csv(&columns, &rows()),
        Format::Markdown => {
            screen.raw(markdown(&for_people(kind, columns), &few()).as_bytes())?;
            told.iter().try_for_each(|told| match &told.details {
                Some(details) => {
                    let table = markdown(details.columns, &details.rows);
                    screen.line("")?;
                    screen.raw(table.as_bytes())
                }
                None => Ok(()),
            })
        }
        Format::Prometheus => {
            let probe = kind.map_or("unknown", ProbeKind::as_str);
            let subjects: Vec<(Subject<'_>, Vec<Cell>)> = told
                .iter()
                .map(|told| {
                    let agent = told.agent.as_str();
                    (Subject { probe, target, agent }, told.row.clone())
                })
                .collect();
            screen.raw(prometheus(probe, &columns, &subjects).as_bytes())
        }
        Format::Table | Format::Json | Format::Ndjson => table(&for_people(kind, columns), &few()).iter().try_for_each(|line| screen.line(line)),
    }
}
