//! Text from outside, fit for a report.

/// A text without control characters, of at most so many characters.
pub(crate) fn shown(text: &str, characters: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(characters).collect()
}
