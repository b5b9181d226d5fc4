//! Comma-separated values as RFC 4180 has them, safe to open in a spreadsheet.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};

use super::{Cell, printable};

/// A header of column names, then the rows. No cell holds a line break, because [`printable`] leaves none.
pub(crate) fn csv(columns: &[&str], rows: &[Vec<Cell>]) -> std::io::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.write_record(row.iter().map(field))?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// A number stands as it is. Text that a spreadsheet would take for a formula is made text by an apostrophe before it.
fn field(cell: &Cell) -> String {
    let bare = cell.bare();
    let harmless = printable(&bare);
    if !cell.is_number() && harmless.starts_with(FORMULA) {
        format!("'{harmless}")
    } else {
        Cow::into_owned(harmless)
    }
}

/// What a formula begins with; tab and carriage return, which some spreadsheets skip, are gone already.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[Cell]) -> String {
        let names: Vec<&str> = cells.iter().map(|_| "c").collect();
        let text = String::from_utf8(csv(&names, &[cells.to_vec()]).unwrap()).unwrap();
        text.split_once("\r\n").unwrap().1.trim_end_matches("\r\n").to_owned()
    }

    #[test]
    fn api_15_no_cell_is_a_formula() {
        for text in ["=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\u{feff}=1"] {
            let cell = written(&[text.into()]);
            assert!(cell.trim_start_matches('"').starts_with('\''), "{text:?}: {cell}");
        }
        assert_eq!(written(&["a=b".into(), Cell::Number(7), Cell::Absent]), "a=b,7,");
    }

    #[test]
    fn quotes_commas_and_line_breaks_keep_a_cell_one_cell() {
        assert_eq!(
            written(&["a,b".into(), "say \"x\"".into(), "a\r\nb\u{1b}[2J".into()]),
            "\"a,b\",\"say \"\"x\"\"\",ab[2J"
        );
        assert_eq!(csv(&["id", "loss"], &[]).unwrap(), b"id,loss\r\n");
        assert_eq!(written(&[Cell::Micros(21), Cell::Ratio(0.25)]), "21,0.25");
    }
}
