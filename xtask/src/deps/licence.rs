//! Under which terms packages come.

use super::graph::Graph;

/// Refuses a package none of whose licences is on the list.
pub(super) fn check(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for package in &graph.packages {
        match package.licence.as_deref().map(accepts) {
            Some(Some(true)) => {}
            Some(Some(false)) => broken.push(format!(
                "`{}` comes under `{}`, which is not on the list",
                package.name,
                package.licence.as_deref().unwrap_or_default()
            )),
            Some(None) => broken.push(format!(
                "`{}` has a licence nobody can read: `{}`",
                package.name,
                package.licence.as_deref().unwrap_or_default()
            )),
            None => broken.push(format!("`{}` names no licence", package.name)),
        }
    }
    broken
}

/// Whether an SPDX expression can be met by the list; `None` if it is no such expression.
fn accepts(expression: &str) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = any(&mut words)?;
    words.next().is_none().then_some(verdict)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> Option<bool> {
    let mut verdict = all(words)?;
    while words.next_if_eq(&"OR").is_some() {
        verdict |= all(words)?;
    }
    Some(verdict)
}

fn all(words: &mut Words<'_>) -> Option<bool> {
    let mut verdict = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words)?;
    }
    Some(verdict)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let verdict = any(words)?;
        return (words.next()? == ")").then_some(verdict);
    }
    if matches!(word, ")" | "AND" | "OR" | "WITH") {
        return None;
    }
    if words.next_if_eq(&"WITH").is_some() {
        let exception = words.next()?;
        return Some(ALLOWED_WITH.contains(&(word, exception)));
    }
    Some(ALLOWED.contains(&word))
}

/// The same list stands in deny.toml; a test compares the two.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

const ALLOWED_WITH: [(&str, &str); 1] = [("Apache-2.0", "LLVM-exception")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_choices_is_enough() {
        for expression in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "Unlicense OR MIT",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert_eq!(accepts(expression), Some(true), "{expression}");
        }
    }

    #[test]
    fn every_part_that_is_required_has_to_be_on_the_list() {
        for expression in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(GPL-2.0-only OR AGPL-3.0-only) AND MIT",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ] {
            assert_eq!(accepts(expression), Some(false), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_not_guessed_at() {
        for expression in ["", "MIT OR", "(MIT", "MIT MIT", ") MIT", "OR"] {
            assert_eq!(accepts(expression), None, "{expression}");
        }
    }

    #[test]
    fn deny_toml_allows_the_same_licences() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = std::fs::read_to_string(root.join("deny.toml")).unwrap();
        let deny: toml::Table = text.parse().unwrap();
        let mut listed: Vec<String> = deny["licenses"]["allow"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        listed.sort_unstable();
        let mut ours: Vec<String> = ALLOWED.map(str::to_owned).to_vec();
        ours.extend(ALLOWED_WITH.map(|(name, exception)| format!("{name} WITH {exception}")));
        ours.sort_unstable();
        assert_eq!(listed, ours);
    }
}
