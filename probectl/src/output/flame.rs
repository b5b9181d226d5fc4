//! Stacks as files: folded, one a line, as other people's tools read them; and drawn, as an SVG that needs nothing but a browser.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use shared_protocol::report::{StackUnit, StacksSeen};

/// The stacks of some reports, each with the agent that it is from where there are several.
#[derive(Debug, Default)]
pub(crate) struct Flame {
    stacks: BTreeMap<Vec<String>, u64>,
    unit: Option<StackUnit>,
}

/// A function under those that called it.
#[derive(Debug, Default)]
struct Node {
    value: u64,
    called: BTreeMap<String, Self>,
}

impl Flame {
    /// Adds what a report has. What it does not tell is there as `[others]`.
    pub(crate) fn add(&mut self, agent: Option<&str>, seen: &StacksSeen) {
        self.unit = Some(seen.unit);
        for stack in &seen.stacks {
            let command = stack.command.as_deref().unwrap_or("-");
            let names = stack.frames.iter().filter_map(|frame| seen.functions.get(usize::try_from(*frame).ok()?));
            let outer = agent.into_iter().chain([command]).map(str::to_owned);
            *self.stacks.entry(outer.chain(names.cloned()).collect()).or_default() += stack.value;
        }
        if seen.others > 0 {
            let others = agent.into_iter().chain(["[others]"]).map(str::to_owned).collect();
            *self.stacks.entry(others).or_default() += seen.others;
        }
    }

    /// `command;outer;inner value`, one stack a line.
    pub(crate) fn folded(&self) -> String {
        let mut text = String::new();
        for (names, value) in &self.stacks {
            let names: Vec<String> = names.iter().map(|name| one_line(name)).collect();
            let _infallible = writeln!(text, "{} {value}", names.join(";"));
        }
        text
    }

    /// A flame graph: each function as wide as what it took with all that it called, on top of who called it.
    pub(crate) fn svg(&self) -> String {
        let mut root = Node::default();
        for (names, value) in &self.stacks {
            root.add(names, *value);
        }
        let rows = root.depth();
        let height = (rows + 1) * ROW + 2 * MARGIN;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let canvas = Canvas {
            total: root.value.max(1),
            base: height - MARGIN,
            unit: match self.unit {
                Some(StackUnit::Microseconds) => "us",
                Some(StackUnit::Samples) | None => "samples",
            },
        };
        root.draw("all", 0, 0, &canvas, &mut text);
        text.push_str("</svg>\n");
        text
    }
}

/// What a drawing is measured against.
struct Canvas {
    total: u64,
    base: u64,
    unit: &'static str,
}

impl Node {
    fn add(&mut self, names: &[String], value: u64) {
        self.value += value;
        if let Some((first, rest)) = names.split_first() {
            self.called.entry(first.clone()).or_default().add(rest, value);
        }
    }

    fn depth(&self) -> u64 {
        self.called.values().map(|called| called.depth() + 1).max().unwrap_or(0)
    }

    /// Itself, and on top of it what it called. What is too narrow to be seen is left out.
    fn draw(&self, name: &str, before: u64, level: u64, canvas: &Canvas, text: &mut String) {
        let (from, to) = (hundredths(before, canvas.total), hundredths(before + self.value, canvas.total));
        let width = to - from;
        if width < NARROWEST {
            return;
        }
        let y = canvas.base.saturating_sub((level + 1) * ROW);
        let percent = u128::from(self.value) * 1_000 / u128::from(canvas.total);
        let _infallible = write!(
            text,
            "<g><title>{} ({} {}, {}.{} %)</title><rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            escaped(name),
            self.value,
            canvas.unit,
            percent / 10,
            percent % 10,
            pixels(from),
            pixels(width),
            ROW - 1,
            colour(name)
        );
        let room = usize::try_from(width / CHARACTER).unwrap_or(0);
        if room > 2 {
            let shown: String = name.chars().take(room).collect();
            let _infallible = write!(text, "<text x=\"{}\" y=\"{}\">{}</text>", pixels(from + 300), y + ROW - 5, escaped(&shown));
        }
        text.push_str("</g>\n");
        let mut before = before;
        for (name, called) in &self.called {
            called.draw(name, before, level + 1, canvas, text);
            before += called.value;
        }
    }
}

