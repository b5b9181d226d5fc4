//! Where packages of observations are found. Probes know nothing of files and control planes: the agent does.

use std::pin::Pin;

use shared_protocol::package::{PackageDigest, PackageName, PackageTold};

/// Finds packages. A trait because it is the agent's I/O.
pub trait Packages: Send + Sync {
    /// The package of this name: exactly the one with this hash, or whichever this host is to have.
    fn find<'a>(&'a self, name: &'a PackageName, digest: Option<PackageDigest>) -> Later<'a, Result<FoundPackage, NoPackage>>;

    /// Hears what the observer made of it. Whether anybody wants to know is not this side's business.
    fn told(&self, told: PackageTold) -> Later<'_, ()>;
}

/// Something that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A package, believed in nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPackage {
    /// Its text.
    pub text: String,
    /// By what it is known.
    pub digest: PackageDigest,
}

/// There is no such package, or it cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPackage(pub String);

/// No packages at all.
#[derive(Debug, Clone, Copy)]
pub struct NoPackages;

impl Packages for NoPackages {
    fn find<'a>(&'a self, name: &'a PackageName, _: Option<PackageDigest>) -> Later<'a, Result<FoundPackage, NoPackage>> {
        Box::pin(std::future::ready(Err(NoPackage(format!(
            "this host has no packages, and so none called {name}"
        )))))
    }

    fn told(&self, _: PackageTold) -> Later<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
