//! `probectl packages`: observations of one's own, from a key of one's own to what became of them on agents.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ebpf_package::{PACKAGE_BYTES, Package, SigningKey};
use serde_json::{Value, json};

use crate::cli::Format;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// What to do with packages.
#[derive(Debug, Subcommand)]
pub enum PackagesCommand {
    /// Make a key to sign packages with, and print its public half for the owners of hosts. Needs no control plane.
    Key {
        /// Where the private half is written; nobody else can read it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make a signed package of an object and its manifest. Needs no control plane.
    Sign(SignArgs),
    /// Look at a package: whether it is one, who signed it, what it would do. Needs no control plane.
    Check {
        /// The package.
        package: PathBuf,
    },
}

/// What becomes of what.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The object, as clang makes it.
    pub object: PathBuf,
    /// The manifest.
    #[arg(long, value_name = "FILE")]
    pub manifest: PathBuf,
    /// The private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Where the package is written.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Does what needs no control plane.
pub(super) fn run(command: PackagesCommand, format: Format, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        PackagesCommand::Key { out } => make_key(&out, screen),
        PackagesCommand::Sign(arguments) => sign(&arguments, format, screen),
        PackagesCommand::Check { package } => {
            let package = Package::parse(&read(&package, PACKAGE_BYTES)?)?;
            show(&package, format, screen)
        }
    }
}

fn make_key(out: &Path, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let key = SigningKey::generate()?;
    let text = key.to_text()?;
    let failed = |cause| Error::File { path: out.to_owned(), cause };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    file.write_all(format!("{text}\n").as_bytes()).map_err(failed)?;
    screen.say("the owner of a host lets it sign by this line in observe.custom_keys:");
    screen.line(&key.public()?.to_string())?;
    Ok(Exit::Ok)
}

fn sign(arguments: &SignArgs, format: Format, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let text = |path: &Path| {
        String::from_utf8(read(path, PACKAGE_BYTES)?).map_err(|_| Error::NotReadable {
            path: path.to_owned(),
            cause: "it is no text".to_owned(),
        })
    };
    let key = SigningKey::parse(&text(&arguments.key)?)?;
    let package = Package::new(text(&arguments.manifest)?, read(&arguments.object, PACKAGE_BYTES)?)?;
    // Nobody signs what no observer would load.
    package.check()?;
    let package = package.signed(&key, key.public()?);
    let failed = |cause| Error::File {
        path: arguments.out.clone(),
        cause,
    };
    std::fs::write(&arguments.out, package.to_text()).map_err(failed)?;
    show(&package, format, screen)
}

/// What a package is, as far as can be said without a kernel.
fn show(package: &Package, format: Format, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let checked = package.check()?;
    let signer = package.signer()?.to_string();
    let manifest = &checked.manifest;
    let programs: Vec<String> = manifest
        .programs
        .iter()
        .map(|program| format!("{} on {}", program.name, program.attach))
        .collect();
    let maps: Vec<&str> = checked.exported.iter().map(|exported| exported.map.name.as_str()).collect();
    let facts = [
        ("name", json!(manifest.name)),
        ("version", json!(manifest.version)),
        ("summary", json!(manifest.summary)),
        ("sha256", json!(package.digest())),
        ("signed_by", json!(signer)),
        ("programs", json!(programs)),
        ("tells", json!(maps)),
        ("instructions", json!(checked.instructions)),
        ("memory_bytes", json!(checked.memory_bytes(1))),
    ];
    match format {
        Format::Json => screen.document(vec![("package", facts.into_iter().collect())])?,
        Format::Ndjson => screen.record(vec![("package", facts.into_iter().collect())])?,
        Format::Table | Format::Csv | Format::Markdown | Format::Prometheus => {
            for (name, value) in facts {
                screen.line(&format!("{name:<13} {}", plain(&value)))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(each) => each.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// A file of at most so many bytes.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, Error> {
    let failed = |cause: std::io::Error| Error::NotReadable {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let mut bytes = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX);
    std::fs::File::open(path)
        .and_then(|file| file.take(bound.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() > most {
        return Err(Error::NotReadable {
            path: path.to_owned(),
            cause: format!("it has more than {most} bytes"),
        });
    }
    Ok(bytes)
}
