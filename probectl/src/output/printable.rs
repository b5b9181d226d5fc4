//! Makes text from elsewhere harmless to a terminal: a host name or an error message must not move the cursor or change what was printed before.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

/// The text without what a terminal would obey: control characters (C0, DEL, C1), line and paragraph separators, and what turns the direction of text.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(is_dangerous) {
        Cow::Owned(text.chars().filter(|character| !is_dangerous(*character)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A JSON value in one line. What [`printable`] would remove stands escaped, so that nothing is lost.
pub(crate) fn json_line(value: &Value) -> String {
    escape(&value.to_string())
}

/// A JSON value over several lines, escaped like [`json_line`].
pub(crate) fn json_pretty(value: &Value) -> String {
    // `Display` of a value in its alternate form is its pretty form and cannot fail.
    escape(&format!("{value:#}"))
}

fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        // Inside strings serde_json has escaped C0 already: a line feed here is layout. All others of these lie in the basic plane.
        if character != '\n' && is_dangerous(character) {
            let _cannot_fail = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn is_dangerous(character: char) -> bool {
    character.is_control() || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOSTILE: &str = "a\x1b[2J\x1b]0;x\x07\r\n\u{9b}31m\u{7f}\u{202e}\u{2028}b\u{e4}";

    #[test]
    fn frm_23_control_characters_never_reach_a_terminal() {
        assert_eq!(printable(HOSTILE), "a[2J]0;x31mb\u{e4}");
        assert!(matches!(printable("plain \u{e4}"), Cow::Borrowed("plain \u{e4}")));
    }

    #[test]
    fn frm_23_json_keeps_hostile_text_and_shows_it_escaped() {
        let value = json!({ "name": HOSTILE, "list": [HOSTILE] });
        for text in [json_line(&value), json_pretty(&value)] {
            assert!(!text.replace('\n', "").contains(is_dangerous), "{text:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
        assert!(!json_line(&value).contains('\n'));
    }
}
