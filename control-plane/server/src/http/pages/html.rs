//! The frame of a page, and text that is safe in it.

use std::fmt::Write as _;

/// A whole page around a body.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/docs.css\"></head>\n<body>{body}</body></html>\n",
        escaped(title)
    )
}

/// Text that no browser takes for markup.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            plain => safe.push(plain),
        }
    }
    safe
}

/// Prose: safe, paragraphs at empty lines, code between backticks.
pub(super) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    let mut written = String::new();
    for paragraph in paragraphs {
        // Writing to a string does not fail.
        let _ = write!(written, "<p>{}</p>", inline(paragraph));
    }
    written
}

/// One run of prose.
pub(super) fn inline(text: &str) -> String {
    let mut written = String::new();
    for (index, piece) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(written, "<code>{}</code>", escaped(piece));
        } else {
            written.push_str(&escaped(piece));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(prose("a <b> `c<d`\n\n'e'"), "<p>a &lt;b&gt; <code>c&lt;d</code></p><p>&#39;e&#39;</p>");
    }
}
