//! Files and functions that have grown too long.

use std::path::Path;

use super::finding::Finding;

/// Warns about a file that may be two rooms and a function that may be two, refuses a giant.
pub(super) fn check(file: &Path, text: &str) -> Vec<Finding> {
    let Some(extension) = file.extension().and_then(|extension| extension.to_str()) else {
        return Vec::new();
    };
    if !SOURCES.contains(&extension) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let all = text.lines().count();
    let code = without_tests(text).count();
    if all > FILE_LIMIT {
        findings.push(Finding::broken(file, None, format!("{all} lines, more than {FILE_LIMIT}: cut it in two")));
    } else if code > FILE_WARNING && !is_test(file) {
        findings.push(Finding::warning(
            file,
            None,
            format!("{code} lines without tests, more than {FILE_WARNING}: is it two rooms?"),
        ));
    }
    if extension == "rs" && !is_test(file) {
        findings.extend(long_functions(file, text));
    }
    findings
}

fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]")
}

/// A file that is nothing but tests has no code to split.
fn is_test(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests") || file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "conformance")
}

/// rustfmt closes a function at the indentation it was opened with, which is all this needs to know.
fn long_functions(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (line, number) in without_tests(text).zip(1_usize..) {
        let indentation = line.len().saturating_sub(line.trim_start().len());
        match open {
            None if opens_function(line) && !line.trim_end().ends_with([';', '}']) => open = Some((number, indentation)),
            Some((start, outer)) if indentation == outer && line.trim_end() == format!("{:outer$}}}", "") => {
                let length = number.saturating_sub(start).saturating_add(1);
                if length > FUNCTION_WARNING {
                    findings.push(Finding::warning(
                        file,
                        Some(start),
                        format!("a function of {length} lines, more than {FUNCTION_WARNING}"),
                    ));
                }
                open = None;
            }
            // A declaration without a body ends at its semicolon.
            Some((_, outer)) if indentation == outer && line.trim_end().ends_with(';') => open = None,
            None | Some(_) => {}
        }
    }
    findings
}

fn opens_function(line: &str) -> bool {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub") || matches!(*word, "async" | "const" | "unsafe"));
    words.next() == Some("fn")
}

const SOURCES: [&str; 5] = ["rs", "ts", "tsx", "c", "h"];
const FILE_WARNING: usize = 400;
const FILE_LIMIT: usize = 800;
const FUNCTION_WARNING: usize = 60;

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn severities(name: &str, text: &str) -> Vec<Severity> {
        check(Path::new(name), text).into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn a_file_is_warned_above_400_lines_and_refused_above_800() {
        assert_eq!(severities("a.rs", &"x\n".repeat(400)), []);
        assert_eq!(severities("a.rs", &"x\n".repeat(401)), [Severity::Warning]);
        assert_eq!(severities("a.rs", &"x\n".repeat(801)), [Severity::Broken]);
        assert_eq!(severities("a.md", &"x\n".repeat(801)), []);
        assert_eq!(severities("a/tests.rs", &"x\n".repeat(401)), []);
        assert_eq!(severities("tests/a.rs", &"x\n".repeat(801)), [Severity::Broken]);
    }

    #[test]
    fn tests_count_towards_the_limit_but_not_towards_the_warning() {
        let tests = |lines: usize| format!("{}#[cfg(test)]\n{}", "x\n".repeat(300), "y\n".repeat(lines));
        assert_eq!(severities("a.rs", &tests(400)), []);
        assert_eq!(severities("a.rs", &tests(600)), [Severity::Broken]);
    }

    #[test]
    fn a_long_function_is_warned_about() {
        let function = |lines: usize| format!("impl A {{\n    pub(crate) async fn f() {{\n{}    }}\n}}\n", "        x();\n".repeat(lines));
        assert_eq!(severities("a.rs", &function(58)), []);
        assert_eq!(severities("a.rs", &function(59)), [Severity::Warning]);
    }

    #[test]
    fn a_declaration_without_a_body_is_no_function() {
        let text = format!("trait A {{\n    fn f(\n        x: u8,\n    );\n{}}}\n", "    // x\n".repeat(100));
        assert_eq!(severities("a.rs", &text), []);
    }
}
