//! Where packages come from.

use super::graph::Graph;

/// Refuses a package from git or from any registry but crates.io.
pub(super) fn check(graph: &Graph) -> Vec<String> {
    let foreign = graph.packages.iter().filter_map(|package| {
        let source = package.source.as_deref()?;
        (source != CRATES_IO).then(|| format!("`{} {}` comes from {source}, not from crates.io", package.name, package.version))
    });
    let unknown = graph
        .packages
        .iter()
        .filter(|package| package.source.is_none() && !graph.members.contains_key(&package.name));
    foreign
        .chain(unknown.map(|package| format!("`{}` is a folder outside the workspace", package.name)))
        .collect()
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[cfg(test)]
mod tests {
    use super::super::graph::{Member, Package};
    use super::*;

    fn found(name: &str, source: Option<&str>) -> usize {
        let mut graph = Graph::default();
        graph.members.insert("ours".to_owned(), Member::default());
        graph.packages.push(Package {
            name: name.to_owned(),
            source: source.map(str::to_owned),
            ..Package::default()
        });
        check(&graph).len()
    }

    #[test]
    fn crates_io_and_the_workspace_are_fine() {
        assert_eq!(found("serde", Some(CRATES_IO)), 0);
        assert_eq!(found("ours", None), 0);
    }

    #[test]
    fn git_other_registries_and_stray_folders_are_refused() {
        assert_eq!(found("serde", Some("git+https://github.com/serde-rs/serde#0123")), 1);
        assert_eq!(found("serde", Some("sparse+https://registry.example/")), 1);
        assert_eq!(found("vendored", None), 1);
    }
}
