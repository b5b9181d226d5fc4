//! `probectl packages`: observations of one's own, from a key of one's own to what became of them on agents.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use control_api::package::{Package as ShownPackage, PackageActed, PackageAction, PackageActionKind, PackageDetail, PackageSelection};
use ebpf_package::{PACKAGE_BYTES, Package, SigningKey};
use serde_json::{Value, json};
use shared_protocol::package::PackageDigest;
use shared_protocol::spec::{Observation, ProbeKind};

use super::measure::{self, MeasureArgs};
use super::say_if_more;
use crate::cli::{Format, ListArgs, Origin};
use crate::client::{Client, PAGE};
use crate::error::{ClientError, Error};
use crate::exit::Exit;
use crate::output::{Cell, Listing, Screen, table};

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
    /// Upload a package to the control plane.
    Upload {
        /// The package.
        package: PathBuf,
    },
    /// List packages.
    List(ListArgs),
    /// Show a package, the agents that have one of its name, and how it does there.
    Show {
        /// Its hash.
        sha256: PackageDigest,
    },
    /// From here on a package's name means this one on some agents.
    Deploy(ActArgs),
    /// On some agents a package's name means again the one before.
    RollBack(ActArgs),
    /// Delete a package that no agent is to have.
    Delete {
        /// Its hash.
        sha256: PackageDigest,
    },
    /// Look at a package: whether it is one, who signed it, what it would do. Needs no control plane, unless agents are to try it out.
    Check(CheckArgs),
}

/// What to look at, and who else does.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The package.
    pub package: PathBuf,
    /// Let the kernels of these agents' hosts say what they think of it; it runs nowhere. They find it where they find what they run: on their host,
    /// or uploaded. A name or id, label:KEY=VALUE, or all; may be given more than once.
    #[arg(long, value_name = "ORIGIN")]
    pub on: Vec<Origin>,
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

/// Which package on which agents.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// The package's hash.
    pub sha256: PackageDigest,
    /// These agents: a name or id, label:KEY=VALUE, or all; may be given more than once.
    #[arg(long, value_name = "ORIGIN", required = true)]
    pub to: Vec<Origin>,
}

/// Does what needs no control plane; what needs one is given back.
pub(super) fn run(command: PackagesCommand, format: Format, screen: &mut Screen<'_>) -> Result<Result<Exit, PackagesCommand>, Error> {
    match command {
        PackagesCommand::Key { out } => make_key(&out, screen).map(Ok),
        PackagesCommand::Sign(arguments) => sign(&arguments, format, screen).map(Ok),
        PackagesCommand::Check(arguments) if arguments.on.is_empty() => {
            let package = Package::parse(&read(&arguments.package, PACKAGE_BYTES)?)?;
            show(&package, format, screen).map(Ok)
        }
        asks @ (PackagesCommand::Upload { .. }
        | PackagesCommand::List(_)
        | PackagesCommand::Show { .. }
        | PackagesCommand::Deploy(_)
        | PackagesCommand::RollBack(_)
        | PackagesCommand::Check(_)
        | PackagesCommand::Delete { .. }) => Ok(Err(asks)),
    }
}

