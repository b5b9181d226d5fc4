//! Tables of text for people.

use super::{Cell, printable};

/// The lines of a table: headings, then rows, columns two spaces apart; numbers to the right.
pub(crate) fn table(columns: &[&str], rows: &[Vec<Cell>]) -> Vec<String> {
    let headings: Vec<String> = columns.iter().map(|column| heading(column)).collect();
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(&cell.shown()).into_owned()).collect())
        .collect();
    let layout: Vec<(usize, Side)> = (0..columns.len())
        .map(|column| {
            let cells = shown.iter().filter_map(|row| row.get(column));
            let width = headings
                .get(column)
                .into_iter()
                .chain(cells)
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            let numbers = rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number));
            (width, if numbers { Side::Right } else { Side::Left })
        })
        .collect();
    std::iter::once(&headings).chain(&shown).map(|line| lay_out(line, &layout)).collect()
}

/// What stands above a column: its name without unit, in capitals.
fn heading(column: &str) -> String {
    let bare = UNITS.iter().find_map(|unit| column.strip_suffix(unit)).unwrap_or(column);
    bare.replace('_', " ").to_uppercase()
}

fn lay_out(line: &[String], layout: &[(usize, Side)]) -> String {
    let cells: Vec<String> = line
        .iter()
        .zip(layout)
        .map(|(cell, (width, side))| match side {
            Side::Left => format!("{cell:width$}"),
            Side::Right => format!("{cell:>width$}"),
        })
        .collect();
    cells.join("  ").trim_end().to_owned()
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// Units that a column's name may end in; for people the unit stands beside the value.
const UNITS: [&str; 2] = ["_us", "_bytes"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "\x1b[1mx".into()], vec!["\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}".into(), "".into()]];
        assert_eq!(
            table(&["id", "state"], &rows),
            ["ID     STATE", "a      [1mx", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"]
        );
        assert_eq!(table(&["id"], &[]), ["ID"]);
    }

    #[test]
    fn numbers_stand_to_the_right_with_their_unit() {
        let rows = [vec![Cell::Micros(21), Cell::Absent], vec![Cell::Micros(1_234_567), Cell::Ratio(0.25)]];
        assert_eq!(
            table(&["rtt_avg_us", "loss"], &rows),
            ["    RTT AVG    LOSS", "   0.021 ms       -", "1234.567 ms  25.0 %"]
        );
    }
}
