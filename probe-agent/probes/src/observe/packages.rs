//! Where packages of observations are found. Probes know nothing of files and control planes: the agent does.

use std::pin::Pin;

use shared_protocol::package::{PackageDigest, PackageName};

/// Finds packages. A trait because it is the agent's I/O.
pub trait Packages: Send + Sync {
    /// The text of the package of this name: exactly the one with this hash, or whichever this host is to have.
    fn find<'a>(&'a self, name: &'a PackageName, digest: Option<PackageDigest>) -> Pin<Box<dyn Future<Output = Result<String, NoPackage>> + Send + 'a>>;
}

/// There is no such package, or it cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPackage(pub String);

/// No packages at all.
#[derive(Debug, Clone, Copy)]
pub struct NoPackages;

impl Packages for NoPackages {
    fn find<'a>(&'a self, name: &'a PackageName, _: Option<PackageDigest>) -> Pin<Box<dyn Future<Output = Result<String, NoPackage>> + Send + 'a>> {
        Box::pin(std::future::ready(Err(NoPackage(format!(
            "this host has no packages, and so none called {name}"
        )))))
    }
}
