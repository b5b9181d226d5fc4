//! Where a kernel comes from: Debian's archive, from wherever this machine gets its own packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tool::Install;

/// The kernel of a release, fetched unless it was before.
pub(super) fn of(folder: &Path, release: &str, version: &str, install: Install) -> Result<PathBuf> {
    let image = folder.join(format!("vmlinuz-{version}"));
    if image.is_file() {
        return Ok(image);
    }
    if install == Install::Refused {
        bail!("{} is missing; --no-install was given", image.display());
    }
    println!("kernels: fetching the kernel {version} of Debian {release}");
    let scratch = tempfile::tempdir_in(folder).context("making a folder to fetch into")?;
    let archive = Archive::of(scratch.path(), release)?;
    archive.apt("apt-get", &["update", "--quiet"])?;
    // A package without content that needs the one with the kernel.
    let shown = archive.apt("apt-cache", &["show", "--no-all-versions", "linux-image-cloud-amd64"])?;
    let package = needed(&shown).context("the package of Debian's kernels for virtual machines names no kernel")?;
    ensure!(
        package.starts_with(&format!("linux-image-{version}.")),
        "the kernel of Debian {release} is {package}, not {version}"
    );
    archive.apt("apt-get", &["download", "--quiet", &package])?;
    let package = only_file(scratch.path(), ".deb")?;
    call(Command::new("dpkg-deb").arg("--extract").arg(package).arg(scratch.path().join("unpacked")))?;
    let boot = scratch.path().join("unpacked/boot");
    let kernel = only_file(&boot, "vmlinuz-")?;
    std::fs::rename(kernel, &image).with_context(|| format!("writing {}", image.display()))?;
    Ok(image)
}

/// A view of one release that leaves the package lists of this machine as they are.
struct Archive {
    folder: PathBuf,
    options: Vec<String>,
}

impl Archive {
    fn of(folder: &Path, release: &str) -> Result<Self> {
        let listed = call(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)|$(COMPONENT)", "Created-By: Packages", "Origin: Debian"]))?;
        let server = main_server(&listed).context("this machine has no package list of Debian: call apt-get update")?;
        let sources = folder.join("sources.list");
        std::fs::write(&sources, format!("deb [signed-by={KEYS}] {server} {release} main\n")).context("writing a list of sources")?;
        for needed in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(folder.join(needed)).context("making folders for apt")?;
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        Ok(Self {
            folder: folder.to_owned(),
            options: options.into(),
        })
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(self.options.iter().flat_map(|option| ["-o", option])).args(arguments);
        call(command.current_dir(&self.folder))
    }
}

/// The server that has releases, not only what mends them.
fn main_server(listed: &str) -> Option<&str> {
    let servers = listed.lines().filter_map(|line| line.strip_suffix("|main"));
    servers.filter(|server| !server.contains("security")).min()
}

/// The package with the kernel.
fn needed(shown: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let mut names = depends.split([',', ' ', '|']);
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

/// The one file of a folder with this in its name.
fn only_file(folder: &Path, part: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains(part));
        found.extend((named && path.is_file()).then_some(path));
    }
    ensure!(found.len() == 1, "{} files with {part} in {}", found.len(), folder.display());
    found.pop().context("no file")
}

fn call(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("calling {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("what {command:?} says is not UTF-8"))
}

/// What Debian signs its releases with, of the package `debian-archive-keyring`.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_the_empty_package_needs() {
        let shown = "Package: linux-image-cloud-amd64\nVersion: 6.1.1-1\nDepends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.1-1)\n";
        assert_eq!(needed(shown).as_deref(), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(needed("Package: x\n"), None);
    }

    #[test]
    fn releases_come_from_the_server_of_releases() {
        let listed = "http://a.test/debian-security/|main\nhttp://a.test/debian/|main\nhttp://a.test/debian/|contrib\n";
        assert_eq!(main_server(listed), Some("http://a.test/debian/"));
        assert_eq!(main_server(""), None);
    }
}
