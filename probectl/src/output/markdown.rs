//! Tables of Markdown, for tickets and notes.

use super::{Cell, printable};

/// A heading, the line that makes it one, then the rows; numbers to the right.
pub(crate) fn markdown(columns: &[&str], rows: &[Vec<Cell>]) -> String {
    let numeric = |column: usize| rows.iter().any(|row| row.get(column).is_some_and(Cell::is_number));
    let rule = (0..columns.len())
        .map(|column| if numeric(column) { "---:" } else { "---" }.to_owned())
        .collect();
    let heading = columns.iter().map(|column| escaped(column)).collect();
    let cells = rows.iter().map(|row| row.iter().map(|cell| escaped(&cell.shown())).collect());
    let lines: Vec<Vec<String>> = [heading, rule].into_iter().chain(cells).collect();
    lines.iter().fold(String::new(), |text, line| text + "| " + &line.join(" | ") + " |\n")
}

/// What would end a cell, or begin anything else of Markdown or HTML, stands for itself.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for character in printable(text).chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '#' | '~' => {
                safe.push('\\');
                safe.push(character);
            }
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_cell() {
        let rows = [vec!["a|b".into(), Cell::Micros(21)], vec!["[x](y) <b>\r\n*".into(), Cell::Absent]];
        assert_eq!(
            markdown(&["name", "rtt_us"], &rows),
            "| name | rtt\\_us |\n| --- | ---: |\n| a\\|b | 0.021 ms |\n| \\[x\\](y) \\<b\\>\\* | - |\n"
        );
    }
}
