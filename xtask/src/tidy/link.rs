//! Links between the documents.

use std::path::{Component, Path, PathBuf};

use super::finding::Finding;

/// Refuses a relative link of a Markdown file that leads nowhere.
pub(super) fn check(file: &Path, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    if file.extension().is_none_or(|extension| extension != "md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut fenced = false;
    for (line, number) in text.lines().zip(1_usize..) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            match resolve(file, target) {
                Some(path) if exists(&path) => {}
                Some(_) | None => findings.push(Finding::broken(file, Some(number), format!("the link `{target}` leads nowhere"))),
            }
        }
    }
    findings
}

/// The relative targets of the links on a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter_map(|target| {
        let path = target.split('#').next().unwrap_or(target);
        let outside = target.contains("://") || target.starts_with("mailto:") || path.is_empty();
        (!outside).then_some(path)
    })
}

/// The path a link means, from the root of the workspace; `None` if it leads out of it.
fn resolve(file: &Path, target: &str) -> Option<PathBuf> {
    let mut path = file.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(target).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(file: &str, text: &str) -> usize {
        check(Path::new(file), text, |path| {
            path == Path::new("docs/adr/0001.md") || path == Path::new("README.md")
        })
        .len()
    }

    #[test]
    fn a_relative_link_is_followed_from_its_file() {
        assert_eq!(broken("docs/a.md", "[x](adr/0001.md) and [y](../README.md#top)"), 0);
        assert_eq!(broken("a.md", "[x](docs/adr/0001.md)"), 0);
    }

    #[test]
    fn a_link_that_leads_nowhere_or_outside_is_refused() {
        assert_eq!(broken("a.md", "[x](docs/adr/0002.md)"), 1);
        assert_eq!(broken("a.md", "[x](../README.md)"), 1);
        assert_eq!(broken("a.md", "[x](/README.md)"), 1);
    }

    #[test]
    fn links_to_the_world_and_code_are_left_alone() {
        assert_eq!(broken("a.md", "[x](https://example.test/y) [z](#here)\n```\n[x](nowhere.md)\n```"), 0);
        assert_eq!(broken("a.rs", "[x](nowhere.md)"), 0);
    }
}
