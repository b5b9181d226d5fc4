//! Lines of comma-separated values (RFC 4180) that a spreadsheet takes for what they are: text never becomes a formula.

/// One line, its end included.
pub(crate) fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        write_cell(&mut line, cell);
    }
    line.push_str("\r\n");
    line
}

fn write_cell(line: &mut String, cell: &str) {
    // Spreadsheets run what begins like this; a number that is no more than that is harmless.
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let quoted = formula || cell.contains([',', '"', '\n', '\r']);
    if !quoted {
        line.push_str(cell);
        return;
    }
    line.push('"');
    if formula {
        line.push('\'');
    }
    line.push_str(&cell.replace('"', "\"\""));
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_15_a_cell_never_becomes_a_formula() {
        let cells = [
            "plain",
            "=cmd|' /C calc'!A0",
            "+1+1",
            "-2+3",
            "-2.5",
            "@SUM(A1)",
            "\tx",
            "a,b",
            "say \"no\"",
            "two\nlines",
            "",
        ];
        assert_eq!(
            line(cells),
            "plain,\"'=cmd|' /C calc'!A0\",\"'+1+1\",\"'-2+3\",-2.5,\"'@SUM(A1)\",\"'\tx\",\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",\r\n"
        );
    }
}
