//! A table that is drawn again over itself while its rows change, on a terminal.

use std::fmt::Write;

use super::{Colour, Line, Terminal, Tone, printable};

/// What stands on the terminal.
#[derive(Debug, Default)]
pub(crate) struct Live {
    drawn: usize,
}

impl Live {
    /// What to send to the terminal so that these lines stand where the earlier ones did. Lines that do not fit are cut or left out:
    /// one that wraps, or scrolls away, could not be drawn over any more.
    pub(crate) fn redraw(&mut self, lines: &[Line], terminal: Terminal) -> String {
        let room = usize::from(terminal.rows.saturating_sub(1).max(2));
        let width = usize::from(terminal.columns.max(1));
        let mut text = self.back();
        let fits = lines.len() <= room;
        let shown = if fits { lines.len() } else { room - 1 };
        for line in lines.iter().take(shown) {
            put(&mut text, line, width, terminal.colour);
        }
        if !fits {
            let more = Line::plain(format!("... and {} more", lines.len() - shown));
            put(&mut text, &more, width, terminal.colour);
        }
        self.drawn = if fits { shown } else { room };
        text
    }

    /// What to send to the terminal so that all lines stand there in full, and nothing is drawn over them any more.
    pub(crate) fn finish(&mut self, lines: &[Line], terminal: Terminal) -> String {
        let mut text = self.back();
        for line in lines {
            put(&mut text, line, usize::MAX, terminal.colour);
        }
        self.drawn = 0;
        text
    }

    /// Back to the first line drawn, and everything from there on away (ECMA-48 CUU and ED).
    fn back(&self) -> String {
        if self.drawn == 0 {
            String::new()
        } else {
            format!("\x1b[{}A\x1b[J", self.drawn)
        }
    }
}

fn put(text: &mut String, line: &Line, width: usize, colour: Colour) {
    let shown: String = printable(&line.text).chars().take(width).collect();
    let _cannot_fail = writeln!(text, "{}", coloured(&shown, line.tone, colour));
}

/// A text in the colour of its tone, where colour is wanted (ECMA-48 SGR).
pub(super) fn coloured(text: &str, tone: Tone, colour: Colour) -> String {
    match (tone, colour) {
        (Tone::Warning, Colour::On) => format!("\x1b[31m{text}\x1b[0m"),
        (Tone::Warning | Tone::Plain, _) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Terminal = Terminal {
        colour: Colour::Off,
        columns: 6,
        rows: 4,
    };

    /// What a terminal shows after all this.
    fn screen(sent: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for piece in sent.split_inclusive('\n') {
            let mut rest = piece;
            while let Some(after) = rest.strip_prefix("\x1b[") {
                if let Some(after) = after.strip_prefix('J') {
                    rest = after;
                } else {
                    let (up, after) = after.split_once('A').unwrap();
                    lines.truncate(lines.len() - up.parse::<usize>().unwrap());
                    rest = after;
                }
            }
            if !rest.is_empty() {
                lines.push(rest.trim_end().to_owned());
            }
        }
        lines
    }

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line::plain(*text)).collect()
    }

    #[test]
    fn rows_are_drawn_over_themselves() {
        let mut live = Live::default();
        let mut sent = live.redraw(&lines(&["HEAD", "a 1"]), SMALL);
        sent += &live.redraw(&lines(&["HEAD", "a 2", "b 1"]), SMALL);
        assert_eq!(screen(&sent), ["HEAD", "a 2", "b 1"]);
        sent += &live.finish(&lines(&["HEAD", "a 3 and more", "b 2", "c", "d"]), SMALL);
        assert_eq!(screen(&sent), ["HEAD", "a 3 and more", "b 2", "c", "d"]);
        assert_eq!(live.redraw(&lines(&["x"]), SMALL), "x\n", "what is finished stays");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        let mut live = Live::default();
        let many = lines(&["HEAD of many columns", "a", "b", "c", "d"]);
        let sent = live.redraw(&many, SMALL) + &live.redraw(&many, SMALL);
        assert_eq!(screen(&sent), ["HEAD o", "a", "... an"]);
    }
}