/// A name without what ends a name or a line.
fn one_line(name: &str) -> String {
    name.chars().filter(|character| !character.is_control() && *character != ';').collect()
}

/// A name as text of an SVG.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars().filter(|character| !character.is_control()) {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            _ => text.push(character),
        }
    }
    text
}

/// How far to the right something is, in hundredths of a pixel.
fn hundredths(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * u128::from(100 * WIDTH) / u128::from(whole)).unwrap_or(100 * WIDTH)
}

fn pixels(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The same for the same name: cold for the kernel, warm for programs.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let (one, other) = (hash % 60, hash / 60 % 90);
    if name.ends_with("_[k]") {
        format!("rgb({},{},{})", 90 + other, 150 + one, 235)
    } else {
        format!("rgb({},{},{})", 225 + one / 2, 110 + other, 60 + one / 2)
    }
}

/// Pixels: how wide the drawing is, how high a function, how much room around.
const WIDTH: u64 = 1_200;
const ROW: u64 = 17;
const MARGIN: u64 = 8;
/// Hundredths of pixels: the narrowest function drawn, and how wide a character is.
const NARROWEST: u64 = 20;
const CHARACTER: u64 = 680;

#[cfg(test)]
mod tests {
    use shared_protocol::report::TaskStack;

    use super::*;

    fn seen() -> StacksSeen {
        let stack = |frames: &[u32], value| TaskStack {
            command: Some("shop <1>".to_owned()),
            pid: 7,
            value,
            frames: frames.to_vec(),
        };
        StacksSeen {
            unit: StackUnit::Samples,
            hz: Some(49),
            total: 10,
            idle: Some(4),
            hottest: Vec::new(),
            functions: ["main", "a<b>::c", "read_[k]"].map(str::to_owned).to_vec(),
            stacks: vec![stack(&[0, 1], 6), stack(&[0, 1, 2], 3)],
            others: 1,
        }
    }

    #[test]
    fn stacks_are_folded_one_a_line_with_what_is_not_told() {
        let mut flame = Flame::default();
        flame.add(None, &seen());
        insta::assert_snapshot!(flame.folded(), @r"
        [others] 1
        shop <1>;main;a<b>::c 6
        shop <1>;main;a<b>::c;read_[k] 3
        ");
        flame.add(Some("edge;1\n"), &seen());
        assert!(flame.folded().contains("\nedge1;shop <1>;main;a<b>::c 6\n"), "{}", flame.folded());
    }

    #[test]
    fn what_called_lies_below_as_wide_as_all_that_it_called() {
        let mut flame = Flame::default();
        flame.add(None, &seen());
        let drawn = flame.svg();
        let shown: Vec<&str> = drawn
            .lines()
            .filter_map(|line| line.split_once("<title>")?.1.split_once(" height"))
            .map(|(line, _)| line)
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        all (10 samples, 100.0 %)</title><rect x="0.00" y="76" width="1200.00"
        [others] (1 samples, 10.0 %)</title><rect x="0.00" y="59" width="120.00"
        shop &lt;1&gt; (9 samples, 90.0 %)</title><rect x="120.00" y="59" width="1080.00"
        main (9 samples, 90.0 %)</title><rect x="120.00" y="42" width="1080.00"
        a&lt;b&gt;::c (9 samples, 90.0 %)</title><rect x="120.00" y="25" width="1080.00"
        read_[k] (3 samples, 30.0 %)</title><rect x="120.00" y="8" width="360.00"
        "#);
        assert_eq!(drawn.matches("<g>").count(), drawn.matches("</g>").count());
    }

    #[test]
    fn nothing_at_all_is_a_drawing_too() {
        let drawn = Flame::default().svg();
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"), "{drawn}");
        assert_eq!(Flame::default().folded(), "");
    }
}
