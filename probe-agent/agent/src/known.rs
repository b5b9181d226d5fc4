//! Reads the files that say what is known of addresses, and tells what came of each. One that cannot be used stops nothing: what it would have
//! said is absent, and capabilities, the log and `probe-agent check` say why.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use agent_probes::known::{Known, Lack, Origins, Unusable, Vendors};
use nix::fcntl::OFlag;

use crate::config::KnownSettings;

/// What is known, and which files say it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What is known.
    pub known: Known,
    /// Every file that the owner named.
    pub files: Vec<KnownFile>,
}

/// A file that the owner named.
#[derive(Debug)]
pub struct KnownFile {
    /// The key under which it stands.
    pub key: Key,
    /// The file.
    pub path: PathBuf,
    /// What came of it.
    pub outcome: Result<Entries, Unusable>,
}

/// A key of the table `[known]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Who announces which addresses.
    AsNumbers,
    /// Who makes which interfaces.
    Vendors,
}

/// What a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries {
    /// How many entries.
    pub count: usize,
    /// When it was last written, where the file system says so.
    pub written: Option<jiff::Timestamp>,
}

impl Key {
    /// As the configuration has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsNumbers => "as_numbers",
            Self::Vendors => "vendors",
        }
    }

    const fn entries(self) -> &'static str {
        match self {
            Self::AsNumbers => "prefixes",
            Self::Vendors => "blocks",
        }
    }

    const fn absent(self) -> &'static str {
        match self {
            Self::AsNumbers => "AS numbers of hops",
            Self::Vendors => "vendors of interfaces",
        }
    }
}

impl fmt::Display for KnownFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.outcome {
            Ok(Entries { count, written }) => {
                write!(formatter, "{path}: {count} {}", self.key.entries())?;
                written.map_or(Ok(()), |written| write!(formatter, ", written {}", written.strftime("%Y-%m-%d")))
            }
            Err(unusable) => write!(formatter, "{path} {unusable} ({}); the agent runs without it", unusable.code()),
        }
    }
}

/// Reads every file that the owner named, in order.
pub fn load(settings: &KnownSettings) -> Loaded {
    let mut loaded = Loaded::default();
    for path in &settings.as_numbers {
        let outcome = read_origins(path, &mut loaded.known.origins);
        loaded.note(Key::AsNumbers, path, outcome);
    }
    for path in &settings.vendors {
        let outcome = read_vendors(path, &mut loaded.known.vendors);
        loaded.note(Key::Vendors, path, outcome);
    }
    loaded
}

impl Loaded {
    /// Says in the log what came of each file.
    pub fn log(&self) {
        for file in &self.files {
            let key = file.key.as_str();
            match &file.outcome {
                Ok(_) => tracing::info!(key, %file, "a file says what is known of addresses"),
                Err(unusable) => tracing::warn!(key, code = unusable.code(), %file, "a file of the owner is of no use"),
            }
        }
    }

    fn note(&mut self, key: Key, path: &Path, outcome: Result<Entries, Unusable>) {
        let path = path.to_owned();
        if let Err(unusable) = &outcome {
            let lack = match key {
                Key::AsNumbers => &mut self.known.origins_lack,
                Key::Vendors => &mut self.known.vendors_lack,
            };
            // Whoever asks from elsewhere learns what is missing, and not how this host's files are called.
            lack.get_or_insert_with(|| Lack {
                reason: format!(
                    "{} may be absent: a file of known.{} is of no use ({})",
                    key.absent(),
                    key.as_str(),
                    unusable.code()
                ),
                remedy: "`probe-agent check` on the agent's host names the file; mend it and restart the agent".to_owned(),
            });
        }
        self.files.push(KnownFile { key, path, outcome });
    }
}

fn read_origins(path: &Path, origins: &mut Origins) -> Result<Entries, Unusable> {
    let is_database = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mmdb"));
    let most = if is_database { DATABASE_BYTES } else { LINES_BYTES };
    let (file, written) = open(path, most)?;
    let mut input = file.take(most);
    let count = if is_database {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        origins.read_database(&bytes)?
    } else {
        origins.read_lines(BufReader::new(input))?
    };
    Ok(Entries { count, written })
}

fn read_vendors(path: &Path, vendors: &mut Vendors) -> Result<Entries, Unusable> {
    let (file, written) = open(path, VENDORS_BYTES)?;
    let count = vendors.read(BufReader::new(file.take(VENDORS_BYTES)))?;
    Ok(Entries { count, written })
}

/// Opens a plain file of at most so many bytes; nothing else, for a pipe without a writer would be waited for.
fn open(path: &Path, most: u64) -> Result<(File, Option<jiff::Timestamp>), Unusable> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Unusable::NotAFile);
    }
    if found.len() > most {
        return Err(Unusable::TooLarge { most });
    }
    let written = found.modified().ok().and_then(|written| jiff::Timestamp::try_from(written).ok());
    Ok((file, written))
}

/// Longest file of lines about prefixes: five times what there is to say.
const LINES_BYTES: u64 = 256 * 1024 * 1024;
/// Longest database; it is in memory as a whole while it is read.
const DATABASE_BYTES: u64 = 64 * 1024 * 1024;
/// Longest file of vendors.
const VENDORS_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(folder: &Path, as_numbers: &[&str], vendors: &[&str]) -> KnownSettings {
        let whole = |names: &[&str]| names.iter().map(|name| folder.join(name)).collect();
        KnownSettings {
            as_numbers: whole(as_numbers),
            vendors: whole(vendors),
        }
    }

    #[test]
    fn kno_09_a_file_that_cannot_be_used_costs_what_it_would_have_said_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
        put("good", b"8.0.0.0\t8\t64500\n");
        put("bad", b"8.0.0.0\t8\t64500\n8.0.0.0\t33\t64500\n");
        put("no.mmdb", b"8.0.0.0\t8\t64500\n");
        put("oui.txt", b"00-00-5E   (hex)\t\tICANN\n");
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        File::create(folder.path().join("long.mmdb")).unwrap().set_len(DATABASE_BYTES + 1).unwrap();
        let names = ["missing", "bad", "no.mmdb", "pipe", ".", "long.mmdb", "good"];
        let loaded = load(&settings(folder.path(), &names, &["oui.txt"]));
        let codes: Vec<_> = loaded.files.iter().map(|file| file.outcome.as_ref().err().map(Unusable::code)).collect();
        let codes_expected = [
            "file_unreadable",
            "file_bad_line",
            "file_bad_database",
            "file_not_plain",
            "file_not_plain",
            "file_too_large",
        ];
        assert_eq!(codes[..6], codes_expected.map(Some));
        assert_eq!(codes[6..], [None, None]);
        assert!(loaded.files[1].to_string().contains("bad line 2 has no length"), "{}", loaded.files[1]);
        assert!(loaded.files[6].to_string().contains("good: 1 prefixes, written 2"), "{}", loaded.files[6]);
        assert_eq!(loaded.known.vendors_lack, None);
        let lack = loaded.known.origins_lack.unwrap();
        assert!(
            lack.reason.contains("known.as_numbers") && lack.reason.contains("file_unreadable"),
            "{}",
            lack.reason
        );
        assert!(
            !lack.reason.contains(&folder.path().display().to_string()),
            "paths of the host stay on it: {}",
            lack.reason
        );
    }

    #[test]
    fn without_files_nothing_is_known_and_nothing_is_missing() {
        let loaded = load(&KnownSettings::default());
        assert!(loaded.files.is_empty() && loaded.known.origins_lack.is_none() && loaded.known.vendors_lack.is_none());
    }
}
