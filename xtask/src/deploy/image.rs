//! The images: what they copy is there, and nobody runs as root in them.

use std::path::Path;

use anyhow::{Context as _, Result};

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let folder = root.join("deploy/docker");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        broken.extend(
            findings(&text, |source| root.join(source).exists())
                .into_iter()
                .map(|finding| format!("{name}: {finding}")),
        );
    }
    Ok(broken)
}

fn findings(text: &str, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("COPY") {
            continue;
        }
        let sources: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
        let from_a_stage = line.contains("--from=");
        let missing = sources.iter().rev().skip(1).find(|source| !from_a_stage && !is_there(source));
        broken.extend(missing.map(|source| format!("copies `{source}`, which is not there")));
    }
    let user = text.lines().rev().find_map(|line| line.strip_prefix("USER "));
    if user.is_none_or(|user| user.starts_with("root") || user.starts_with('0')) {
        broken.push("runs as root: name another USER".to_owned());
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_and_root_are_found() {
        let there = |source: &str| source == "." || source == "here";
        let good = "FROM a AS b\nCOPY . .\nFROM c\nCOPY --from=b /out/x /usr/bin/x\nCOPY here there\nUSER 10001:10001\n";
        assert_eq!(findings(good, there), Vec::<String>::new());
        let bad = "FROM c\nCOPY here gone /there/\nUSER 0\n";
        assert_eq!(findings(bad, there), ["copies `gone`, which is not there", "runs as root: name another USER"]);
        assert_eq!(findings("FROM c\n", there).len(), 1);
    }
}
