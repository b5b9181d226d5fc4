//! `cargo xtask ebpf`: the committed objects are what their sources come to.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cli::Verdict;
use crate::debian::{self, Program};
use crate::tool::Install;

/// Whether the objects are written or looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Compare,
}

/// Builds every program beside a copy of its sources, and takes over or compares what came of it.
pub(crate) fn run(root: &Path, mode: Mode, install: Install) -> Result<Verdict> {
    debian::ensure(&COMPILER, install)?;
    let mut verdict = Verdict::Clean;
    for place in &PLACES {
        if build_all(root, place, mode)? == Verdict::Broken {
            verdict = Verdict::Broken;
        }
    }
    Ok(verdict)
}

fn build_all(root: &Path, place: &Place, mode: Mode) -> Result<Verdict> {
    let folder = root.join(place.folder);
    let scratch = tempfile::tempdir().context("making a folder to build in")?;
    let sources = sources(&folder)?;
    for name in list(&folder)?.iter().filter(|name| !name.ends_with(OBJECT) && *name != HASHES) {
        std::fs::copy(folder.join(name), scratch.path().join(name)).with_context(|| format!("copying {name}"))?;
    }
    if let Some(header) = place.header {
        let name = Path::new(header).file_name().context("a header without a name")?;
        std::fs::copy(root.join(header), scratch.path().join(name)).with_context(|| format!("copying {header}"))?;
    }
    for source in &sources {
        build(scratch.path(), source)?;
    }
    let objects: Vec<String> = sources.iter().map(|source| object_of(source)).collect();
    let hashes = hashes(scratch.path(), &objects)?;
    if mode == Mode::Write {
        for object in &objects {
            std::fs::copy(scratch.path().join(object), folder.join(object)).with_context(|| format!("writing {object}"))?;
        }
        std::fs::write(folder.join(HASHES), hashes).with_context(|| format!("writing {HASHES}"))?;
        println!("ebpf: wrote {} objects of {}", objects.len(), place.folder);
        return Ok(Verdict::Clean);
    }
    compare(&folder, scratch.path(), &objects, &hashes)
}

fn compare(committed: &Path, rebuilt: &Path, objects: &[String], hashes: &str) -> Result<Verdict> {
    let mut verdict = Verdict::Clean;
    for object in objects {
        let fresh = std::fs::read(rebuilt.join(object)).with_context(|| format!("reading {object}"))?;
        if std::fs::read(committed.join(object)).ok().is_none_or(|old| old != fresh) {
            println!(
                "broken: {}/{object}: not what its source comes to; build it with `cargo xtask ebpf`",
                committed.display()
            );
            verdict = Verdict::Broken;
        }
    }
    for stray in list(committed)?.iter().filter(|name| name.ends_with(OBJECT) && !objects.contains(name)) {
        println!("broken: {}/{stray}: has no source", committed.display());
        verdict = Verdict::Broken;
    }
    if std::fs::read_to_string(committed.join(HASHES)).ok().is_none_or(|old| old != hashes) {
        println!(
            "broken: {}/{HASHES}: not the hashes of the objects; write it with `cargo xtask ebpf`",
            committed.display()
        );
        verdict = Verdict::Broken;
    }
    if verdict == Verdict::Clean {
        println!(
            "ebpf: {} objects of {} are what their sources come to, byte for byte",
            objects.len(),
            committed.display()
        );
    }
    Ok(verdict)
}

/// Called within the folder of the sources, so that no path of this machine gets into the object.
fn build(folder: &Path, source: &str) -> Result<()> {
    let object = object_of(source);
    let mut compile = Command::new(COMPILER[0].name);
    compile.args([
        "-g",
        "-O2",
        "-Wall",
        "-Werror",
        "-target",
        "bpf",
        "-D__TARGET_ARCH_x86",
        "-mcpu=v3",
        "-fdebug-compilation-dir=.",
    ]);
    compile.arg(format!("-ffile-prefix-map={}=.", folder.display()));
    call(folder, compile.args(["-c", source, "-o", &object]))?;
    call(folder, Command::new(COMPILER[1].name).args(["-g", &object]))
}

fn call(folder: &Path, command: &mut Command) -> Result<()> {
    let status = command.current_dir(folder).status().with_context(|| format!("calling {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn hashes(folder: &Path, objects: &[String]) -> Result<String> {
    let output = Command::new("sha256sum")
        .args(objects)
        .current_dir(folder)
        .output()
        .context("calling sha256sum")?;
    if !output.status.success() {
        bail!("sha256sum ended with {}", output.status);
    }
    String::from_utf8(output.stdout).context("what sha256sum says is not UTF-8")
}

fn sources(folder: &Path) -> Result<Vec<String>> {
    Ok(list(folder)?.into_iter().filter(|name| name.ends_with(SOURCE)).collect())
}

/// The files of a folder, in order.
fn list(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn object_of(source: &str) -> String {
    format!("{}{OBJECT}", source.trim_end_matches(SOURCE))
}

/// The one compiler whose output is committed: another version makes other bytes.
const COMPILER: [Program; 2] = [
    Program {
        name: "clang-19",
        also_in: "",
        package: "clang-19",
        why: "builds the programs for the kernel",
    },
    Program {
        name: "llvm-strip-19",
        also_in: "",
        package: "llvm-19",
        why: "takes paths and lines out of them",
    },
];
/// Where there are sources with their objects: ours, samples of what somebody may write, and what must be refused of that.
const PLACES: [Place; 3] = [
    Place {
        folder: "ebpf-probes/programs",
        header: None,
    },
    Place {
        folder: "samples/observe",
        header: None,
    },
    Place {
        folder: "ebpf-package/tests/objects",
        header: Some("samples/observe/observe.h"),
    },
];

/// A folder of sources.
struct Place {
    folder: &'static str,
    /// A header from elsewhere.
    header: Option<&'static str>,
}

const HASHES: &str = "objects.sha256";
const SOURCE: &str = ".bpf.c";
const OBJECT: &str = ".bpf.o";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_differs_is_missing_or_has_no_source_is_named() {
        let (committed, rebuilt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let objects = ["a.bpf.o".to_owned()];
        let verdict = || compare(committed.path(), rebuilt.path(), &objects, "hash").unwrap();
        std::fs::write(rebuilt.path().join("a.bpf.o"), "new").unwrap();
        std::fs::write(committed.path().join(HASHES), "hash").unwrap();
        assert_eq!(verdict(), Verdict::Broken);
        std::fs::write(committed.path().join("a.bpf.o"), "old").unwrap();
        assert_eq!(verdict(), Verdict::Broken);
        std::fs::write(committed.path().join("a.bpf.o"), "new").unwrap();
        assert_eq!(verdict(), Verdict::Clean);
        std::fs::write(committed.path().join("b.bpf.o"), "stray").unwrap();
        assert_eq!(verdict(), Verdict::Broken);
        std::fs::remove_file(committed.path().join("b.bpf.o")).unwrap();
        std::fs::write(committed.path().join(HASHES), "other").unwrap();
        assert_eq!(verdict(), Verdict::Broken);
    }
}
