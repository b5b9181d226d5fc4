//! Objects as they are, and changed where a test wants them to be.

use std::path::Path;

use ebpf_package::{Checked, Package, Refusal};

/// A committed object.
pub(crate) fn object(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

pub(crate) fn sample(name: &str) -> (String, Vec<u8>) {
    let manifest = object(&format!("../samples/observe/{name}.toml"));
    (String::from_utf8(manifest).unwrap(), object(&format!("../samples/observe/{name}.bpf.o")))
}

/// The manifest of a twin: one program, one map.
pub(crate) const TWIN: &str = r#"
name = "twin"
version = "1"

[[programs]]
name = "run"
attach = "raw_tp/sys_enter"

[[maps]]
name = "rows"
read = "rows"
"#;

/// What becomes of a committed object under a manifest.
pub(crate) fn twin(name: &str, manifest: &str) -> Result<Checked, Refusal> {
    check(manifest, object(&format!("tests/objects/{name}.bpf.o")))
}

pub(crate) fn check(manifest: &str, object: Vec<u8>) -> Result<Checked, Refusal> {
    Package::new(manifest.to_owned(), object)?.check()
}

/// Puts bytes where others of the same length stood, all of them.
pub(crate) fn changed(mut object: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = (0..=object.len() - from.len()).filter(|at| object[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "nothing to change");
    for at in places {
        object[at..at + to.len()].copy_from_slice(to);
    }
    object
}
