//! What a figure was measured on: a figure without its machine says little.

use std::path::Path;

use serde_json::{Value, json};

/// The machine as the kernel describes it; what it does not say is left out.
pub(super) fn facts() -> Value {
    let line = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let found = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(found.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    };
    let whole = |file: &str| std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned());
    json!({
        "processor": line("/proc/cpuinfo", "model name"),
        "processors": std::thread::available_parallelism().ok().map(usize::from),
        "memory": line("/proc/meminfo", "MemTotal"),
        "kernel": whole("/proc/sys/kernel/osrelease"),
        "load_before": whole("/proc/loadavg"),
        "niceness": niceness(),
        "temporary_files_on": file_system(&std::env::temp_dir()),
    })
}

/// Below 0 where the run was put before others on a machine that it shared with them.
fn niceness() -> Option<i64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(16)?.parse().ok()
}

/// The kind of file system of the longest mount point that holds a folder.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    mounts.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let facts = facts();
        for fact in ["processors", "kernel", "niceness", "temporary_files_on"] {
            assert!(facts.get(fact).is_some_and(|value| !value.is_null()), "{fact} in {facts}");
        }
    }
}
