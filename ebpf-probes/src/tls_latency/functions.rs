//! Programs onto functions of libraries: the beginnings before the ends, so that no end is met whose beginning was not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::ProgramError;
use blazesym::inspect::Inspector;
use blazesym::inspect::source::{Elf, Source};

use super::library::{self, Library};
use super::rights::Raised;
use crate::attach::{self, Attachment, Hook};
use crate::check;
use crate::error::ObserveError;

/// Puts them there, and says how well and in which files.
pub(super) fn attach(ebpf: &mut Ebpf, named: &[PathBuf]) -> Result<(Attachment, Vec<String>), ObserveError> {
    for program in PROGRAMS {
        attach::load_function(ebpf, program).map_err(|source| ObserveError::Program {
            program,
            source: Box::new(source),
        })?;
    }
    let _in_use = Raised::begin();
    if let Some(offset) = check::own_function() {
        attach::attach_function(ebpf, CHECKED, Path::new(check::OWN_FILE), offset).map_err(|source| ObserveError::Function { source: Box::new(source) })?;
    }
    let found = library::find(named);
    let mut attachment = Attachment {
        missing: found.missing,
        ..Attachment::default()
    };
    let mut looked_at = Vec::new();
    for library in found.libraries {
        match attach_all(ebpf, &library) {
            Ok(()) => looked_at.push(library.name),
            Err(why) => attachment.missing.push(format!("{}: {why}", library.name)),
        }
    }
    if looked_at.is_empty() {
        return Err(ObserveError::NoLibrary {
            why: attachment.missing.join("; "),
        });
    }
    Ok((attachment, looked_at))
}

fn attach_all(ebpf: &mut Ebpf, library: &Library) -> Result<(), String> {
    let source = Source::from(Elf {
        debug_syms: false,
        ..Elf::new(&library.path)
    });
    let symbols = FUNCTIONS.map(|function| function.symbol);
    let inspector = Inspector::new();
    let places = inspector.lookup(&source, &symbols).map_err(|cause| format!("cannot be read: {cause}"))?;
    let mut wanted = BTreeSet::new();
    for (function, places) in FUNCTIONS.iter().zip(&places) {
        // One function may have several names.
        if let Some(offset) = places.first().and_then(|place| place.file_offset) {
            wanted.extend(function.begin.map(|program| (Side::Begin, offset, program)));
            wanted.extend(function.end.map(|program| (Side::End, offset, program)));
        }
    }
    if !wanted.iter().any(|(_, _, program)| WORTH.contains(program)) {
        return Err("has none of OpenSSL's functions".to_owned());
    }
    for (_, offset, program) in wanted {
        let failed = |cause: ProgramError| format!("{program} does not attach: {cause}");
        attach::attach_function(ebpf, program, &library.path, offset).map_err(failed)?;
    }
    Ok(())
}

/// Beginnings come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Begin,
    End,
}

/// A function of OpenSSL, and the programs where it begins and ends.
struct Function {
    symbol: &'static str,
    begin: Option<&'static str>,
    end: Option<&'static str>,
}

const fn between(symbol: &'static str, begin: &'static str, end: &'static str) -> Function {
    Function {
        symbol,
        begin: Some(begin),
        end: Some(end),
    }
}

const FUNCTIONS: [Function; 9] = [
    between("SSL_do_handshake", CHECKED, "handshake_end"),
    between("SSL_connect", CHECKED, "handshake_end"),
    between("SSL_accept", CHECKED, "handshake_end"),
    between("SSL_read", "read_begin", "read_end"),
    between("SSL_read_ex", "read_begin", "read_end"),
    between("SSL_write", "write_begin", "write_end"),
    between("SSL_write_ex", "write_begin", "write_end"),
    Function {
        symbol: "SSL_get_error",
        begin: None,
        end: Some("error_told"),
    },
    // Not SSL_clear: each handshake begins with one.
    Function {
        symbol: "SSL_free",
        begin: Some("gone"),
        end: None,
    },
];

/// The one that is seen to run.
const CHECKED: &str = "handshake_begin";
const PROGRAMS: [&str; 8] = [
    CHECKED,
    "handshake_end",
    "read_begin",
    "read_end",
    "write_begin",
    "write_end",
    "error_told",
    "gone",
];
/// A file with none of these is somebody else's.
const WORTH: [&str; 3] = [CHECKED, "read_begin", "write_begin"];

/// What can be given up, ends before beginnings: handshakes are what is left.
pub(crate) const HOOKS: [Hook; 2] = [
    Hook {
        tracepoint: "SSL_read",
        typed: "read_end",
        plain: "read_begin",
        without: Some("how long reads take"),
    },
    Hook {
        tracepoint: "SSL_write",
        typed: "write_end",
        plain: "write_begin",
        without: Some("how long writes take"),
    },
];
