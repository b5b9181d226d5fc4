//! Packages of observations on this host: those that its owner put there, then those of the control plane, which are kept.
//!
//! What is found is believed in nothing here: the observer looks at signature and content.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_probes::observe::{FoundPackage, Later, NoPackage, Packages};
use bytes::Bytes;
use ebpf_package::{PACKAGE_BYTES, Package};
use rustls::ClientConfig;
use serde::Serialize;
use shared_protocol::fault::ProblemCode;
use shared_protocol::limits::{PACKAGE_PATH, PACKAGE_TOLD_PATH};
use shared_protocol::package::{PackageDigest, PackageName, PackageTold, PackageWanted};

use crate::clock;
use crate::link::dial::{self, DialError};
use crate::link::endpoint::Endpoint;
use crate::link::http::{self, HttpError, Refusal};
use crate::state_dir::StateDir;

/// Where packages lie.
#[derive(Debug)]
pub struct PackageShelf {
    /// The owner's folder, with one file `<name>.package` for each.
    owner: Option<PathBuf>,
    plane: Option<Plane>,
}

/// The control plane that is asked for packages, and where those that came are kept.
#[derive(Debug)]
pub struct Plane {
    /// Where it is.
    pub endpoint: Endpoint,
    /// As whom it is asked.
    pub tls: Arc<ClientConfig>,
    /// Where packages are kept.
    pub state: StateDir,
}

impl PackageShelf {
    /// Packages of the owner's folder, where there is one, and of a control plane, where there is one.
    pub const fn new(owner: Option<PathBuf>, plane: Option<Plane>) -> Self {
        Self { owner, plane }
    }

    /// The owner's own go before those of a control plane.
    async fn look(&self, name: &PackageName, digest: Option<PackageDigest>) -> Result<FoundPackage, NoPackage> {
        if let Some(found) = self.of_owner(name)? {
            return match digest.filter(|wanted| *wanted != found.digest) {
                None => Ok(found),
                Some(wanted) => Err(NoPackage(format!(
                    "the package {name} of this host's owner is another one than {wanted}: it is {}",
                    found.digest
                ))),
            };
        }
        let Some(plane) = &self.plane else {
            return Err(NoPackage(format!("there is no package {name} on this host (observe.packages)")));
        };
        if let Some(found) = digest.and_then(|digest| plane.kept(digest)) {
            return Ok(found);
        }
        let found = plane.ask(name, digest).await?;
        if digest.is_some_and(|wanted| wanted != found.digest) {
            return Err(NoPackage(format!("the control plane gave another package {name} than it was asked for")));
        }
        plane.keep(&found);
        Ok(found)
    }

    fn of_owner(&self, name: &PackageName) -> Result<Option<FoundPackage>, NoPackage> {
        let Some(folder) = &self.owner else { return Ok(None) };
        let file = folder.join(format!("{name}.package"));
        match read(&file) {
            Ok(text) => found(text).map(Some).map_err(|error| NoPackage(format!("{}: {error}", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(NoPackage(format!(
                "the package {name} of this host's owner cannot be read: {}: {error}",
                file.display()
            ))),
        }
    }
}

impl Plane {
    async fn ask(&self, name: &PackageName, sha256: Option<PackageDigest>) -> Result<FoundPackage, NoPackage> {
        let wanted = PackageWanted { name: name.clone(), sha256 };
        let answer = self.post(PACKAGE_PATH, &wanted).await.map_err(|error| {
            let code = ProblemCode::NotFound;
            if matches!(&error, DialError::Http(HttpError::Refused(Refusal::Problem { code: said, .. })) if *said == code) {
                return NoPackage(format!("neither this host nor its control plane has the package {name}"));
            }
            NoPackage(format!("the package {name} cannot be had from the control plane: {error}"))
        })?;
        let text = String::from_utf8(answer.to_vec()).map_err(|_| NoPackage(format!("the package {name} of the control plane is no text")))?;
        found(text).map_err(|error| NoPackage(format!("the package {name} of the control plane cannot be read: {error}")))
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Bytes, DialError> {
        let body = serde_json::to_string(body).unwrap_or_default();
        let asking = async {
            let stream = dial::dial_tls(&self.endpoint, Arc::clone(&self.tls), |_| ()).await?;
            Ok(http::post_json_within(stream, &self.endpoint, path, body, (clock::wall(), PACKAGE_BYTES)).await?)
        };
        let late = || DialError::Timeout {
            endpoint: self.endpoint.to_string(),
        };
        tokio::time::timeout(ASK_TIME, asking).await.unwrap_or_else(|_| Err(late()))
    }

    fn kept(&self, digest: PackageDigest) -> Option<FoundPackage> {
        let text = read(&self.state.file(&file_name(digest))).ok()?;
        found(text).ok().filter(|found| found.digest == digest)
    }

    /// Best effort: what cannot be kept is asked for again.
    fn keep(&self, package: &FoundPackage) {
        let name = file_name(package.digest);
        if self.state.file(&name).exists() {
            return;
        }
        if let Err(error) = self.make_room().map_err(|error| error.to_string()).and_then(|()| {
            let kept = self.state.write_private(&name, &package.text);
            kept.map_err(|error| error.to_string())
        }) {
            tracing::debug!(error, "a package is not kept");
        }
    }

    /// Takes the oldest away where there are as many as may be.
    fn make_room(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.state.file("."))? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(KEPT_PREFIX)) {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        for (_, path) in kept.iter().rev().skip(KEPT - 1) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

impl Packages for PackageShelf {
    fn find<'a>(&'a self, name: &'a PackageName, digest: Option<PackageDigest>) -> Later<'a, Result<FoundPackage, NoPackage>> {
        Box::pin(self.look(name, digest))
    }

    fn told(&self, told: PackageTold) -> Later<'_, ()> {
        Box::pin(async move {
            let Some(plane) = &self.plane else { return };
            if let Err(error) = plane.post(PACKAGE_TOLD_PATH, &told).await {
                tracing::debug!(%error, "the control plane did not hear how a package did");
            }
        })
    }
}

fn found(text: String) -> Result<FoundPackage, ebpf_package::Refusal> {
    let digest = Package::parse(text.as_bytes())?.digest();
    Ok(FoundPackage { text, digest })
}

fn file_name(digest: PackageDigest) -> String {
    format!("{KEPT_PREFIX}{digest}")
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

/// Most packages of a control plane that are kept.
const KEPT: usize = 16;
/// What their files' names begin with.
const KEPT_PREFIX: &str = "package-";
/// How long the control plane may take.
const ASK_TIME: Duration = Duration::from_secs(5);
