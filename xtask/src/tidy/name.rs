//! File names that say nothing.

use std::path::Path;

use super::finding::Finding;

/// Refuses a name that could hold anything.
pub(super) fn check(file: &Path) -> Option<Finding> {
    let name = file.file_name()?.to_str()?;
    let stem = name
        .strip_suffix(".rs")
        .or_else(|| name.strip_suffix(".ts"))
        .or_else(|| name.strip_suffix(".tsx"))?;
    if name == "mod.rs" {
        return Some(Finding::broken(file, None, "a module is `foo.rs` beside `foo/`, never mod.rs"));
    }
    EMPTY_NAMES
        .contains(&stem)
        .then(|| Finding::broken(file, None, format!("`{stem}` says nothing: name the file by the one idea in it")))
}

const EMPTY_NAMES: [&str; 6] = ["utils", "common", "helpers", "types", "manager", "misc"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_named_after_nothing_is_refused() {
        for name in ["a/src/utils.rs", "types.rs", "console/src/helpers.ts", "x/mod.rs", "misc.tsx"] {
            assert!(check(Path::new(name)).is_some(), "{name}");
        }
    }

    #[test]
    fn a_file_named_by_its_noun_is_fine() {
        for name in ["a/src/lease.rs", "utils.md", "src/close_types.rs", "LICENSE"] {
            assert!(check(Path::new(name)).is_none(), "{name}");
        }
    }
}
