//! `cargo xtask negatives`: which lines of docs/negative-tests.md a test carries the id of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cli::Verdict;
use crate::workspace;

/// How much is printed about ids without a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Counts,
    Names,
}

/// Prints the coverage. An id without a test may wait for its subject; a test that names an unknown id is wrong.
pub(crate) fn run(root: &Path, detail: Detail) -> Result<Verdict> {
    let text = std::fs::read_to_string(root.join(CATALOGUE)).with_context(|| format!("reading {CATALOGUE}"))?;
    let catalogue = catalogue(&text);
    let mut carried = BTreeMap::new();
    for file in workspace::files(root)? {
        if file.extension().is_some_and(|extension| extension == "rs")
            && let Some(text) = workspace::text(root, &file)?
        {
            for id in carried_ids(&text, &catalogue) {
                carried.entry(id).or_insert_with(|| file.clone());
            }
        }
    }
    let unknown: Vec<_> = carried.iter().filter(|(id, _)| !catalogue.contains(*id)).collect();
    for (id, file) in &unknown {
        println!("broken: {}: {id} is not in {CATALOGUE}", file.display());
    }
    print_coverage(&catalogue, &carried.keys().cloned().collect(), detail);
    Ok(if unknown.is_empty() { Verdict::Clean } else { Verdict::Broken })
}

fn print_coverage(catalogue: &BTreeSet<String>, carried: &BTreeSet<String>, detail: Detail) {
    let mut groups: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for id in catalogue {
        let (covered, missing) = groups.entry(id.split('-').next().unwrap_or(id)).or_default();
        if carried.contains(id) {
            *covered = covered.saturating_add(1);
        } else {
            missing.push(id);
        }
    }
    for (group, (covered, missing)) in &groups {
        println!("{group}: {covered} of {} have a test", covered.saturating_add(missing.len()));
        if detail == Detail::Names && !missing.is_empty() {
            println!("  without: {}", missing.join(" "));
        }
    }
    println!("negatives: {} of {} ids have a test", catalogue.intersection(carried).count(), catalogue.len());
}

/// The ids at the head of the catalogue's lines: `- FRM-01 …`.
fn catalogue(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("- ")?.split_whitespace().next())
        .filter(|word| is_id(word))
        .map(str::to_owned)
        .collect()
}

/// The ids a source file's function names begin with: `fn frm_01_frm_02_…` carries two.
fn carried_ids(text: &str, catalogue: &BTreeSet<String>) -> BTreeSet<String> {
    let groups: BTreeSet<&str> = catalogue.iter().filter_map(|id| id.split('-').next()).collect();
    text.lines().filter_map(function_name).flat_map(|name| leading_ids(name, &groups)).collect()
}

/// The name of the function a line declares; a `fn` inside other text is none.
fn function_name(line: &str) -> Option<&str> {
    let (before, rest) = line.trim_start().split_once("fn ")?;
    let declares = before
        .split_whitespace()
        .all(|word| word.starts_with("pub") || matches!(word, "async" | "const"));
    declares.then(|| rest.split(['(', '<']).next()).flatten()
}

fn leading_ids(name: &str, groups: &BTreeSet<&str>) -> Vec<String> {
    let mut words = name.split('_');
    let mut ids = Vec::new();
    while let (Some(group), Some(number)) = (words.next(), words.next()) {
        let id = format!("{}-{number}", group.to_uppercase());
        if !is_id(&id) || !groups.contains(group.to_uppercase().as_str()) {
            break;
        }
        ids.push(id);
    }
    ids
}

/// Three capitals, a hyphen, two digits.
fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(group, number)| {
        group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_uppercase()) && number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

const CATALOGUE: &str = "docs/negative-tests.md";

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        let catalogue = ["FRM-01", "FRM-02", "ENR-04"].map(str::to_owned).into();
        carried_ids(text, &catalogue).into_iter().collect()
    }

    #[test]
    fn the_catalogue_is_the_ids_at_the_head_of_its_lines() {
        let found = catalogue("# head\n- FRM-01 text → see FRM-09\n- a word\ntext FRM-02\n- FRM-3 short\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["FRM-01"]);
    }

    #[test]
    fn a_test_carries_the_ids_its_name_begins_with() {
        assert_eq!(ids("    fn frm_01_a_frame_too_long_closes() {"), ["FRM-01"]);
        assert_eq!(ids("    async fn enr_04_frm_02_both() {\nfn plain() {}"), ["ENR-04", "FRM-02"]);
    }

    #[test]
    fn an_unknown_id_of_a_known_group_is_seen_and_another_word_is_not() {
        assert_eq!(ids("fn frm_99_x() {"), ["FRM-99"]);
        assert_eq!(
            ids("x(\"fn frm_01_x\");\nfn abc_01_x() {\nfn frm_x() {\nfn the_frm_01() {"),
            Vec::<String>::new()
        );
    }
}
