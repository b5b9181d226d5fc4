//! Tests that cannot run here say so, and only those written down may.
//!
//! nextest hides what a passing test prints, so a test that cannot run appends one line `SKIP <id>: <reason>` to the file that the
//! environment variable [`VARIABLE`] names (and prints it too). The set of lines has to be that of docs/skips.txt.

use std::collections::BTreeSet;

/// Names the file a skipping test writes its line to.
pub(super) const VARIABLE: &str = "PROBEOPS_SKIP_LOG";

/// The lines of a log or of docs/skips.txt, without `SKIP `, comments and repetitions.
pub(super) fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.strip_prefix("SKIP ").unwrap_or(line).to_owned())
        .collect()
}

/// What differs between what was skipped and what may be.
pub(super) fn differences(skipped: &BTreeSet<String>, allowed: &BTreeSet<String>) -> Vec<String> {
    let surprising = skipped.difference(allowed).map(|line| format!("skipped, and not in docs/skips.txt: {line}"));
    let gone = allowed.difference(skipped).map(|line| format!("in docs/skips.txt, and not skipped: {line}"));
    surprising.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_that_is_not_written_down_differs_in_both_directions() {
        let skipped = lines("SKIP KIL-13: no device mapper\nSKIP KIL-13: no device mapper\n");
        assert_eq!(differences(&skipped, &lines("# none\n")).len(), 1);
        assert_eq!(differences(&lines(""), &lines("KIL-13: no device mapper")).len(), 1);
        assert_eq!(differences(&skipped, &lines("KIL-13: no device mapper")), Vec::<String>::new());
    }
}
