//! One line for people.

/// A line and how it sounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) text: String,
    /// How it sounds.
    pub(crate) tone: Tone,
}

/// How a line sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As usual.
    Plain,
    /// Something went wrong: stands out where there is colour.
    Warning,
}

impl Line {
    /// A line as usual.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Plain,
        }
    }

    /// A line about what went wrong.
    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Warning,
        }
    }

    /// The same with something before it.
    pub(crate) fn after(self, prefix: &str) -> Self {
        Self {
            text: format!("{prefix}{}", self.text),
            tone: self.tone,
        }
    }
}
