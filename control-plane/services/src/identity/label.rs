//! Names, labels and words for places that tenants choose, within their bounds.

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
            return Err(ServiceError::invalid("labels", text_message("keys and values must be")));
        }
    }
    Ok(labels.clone())
}

/// A word for a place: 1 to 63 characters of `a-z A-Z 0-9 . _ - /`.
pub(crate) fn checked_word(field: &str, word: Option<&str>) -> Result<Option<String>, ServiceError> {
    match word {
        Some(word) if !is_label_text(word) => Err(ServiceError::invalid(field, text_message("must be"))),
        word => Ok(word.map(str::to_owned)),
    }
}

/// Labels asked for in a query: `key=value` for a value, `key` for its presence, joined by commas.
#[derive(Debug, Default)]
pub(crate) struct LabelTerms {
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) present: Vec<String>,
}

impl LabelTerms {
    /// Reads the terms; at most as many as an agent may have labels.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, ServiceError> {
        let mut terms = Self::default();
        let refused = || {
            ServiceError::invalid(
                "label",
                format!("must be at most {LABELS} of `key=value` or `key`, each once, joined by commas"),
            )
        };
        for (number, term) in text.into_iter().flat_map(|text| text.split(',')).enumerate() {
            let (key, value) = term.split_once('=').map_or((term, None), |(key, value)| (key, Some(value)));
            let is_known = terms.values.contains_key(key) || terms.present.iter().any(|present| present == key);
            if number >= LABELS || is_known || !is_label_text(key) || value.is_some_and(|value| !is_label_text(value)) {
                return Err(refused());
            }
            match value {
                Some(value) => drop(terms.values.insert(key.to_owned(), value.to_owned())),
                None => terms.present.push(key.to_owned()),
            }
        }
        Ok(terms)
    }
}

/// Sets of values for labels, and labels that must be there: as many and as long as labels may be.
pub(crate) fn checked_label_sets(sets: &BTreeMap<String, Vec<String>>, present: &[String]) -> Result<(), ServiceError> {
    if sets.len() > LABELS {
        return Err(ServiceError::invalid("labels_in", format!("must be at most {LABELS} labels")));
    }
    for (key, values) in sets {
        let field = format!("labels_in.{key}");
        if !is_label_text(key) {
            return Err(ServiceError::invalid("labels_in", text_message("keys must be")));
        }
        if !(1..=VALUES).contains(&values.len()) {
            return Err(ServiceError::invalid(&field, format!("must be 1 to {VALUES} values")));
        }
        if !values.iter().all(|value| is_label_text(value)) {
            return Err(ServiceError::invalid(&field, text_message("values must be")));
        }
    }
    if present.len() > LABELS {
        return Err(ServiceError::invalid("labels_present", format!("must be at most {LABELS} keys")));
    }
    if !present.iter().all(|key| is_label_text(key)) {
        return Err(ServiceError::invalid("labels_present", text_message("keys must be")));
    }
    Ok(())
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

fn text_message(what: &str) -> String {
    format!("{what} 1 to {LABEL_CHARACTERS} characters of a-z A-Z 0-9 . _ - /")
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
/// Most values of one set.
const VALUES: usize = 100;

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
    fn label_terms_of_a_query_are_read_and_nonsense_is_refused() {
        let terms = LabelTerms::parse(Some("site=a,gpu,net=x/y")).unwrap();
        assert_eq!((terms.values.len(), terms.present.as_slice()), (2, &["gpu".to_owned()][..]));
        assert!(LabelTerms::parse(None).unwrap().present.is_empty());
        let many = (0..33).map(|n| format!("k{n}")).collect::<Vec<_>>().join(",");
        for bad in ["", ",", "=a", "a=", "a=b=c", "a,a", "a,a=b", "a b", "ä", "a=';--", many.as_str()] {
            assert_eq!(LabelTerms::parse(Some(bad)).unwrap_err().field(), Some("label"), "{bad}");
        }
    }

    #[test]
    fn sets_and_words_have_bounds() {
        let sets = |key: &str, values: &[&str]| BTreeMap::from([(key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())]);
        assert!(checked_label_sets(&sets("site", &["a", "b"]), &["gpu".to_owned()]).is_ok());
        for (sets, field) in [
            (sets("site", &[]), "labels_in.site"),
            (sets("site", &["a", ""]), "labels_in.site"),
            (sets("a b", &["x"]), "labels_in"),
        ] {
            assert_eq!(checked_label_sets(&sets, &[]).unwrap_err().field(), Some(field));
        }
        assert_eq!(
            checked_label_sets(&BTreeMap::new(), &[String::new()]).unwrap_err().field(),
            Some("labels_present")
        );
        assert_eq!(checked_word("region", Some("eu\n")).unwrap_err().field(), Some("region"));
        assert_eq!(checked_word("region", Some("eu-central")), Ok(Some("eu-central".to_owned())));
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
