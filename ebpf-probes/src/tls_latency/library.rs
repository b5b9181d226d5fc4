//! Which files have OpenSSL in them: those that the owner names; else those that processes have mapped, wherever these have them, and those in
//! the folders where hosts keep theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::rights;

/// A file that may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// Where it is opened.
    pub(super) path: PathBuf,
    /// What whoever uses it calls it.
    pub(super) name: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) libraries: Vec<Library>,
    /// What could not be looked at, and why.
    pub(super) missing: Vec<String>,
}

/// Finds them, each once.
pub(super) fn find(named: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let candidates = if named.is_empty() {
        let mut candidates = mapped(&mut found.missing);
        candidates.extend(kept());
        candidates
    } else {
        named.iter().map(|path| library(path)).collect()
    };
    let mut known = BTreeSet::new();
    for candidate in candidates {
        match fs::metadata(&candidate.path) {
            Ok(file) if !known.insert((file.dev(), file.ino())) => {}
            Ok(file) if !file.is_file() || file.len() > FILE_BYTES => found.missing.push(format!("{}: not a file that can be read", candidate.name)),
            Ok(_) if found.libraries.len() == LIBRARIES => {
                found.missing.push(format!("more than {LIBRARIES} libraries: {} and others", candidate.name));
                break;
            }
            Ok(_) => found.libraries.push(candidate),
            // Whoever had it mapped has ended since.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && named.is_empty() => {}
            Err(cause) => found.missing.push(format!("{}: {cause}", candidate.name)),
        }
    }
    found
}

fn library(path: &Path) -> Library {
    Library {
        path: path.to_owned(),
        name: path.display().to_string(),
    }
}

/// Those that processes have mapped: the very files, whatever lies at their place by now, and in whichever container.
fn mapped(missing: &mut Vec<String>) -> Vec<Library> {
    let mut by_file = BTreeMap::new();
    let mut closed = 0_u32;
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for process in processes.take(PROCESSES) {
        let mut maps = String::new();
        let read = File::open(format!("/proc/{process}/maps")).and_then(|file| file.take(MAPS_BYTES).read_to_string(&mut maps));
        if read.is_err_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied) {
            closed += 1;
        }
        for mapping in maps.lines().filter_map(Mapping::read) {
            by_file.entry(mapping.file.to_owned()).or_insert_with(|| Library {
                path: format!("/proc/{process}/map_files/{:x}-{:x}", mapping.from, mapping.to).into(),
                name: mapping.name.chars().filter(|character| !character.is_control()).collect(),
            });
        }
    }
    // With the right to, what is closed all the same is for somebody else to open.
    if closed > 0 && !rights::may_look_at_all() {
        missing.push(format!(
            "libraries that only containers have: {closed} processes cannot be looked at (CAP_SYS_PTRACE)"
        ));
    }
    by_file.into_values().collect()
}

/// Those in the folders where hosts keep theirs, for programs that are yet to start.
fn kept() -> Vec<Library> {
    let mut kept: Vec<Library> = FOLDERS
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.to_str().is_some_and(is_openssl))
        .map(|path| library(&path))
        .collect();
    kept.sort_by(|one, other| one.path.cmp(&other.path));
    kept
}

/// A line of `/proc/<pid>/maps` that is about code of such a file.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    from: u64,
    to: u64,
    /// Device and number.
    file: &'a str,
    name: &'a str,
}

impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (rights, rest) = rest.split_once(' ')?;
        let (_offset, rest) = rest.split_once(' ')?;
        let name = rest.get(rest.find('/')?..)?;
        if !rights.contains('x') || !is_openssl(name) {
            return None;
        }
        let (from, to) = range.split_once('-')?;
        Some(Self {
            from: u64::from_str_radix(from, 16).ok()?,
            to: u64::from_str_radix(to, 16).ok()?,
            file: rest.strip_suffix(name)?.trim_end(),
            name,
        })
    }
}

/// Whether a path is that of OpenSSL's library, as everybody calls it.
fn is_openssl(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    file == "libssl.so" || file.starts_with("libssl.so.")
}

/// Where hosts keep libraries.
const FOLDERS: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
];
/// Most files that programs are put on: each takes some seventeen descriptors.
const LIBRARIES: usize = 16;
/// Most processes that are looked at, and most of what each has mapped, bytes.
const PROCESSES: usize = 8_192;
const MAPS_BYTES: u64 = 1 << 20;
/// A file of more bytes is no library.
const FILE_BYTES: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_library_is_known_wherever_it_lies_and_nothing_else_is() {
        let line = "7f00a0001000-7f00a0061000 r-xp 0001d000 fe:01 2490513                    /opt/a b/libssl.so.3 (deleted)";
        assert_eq!(
            Mapping::read(line),
            Some(Mapping {
                from: 0x7f00_a000_1000,
                to: 0x7f00_a006_1000,
                file: "fe:01 2490513",
                name: "/opt/a b/libssl.so.3 (deleted)",
            })
        );
        for other in [
            "",
            "7f00-7f01 r-xp",
            "7f00-7f01 r-xp 0 fe:01 7",
            "7f00-7f01 r--p 0 fe:01 7 /usr/lib/libssl.so.3",
            "7f00-7f01 r-xp 0 fe:01 7 /usr/lib/libssl3.so",
            "7f00-7f01 r-xp 0 fe:01 7 /usr/lib/libcrypto.so.3",
            "7f00-zz r-xp 0 fe:01 7 /usr/lib/libssl.so.3",
            "7f00-7f01 r-xp 0 00:00 0 [vdso]",
        ] {
            assert_eq!(Mapping::read(other), None, "{other}");
        }
    }

    #[test]
    fn what_the_owner_names_is_taken_once_and_nothing_else_is_looked_for() {
        let own = PathBuf::from("/proc/self/exe");
        let found = find(&[own.clone(), std::env::current_exe().unwrap(), "/nonexistent/libssl.so".into(), "/proc".into()]);
        assert_eq!(found.libraries.len(), 1);
        assert_eq!(found.libraries[0].path, own);
        assert_eq!(found.missing.len(), 2, "{found:?}");
        assert!(found.missing[0].starts_with("/nonexistent/libssl.so: "), "{found:?}");
    }
}
