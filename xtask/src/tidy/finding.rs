//! One thing a check found.

use std::fmt;
use std::path::{Path, PathBuf};

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Warning,
    Broken,
}

/// Where it is and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    file: PathBuf,
    line: Option<usize>,
    text: String,
}

impl Finding {
    pub(super) fn warning(file: &Path, line: Option<usize>, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            file: file.to_owned(),
            line,
            text: text.into(),
        }
    }

    pub(super) fn broken(file: &Path, line: Option<usize>, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Broken,
            ..Self::warning(file, line, text)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Broken => "broken",
        };
        match self.line {
            Some(line) => write!(out, "{word}: {}:{line}: {}", self.file.display(), self.text),
            None => write!(out, "{word}: {}: {}", self.file.display(), self.text),
        }
    }
}
