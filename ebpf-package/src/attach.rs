//! What a program is put onto: the kinds of hooks that only look.

use std::fmt;
use std::str::FromStr;

/// A hook, as both the object's section and the manifest name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attach {
    /// A tracepoint whose arguments have types: `tp_btf/<tracepoint>`.
    Typed(String),
    /// The same with plain arguments: `raw_tp/<tracepoint>`.
    Plain(String),
    /// A classic tracepoint: `tracepoint/<category>/<name>`.
    Classic {
        /// Its category.
        category: String,
        /// Its name.
        name: String,
    },
    /// The clock of each CPU: `perf_event`.
    Clock,
}

impl fmt::Display for Attach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed(name) => write!(formatter, "tp_btf/{name}"),
            Self::Plain(name) => write!(formatter, "raw_tp/{name}"),
            Self::Classic { category, name } => write!(formatter, "tracepoint/{category}/{name}"),
            Self::Clock => formatter.write_str("perf_event"),
        }
    }
}

/// The text names no hook that a package may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no hook that a package may have; there are: tp_btf/NAME, raw_tp/NAME, tracepoint/CATEGORY/NAME, perf_event")]
pub struct InvalidAttach;

impl FromStr for Attach {
    type Err = InvalidAttach;

    fn from_str(text: &str) -> Result<Self, InvalidAttach> {
        let name = |text: &str| is_name(text).then(|| text.to_owned()).ok_or(InvalidAttach);
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["perf_event"] => Ok(Self::Clock),
            ["tp_btf", tracepoint] => name(tracepoint).map(Self::Typed),
            ["raw_tp" | "raw_tracepoint", tracepoint] => name(tracepoint).map(Self::Plain),
            ["tp" | "tracepoint", category, tracepoint] => Ok(Self::Classic {
                category: name(category)?,
                name: name(tracepoint)?,
            }),
            _ => Err(InvalidAttach),
        }
    }
}

/// What the kernel calls its tracepoints, and C its functions and variables: nothing that could be a path.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= crate::limits::NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hooks_that_look_are_read_and_none_that_is_a_path() {
        for (text, read) in [
            ("tp_btf/sys_exit", "tp_btf/sys_exit"),
            ("raw_tracepoint/sys_exit", "raw_tp/sys_exit"),
            ("tp/sched/sched_switch", "tracepoint/sched/sched_switch"),
            ("perf_event", "perf_event"),
        ] {
            assert_eq!(text.parse::<Attach>().unwrap().to_string(), read);
        }
        for text in [
            "",
            "tp_btf",
            "tp_btf/",
            "tp_btf/a/b",
            "tp/../../x/y",
            "tp/a/..",
            "kprobe/do_exit",
            "fentry/x",
            "lsm/file_open",
            "fmod_ret/x",
            "perf_event/x",
            "raw_tp.w/x",
            "iter/task",
        ] {
            assert_eq!(text.parse::<Attach>(), Err(InvalidAttach), "{text}");
        }
    }
}