/// Does what needs a control plane.
pub(super) async fn ask(
    command: PackagesCommand,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    match command {
        PackagesCommand::Upload { package } => {
            let text = read(&package, PACKAGE_BYTES)?;
            // What would be refused need not be sent.
            Package::parse(&text)?.check()?;
            let body: Value = serde_json::from_slice(&text).map_err(|_| ClientError::Unreadable("the package"))?;
            let kept: ShownPackage = client.post(&PATH, &body).await?;
            one(&kept, format, screen)?;
        }
        PackagesCommand::List(list) => {
            let listed = client.list::<ShownPackage>(&PATH, &[], PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        PackagesCommand::Show { sha256 } => {
            let detail: PackageDetail = client.get(&[&PATH[..], &[&sha256.to_string()]].concat(), &[]).await?;
            show_detail(&detail, format, screen)?;
        }
        PackagesCommand::Deploy(arguments) => act(PackageActionKind::Deploy, &arguments, format, client, screen).await?,
        PackagesCommand::RollBack(arguments) => act(PackageActionKind::RollBack, &arguments, format, client, screen).await?,
        PackagesCommand::Delete { sha256 } => {
            client.delete(&[&PATH[..], &[&sha256.to_string()]].concat()).await?;
            screen.say(&format!("package {sha256} is deleted"));
        }
        PackagesCommand::Check(arguments) => return try_out(arguments, format, client, screen, interrupt).await,
        // Done without a control plane, above.
        PackagesCommand::Key { .. } | PackagesCommand::Sign(_) => return Ok(Exit::Usage),
    }
    Ok(Exit::Ok)
}

/// Asks agents what their kernels think of a package.
async fn try_out(arguments: CheckArgs, format: Format, client: &Client, screen: &mut Screen<'_>, interrupt: impl Future<Output = ()>) -> Result<Exit, Error> {
    let package = Package::parse(&read(&arguments.package, PACKAGE_BYTES)?)?;
    let manifest = package.check()?.manifest;
    let options = [
        ("observation", Some(json!(Observation::Custom))),
        ("package", Some(json!(manifest.name))),
        ("sha256", Some(json!(package.digest()))),
        ("duration_s", Some(json!(1))),
        ("try_out", Some(json!(true))),
    ];
    let asked = (ProbeKind::Observe, measure::spec(ProbeKind::Observe, options));
    let measure = MeasureArgs {
        from: arguments.on,
        ..MeasureArgs::default()
    };
    measure::run(asked, &measure, format, client, screen, interrupt).await
}

async fn act(action: PackageActionKind, arguments: &ActArgs, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<(), Error> {
    let mut selection = PackageSelection::default();
    for origin in &arguments.to {
        match origin {
            Origin::All => selection.all = true,
            Origin::Label(key, value) => {
                selection.labels.insert(key.clone(), value.clone());
            }
            Origin::Agent(agent) => selection.agents.push(agent.clone()),
        }
    }
    let digest = arguments.sha256.to_string();
    let request = PackageAction { action, selection };
    let acted: PackageActed = client.post(&[&PATH[..], &[&digest, "actions"]].concat(), &request).await?;
    let done = |agent: &String| vec![agent.as_str().into(), "done".into()];
    let left = |agent: &String| vec![agent.as_str().into(), "nothing to go back to".into()];
    let rows: Vec<Vec<Cell>> = acted.agents.iter().map(done).chain(acted.unchanged.iter().map(left)).collect();
    match format {
        Format::Table => table(&["agent", "result"], &rows).iter().try_for_each(|line| screen.line(line))?,
        Format::Json => screen.document(vec![("acted", json!(acted))])?,
        Format::Ndjson => screen.record(vec![("acted", json!(acted))])?,
        Format::Csv | Format::Markdown | Format::Prometheus => screen.rows(format, &["agent", "result"], &rows)?,
    }
    Ok(())
}

fn show_detail(detail: &PackageDetail, format: Format, screen: &mut Screen<'_>) -> Result<(), Error> {
    match format {
        Format::Json => screen.document(vec![("package", json!(detail))])?,
        Format::Ndjson => screen.record(vec![("package", json!(detail))])?,
        Format::Table | Format::Csv | Format::Markdown | Format::Prometheus => {
            let short = |digest: Option<&String>| Cell::of(digest.map(|digest| digest.get(..SHORT).unwrap_or_default()));
            let rows: Vec<Vec<Cell>> = detail
                .agents
                .iter()
                .map(|on| {
                    let health = on.health.as_ref();
                    vec![
                        on.agent_name.as_str().into(),
                        short(on.sha256.as_ref()),
                        short(on.previous.as_ref()),
                        Cell::of(health.map(|health| health.status.as_str())),
                        short(health.map(|health| &health.sha256)),
                        Cell::of(health.and_then(|health| health.message.as_deref())),
                    ]
                })
                .collect();
            let columns = ["agent", "has", "before", "health", "of", "message"];
            if format == Format::Table {
                one(&detail.package, format, screen)?;
                table(&columns, &rows).iter().try_for_each(|line| screen.line(line))?;
            } else {
                screen.rows(format, &columns, &rows)?;
            }
        }
    }
    Ok(())
}

fn one(package: &ShownPackage, format: Format, screen: &mut Screen<'_>) -> Result<(), Error> {
    let fields = [
        ("sha256", package.sha256.as_str().into()),
        ("name", package.name.as_str().into()),
        ("version", package.version.as_str().into()),
        ("summary", package.summary.as_str().into()),
        ("signed_by", package.signed_by.as_str().into()),
    ];
    screen.item(format, &listing(std::slice::from_ref(package)), &fields)?;
    Ok(())
}

fn listing(packages: &[ShownPackage]) -> Listing<'_, ShownPackage> {
    Listing {
        noun: "packages",
        single: "package",
        items: packages,
        columns: &["sha256", "name", "version", "created", "signed_by", "summary"],
        row: |package| {
            vec![
                package.sha256.as_str().into(),
                package.name.as_str().into(),
                package.version.as_str().into(),
                package.created_at.into(),
                package.signed_by.as_str().into(),
                package.summary.as_str().into(),
            ]
        },
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

/// Where packages are, below the API's root.
const PATH: [&str; 2] = ["observe", "packages"];
/// How much of a hash people are shown.
const SHORT: usize = 12;
