//! Tables of text for people.

use super::printable;

/// The lines of a table: headings, then rows, columns two spaces apart.
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let headings: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(&headings)
        .chain(rows)
        .map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect())
        .collect();
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lay_out = |line: &Vec<String>| {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(lay_out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "\x1b[1mx".to_owned()],
            vec!["\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["id", "state"], &rows),
            ["ID     STATE", "a      [1mx", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"]
        );
        assert_eq!(table(&["id"], &[]), ["ID"]);
    }
}
