//! `probe-agent observe check`: what this host would say to a package, without running it.

use std::io::{self, Write};
use std::path::Path;

use ebpf_package::{Package, Refusal};
use ebpf_probes::{Kernel, ObserveError, Tried, try_out};

use crate::config::ObserveSettings;
use crate::package_shelf;

/// Why a package would not be run here.
#[derive(Debug, thiserror::Error)]
pub enum CheckPackageError {
    /// It cannot be read, or what is found not be printed.
    #[error("input or output failed: {0}")]
    Io(#[from] io::Error),
    /// It is not acceptable.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be loaded.
    #[error("{} ({})", .0, .0.remedy())]
    Observe(#[from] ObserveError),
    /// The kernel does not take all of its programs; what it says was printed.
    #[error("the kernel of this host does not take this package")]
    NotTaken,
    /// The owner does not allow it; why was printed.
    #[error("the owner of this host does not allow this package")]
    NotAllowed,
}

/// Says what is found: the package, whether the owner allows it, and what the kernel thinks of each program.
///
/// # Errors
/// [`CheckPackageError`].
pub fn check_package(path: &Path, settings: &ObserveSettings, out: &mut impl Write) -> Result<(), CheckPackageError> {
    let package = Package::parse(package_shelf::read(path)?.as_bytes())?;
    let checked = package.check()?;
    let manifest = &checked.manifest;
    writeln!(out, "package  {} {}", manifest.name, manifest.version)?;
    writeln!(out, "sha256   {}", package.digest())?;
    let trusted = package.check_trust(&settings.custom_keys);
    match &trusted {
        Ok(key) => writeln!(out, "signed   by {key}, which observe.custom_keys names")?,
        Err(refusal) => writeln!(out, "signed   NO: {refusal}")?,
    }
    let allowed = settings.allows_package(&manifest.name);
    let answer = if allowed {
        "yes".to_owned()
    } else {
        format!("NO: observe.allow lacks \"custom:{}\"", manifest.name)
    };
    writeln!(out, "allowed  {answer}")?;
    let tried = try_out(&Kernel::read(settings.btf.as_deref())?, &package)?;
    print(&tried, out)?;
    match (tried.is_taken(), trusted.is_ok() && allowed) {
        (true, true) => Ok(()),
        (false, _) => Err(CheckPackageError::NotTaken),
        (true, false) => Err(CheckPackageError::NotAllowed),
    }
}

fn print(tried: &Tried, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "memory   {} bytes of maps", tried.memory_bytes)?;
    for program in &tried.programs {
        match &program.verdict {
            Ok(Some(instructions)) => writeln!(
                out,
                "program  {} for {}: taken, {instructions} instructions looked at",
                program.name, program.attach
            )?,
            Ok(None) => writeln!(out, "program  {} for {}: taken", program.name, program.attach)?,
            Err(error) => {
                writeln!(out, "program  {} for {}: NOT TAKEN: {error}", program.name, program.attach)?;
                for line in error.log().unwrap_or_default().lines() {
                    writeln!(out, "         {line}")?;
                }
            }
        }
    }
    Ok(())
}
