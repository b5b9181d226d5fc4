//! Words that must not stand in a committed file.

use std::path::Path;

use super::finding::Finding;

/// Refuses unfinished work, silenced lints, skipped tests, paths of one machine, and any registry but the public one.
pub(super) fn check(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1_usize..) {
        for rule in RULES.iter().filter(|rule| rule.applies_to(file)) {
            if rule.found_in(line) {
                findings.push(Finding::broken(file, Some(number), format!("`{}`: {}", rule.word, rule.reason)));
            }
        }
        if let Some(host) = foreign_registry(file, line) {
            findings.push(Finding::broken(
                file,
                Some(number),
                format!("`{host}`: packages come from the public registries only"),
            ));
        }
    }
    findings
}

struct Rule {
    word: &'static str,
    scope: Scope,
    reason: &'static str,
}

#[derive(Clone, Copy)]
enum Scope {
    Everywhere,
    Rust,
}

impl Rule {
    fn applies_to(&self, file: &Path) -> bool {
        match self.scope {
            Scope::Everywhere => file.extension().is_none_or(|extension| extension != "lock"),
            Scope::Rust => file.extension().is_some_and(|extension| extension == "rs"),
        }
    }

    /// The word stands for itself: not as a part of a longer one, nor inside a longer path.
    fn found_in(&self, line: &str) -> bool {
        line.match_indices(self.word).any(|(at, word)| {
            let before = line.get(..at).and_then(|before| before.chars().next_back());
            let after = line.get(at.saturating_add(word.len())..).and_then(|after| after.chars().next());
            !(starts_inside(word, before) || word.ends_with(char::is_alphanumeric) && after.is_some_and(is_word))
        })
    }
}

fn starts_inside(word: &str, before: Option<char>) -> bool {
    let Some(before) = before else { return false };
    if word.starts_with('/') {
        return is_word(before) || matches!(before, '.' | '-' | '~' | '}' | '*' | '/');
    }
    word.starts_with(char::is_alphanumeric) && is_word(before)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The registry a lock or configuration file names, unless it is the one everybody has.
fn foreign_registry<'a>(file: &Path, line: &'a str) -> Option<&'a str> {
    let name = file.file_name()?.to_str()?;
    let line = line.trim();
    let value = match name {
        "Cargo.lock" => line.strip_prefix("source = ")?,
        "package-lock.json" => line.strip_prefix("\"resolved\": ")?,
        "config.toml" => line.strip_prefix("replace-with").or_else(|| line.strip_prefix("registry = "))?,
        ".npmrc" => line.strip_prefix("registry=")?,
        _ => return None,
    };
    let value = value.trim_end_matches(',').trim_matches('"');
    let public = PUBLIC_REGISTRIES.iter().any(|registry| value.starts_with(registry));
    (!public).then_some(value)
}

const PUBLIC_REGISTRIES: [&str; 2] = ["registry+https://github.com/rust-lang/crates.io-index", "https://registry.npmjs.org/"];

// Each word is put together here, so that this file does not hold it.
const RULES: [Rule; 11] = [
    Rule {
        word: concat!("to", "do!"),
        scope: Scope::Everywhere,
        reason: "unfinished work is an issue, not a line",
    },
    Rule {
        word: concat!("unimpl", "emented!"),
        scope: Scope::Everywhere,
        reason: "unfinished work is an issue, not a line",
    },
    Rule {
        word: concat!("FIX", "ME"),
        scope: Scope::Everywhere,
        reason: "unfinished work is an issue, not a line",
    },
    Rule {
        word: concat!("X", "XX"),
        scope: Scope::Everywhere,
        reason: "unfinished work is an issue, not a line",
    },
    Rule {
        word: concat!("#[", "allow("),
        scope: Scope::Everywhere,
        reason: "expect the lint, with its reason",
    },
    Rule {
        word: concat!("#![", "allow("),
        scope: Scope::Everywhere,
        reason: "expect the lint, with its reason",
    },
    Rule {
        word: concat!("#[", "ignore"),
        scope: Scope::Everywhere,
        reason: "a test runs, or says loudly why it cannot (CONTRIBUTING.md)",
    },
    Rule {
        word: concat!("/wo", "rk/"),
        scope: Scope::Everywhere,
        reason: "a path of one machine",
    },
    Rule {
        word: concat!("/fa", "rm/"),
        scope: Scope::Everywhere,
        reason: "a path of one machine",
    },
    Rule {
        word: concat!("/ro", "ot/"),
        scope: Scope::Everywhere,
        reason: "a path of one machine",
    },
    Rule {
        word: concat!("dbg", "!("),
        scope: Scope::Rust,
        reason: "tracing is for that",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, text: &str) -> usize {
        check(Path::new(name), text).len()
    }

    #[test]
    fn every_forbidden_word_is_found() {
        for rule in &RULES {
            assert_eq!(count("a.rs", &format!("x {} y", rule.word)), 1, "{}", rule.word);
        }
    }

    #[test]
    fn a_word_inside_a_longer_one_is_not_meant() {
        assert_eq!(count("a.md", concat!("a frame", "wo", "rk/x and ./wo", "rk/ and pre", "FIX", "MEup")), 0);
        assert_eq!(count("a.md", concat!("see /wo", "rk/x")), 1);
        assert_eq!(count("a.md", concat!("(/wo", "rk/x)")), 1);
    }

    #[test]
    fn a_lock_file_names_the_public_registry_only() {
        assert_eq!(count("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""), 0);
        assert_eq!(count("Cargo.lock", "source = \"sparse+https://mirror.example/index/\""), 1);
        assert_eq!(count("a/package-lock.json", "  \"resolved\": \"https://registry.npmjs.org/a/-/a-1.tgz\","), 0);
        assert_eq!(count("a/package-lock.json", "  \"resolved\": \"https://mirror.example/a/-/a-1.tgz\","), 1);
        assert_eq!(count(".cargo/config.toml", "replace-with = \"mirror\""), 1);
        assert_eq!(count("notes.md", "registry=https://mirror.example"), 0);
    }
}
