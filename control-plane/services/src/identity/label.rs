//! Names and labels that tenants choose, within their bounds.

use std::collections::BTreeMap;

use crate::error::ServiceError;

/// A name of 1 to 100 characters, none of them a control character.
pub(crate) fn checked_name(field: &str, name: &str) -> Result<String, ServiceError> {
    let length = name.chars().count();
    let trimmed = name.trim() == name;
    if (1..=NAME_CHARACTERS).contains(&length) && trimmed && !name.chars().any(is_unprintable) {
        return Ok(name.to_owned());
    }
    Err(ServiceError::invalid(
        field,
        format!("must be 1 to {NAME_CHARACTERS} printable characters without space at either end"),
    ))
}

/// At most 32 labels, keys and values of 1 to 63 characters of `a-z A-Z 0-9 . _ - /`.
pub(crate) fn checked_labels(labels: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ServiceError> {
    if labels.len() > LABELS {
        return Err(ServiceError::invalid("labels", format!("must be at most {LABELS} labels")));
    }
    for (key, value) in labels {
        if !is_label_text(key) || !is_label_text(value) {
            let message = format!("keys and values must be 1 to {LABEL_CHARACTERS} characters of a-z A-Z 0-9 . _ - /");
            return Err(ServiceError::invalid("labels", message));
        }
    }
    Ok(labels.clone())
}

/// The name of an agent whose token gives it none, made of what its host calls itself: letters, digits, `.`, `_` and `-` of it.
pub(crate) fn name_from_host(hostname: &str) -> String {
    let kept: String = hostname
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-'))
        .take(HOST_NAME_CHARACTERS)
        .collect();
    let trimmed = kept.trim_matches(['.', '-', '_']);
    if trimmed.is_empty() { "agent".to_owned() } else { trimmed.to_owned() }
}

fn is_label_text(text: &str) -> bool {
    (1..=LABEL_CHARACTERS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'))
}

/// Control characters, and those that turn the direction of text or take no room.
fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

const NAME_CHARACTERS: usize = 100;
/// Leaves room for what makes the name unique.
const HOST_NAME_CHARACTERS: usize = 90;
const LABELS: usize = 32;
const LABEL_CHARACTERS: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_have_bounds() {
        assert_eq!(checked_name("name", "Büro 1"), Ok("Büro 1".to_owned()));
        for bad in [
            String::new(),
            " a".to_owned(),
            "a\r\nb".to_owned(),
            "\u{1b}[31m".to_owned(),
            "a\u{202e}b".to_owned(),
            "é".repeat(101),
        ] {
            assert_eq!(checked_name("name", &bad).unwrap_err().field(), Some("name"), "{bad:?}");
        }
        let label = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(checked_labels(&label("site/a", "fra-1")).is_ok());
        for (key, value) in [("", "a"), ("a", ""), ("a b", "c"), ("a", "ü"), ("a", &"v".repeat(64))] {
            assert_eq!(checked_labels(&label(key, value)).unwrap_err().field(), Some("labels"));
        }
        let many = (0..33).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert!(checked_labels(&many).is_err());
    }

    #[test]
    fn enr_16_a_hostile_host_name_becomes_a_plain_one() {
        assert_eq!(name_from_host("edge-7.example.net"), "edge-7.example.net");
        assert_eq!(name_from_host("<script>alert(1)</script>"), "scriptalert1script");
        assert_eq!(name_from_host("../../x\r\n\u{1b}[31m"), "x31m");
        assert_eq!(name_from_host("…"), "agent");
        assert_eq!(name_from_host(&"a".repeat(65_536)).len(), 90);
    }
}
