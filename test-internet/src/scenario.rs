//! What is to be run in a world, and what has to come of it: the tables `run` of a world's file. What a run's `spec` means, and what its
//! `expect` is compared with, is up to whoever tests with it: both are plain values here.

use serde::Deserialize;
use serde_json::Value;

use crate::InvalidWorld;

/// One run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What to run.
    pub spec: Value,
    /// A part of what has to come of it.
    pub expect: Value,
    /// How long it may take by the world's clock, milliseconds.
    pub within_ms: Option<u64>,
}

impl Run {
    /// Every run of a world's text.
    ///
    /// # Errors
    /// When the text is no TOML, or a table of a run has what a run does not have.
    pub fn all(text: &str) -> Result<Vec<Self>, InvalidWorld> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            run: Vec<Run>,
        }
        Ok(toml::from_str::<File>(text)?.run)
    }

    /// What `expect` asks for that a found value does not have, each with its place; nothing where all is there.
    pub fn missing(&self, found: &Value) -> Vec<String> {
        missing(&self.expect, found, "")
    }
}

/// Members of objects that are named have to be there; arrays have to be as long, element by element; anything else has to be the same.
/// The text `absent` stands for what is not there, for which TOML has no word.
fn missing(expected: &Value, found: &Value, at: &str) -> Vec<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .flat_map(|(name, value)| missing(value, found.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}")))
            .collect(),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(place, (expected, found))| missing(expected, found, &format!("{at}[{place}]")))
            .collect(),
        (expected, found) if expected == found => Vec::new(),
        (Value::String(text), Value::Null) if text == "absent" => Vec::new(),
        (expected, Value::Array(found)) => vec![format!("{at}: {expected}, but {} elements", found.len())],
        (expected, found) => vec![format!("{at}: {expected}, but {found}")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_says_what_is_missing_and_where() {
        let text = r#"
            [[run]]
            spec = { probe = "x" }
            expect = { status = "ok", hops = [{ ttl = 1 }, {}], circle = "absent" }
        "#;
        let run = Run::all(text).unwrap().remove(0);
        assert_eq!(
            run.missing(&json!({"status": "ok", "hops": [{"ttl": 1, "more": 2}, {"ttl": 2}], "other": 3})),
            Vec::<String>::new()
        );
        let mut missing = run.missing(&json!({"status": "failed", "hops": [{"ttl": 2}, null], "circle": 1}));
        // Whether members keep their order is up to how the parsers are built.
        missing.sort();
        assert_eq!(
            missing,
            [
                ".circle: \"absent\", but 1",
                ".hops[0].ttl: 1, but 2",
                ".hops[1]: {}, but null",
                ".status: \"ok\", but \"failed\""
            ]
        );
        assert_eq!(run.missing(&json!({"status": "ok", "hops": []})), [".hops: [{\"ttl\":1},{}], but 0 elements"]);
        assert!(Run::all("[[run]]\nspec = 1\nexpect = 1\nother = 1").is_err());
    }
}
