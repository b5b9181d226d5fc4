//! Packages of observations on this host: those that its owner put there.
//!
//! What is found is believed in nothing here: the observer looks at signature and content.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use agent_probes::observe::{NoPackage, Packages};
use ebpf_package::{PACKAGE_BYTES, Package};
use shared_protocol::package::{PackageDigest, PackageName};

/// Where packages lie.
#[derive(Debug)]
pub(crate) struct PackageShelf {
    /// The owner's folder, with one file `<name>.package` for each.
    owner: Option<PathBuf>,
}

impl PackageShelf {
    pub(crate) const fn new(owner: Option<PathBuf>) -> Self {
        Self { owner }
    }

    fn look(&self, name: &PackageName, digest: Option<PackageDigest>) -> Result<String, NoPackage> {
        let Some(folder) = &self.owner else {
            let message = format!("there is no package {name} on this host: its owner names no folder of packages (observe.packages)");
            return Err(NoPackage(message));
        };
        let file = folder.join(format!("{name}.package"));
        let text = read(&file).map_err(|error| NoPackage(format!("there is no package {name} on this host: {}: {error}", file.display())))?;
        let Some(wanted) = digest else { return Ok(text) };
        let found = Package::parse(text.as_bytes()).map(|package| package.digest());
        if found == Ok(wanted) {
            return Ok(text);
        }
        let found = found.map_or_else(|error| error.to_string(), |found| format!("it is {found}"));
        Err(NoPackage(format!("the package {name} on this host is another one than {wanted}: {found}")))
    }
}

impl Packages for PackageShelf {
    fn find<'a>(&'a self, name: &'a PackageName, digest: Option<PackageDigest>) -> Pin<Box<dyn Future<Output = Result<String, NoPackage>> + Send + 'a>> {
        Box::pin(async move { self.look(name, digest) })
    }
}

/// A package's text, bounded.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let most = u64::try_from(PACKAGE_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() > PACKAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {PACKAGE_BYTES} bytes")));
    }
    Ok(text)
}
