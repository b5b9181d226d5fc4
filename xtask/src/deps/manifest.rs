//! The manifests themselves: versions stand once, and each dependency has its reason.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

/// Refuses a version outside the workspace's table, and a dependency that docs/adr/0002-dependencies.md does not explain.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let workspace = read(root, "Cargo.toml")?;
    let reasons = std::fs::read_to_string(root.join(ADR)).with_context(|| format!("reading {ADR}"))?;
    let mut broken = unexplained(&workspace, &reasons);
    let members = workspace
        .get("workspace")
        .and_then(|table| table.get("members"))
        .and_then(Value::as_array)
        .context("no members in Cargo.toml")?;
    for member in members.iter().filter_map(Value::as_str) {
        broken.extend(own_versions(member, &read(root, &format!("{member}/Cargo.toml"))?));
    }
    Ok(broken)
}

fn read(root: &Path, file: &str) -> Result<Table> {
    let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("reading {file}"))?;
    text.parse().with_context(|| format!("parsing {file}"))
}

fn unexplained(workspace: &Table, reasons: &str) -> Vec<String> {
    let dependencies = workspace.get("workspace").and_then(|table| table.get("dependencies")).and_then(Value::as_table);
    let outside = dependencies.into_iter().flatten().filter(|(_, value)| value.get("path").is_none());
    outside
        .filter(|(name, _)| !reasons.contains(&format!("| `{name}` |")))
        .map(|(name, _)| format!("`{name}` has no line in {ADR}"))
        .collect()
}

fn own_versions(member: &str, manifest: &Table) -> Vec<String> {
    let lists = ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|list| manifest.get(list).and_then(Value::as_table));
    lists
        .flatten()
        .filter(|(_, value)| value.get("workspace").and_then(Value::as_bool) != Some(true))
        .map(|(name, _)| format!("{member}/Cargo.toml: `{name}` takes its version from the workspace (`{name}.workspace = true`)"))
        .collect()
}

const ADR: &str = "docs/adr/0002-dependencies.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_its_own_is_refused() {
        let manifest: Table = "[dependencies]\nserde.workspace = true\n[dev-dependencies]\nrand = \"0.8\"".parse().unwrap();
        assert_eq!(own_versions("a", &manifest).len(), 1);
    }

    #[test]
    fn a_dependency_without_a_reason_is_refused() {
        let workspace: Table = "[workspace.dependencies]\nours = { path = \"x\" }\nserde = \"1\"\nrand = \"0.10\""
            .parse()
            .unwrap();
        assert_eq!(unexplained(&workspace, "| `serde` | because |").len(), 1);
    }
}
