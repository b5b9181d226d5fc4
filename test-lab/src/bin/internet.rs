//! A small internet, and a shell or one command of the observer in it: `cargo xtask lab`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![expect(clippy::disallowed_types, reason = "it starts what the observer wants to run")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use nix::unistd::geteuid;
use serde_json::json;
use test_lab::network::{Internet, Namespace, Outcome, Topology};

#[derive(Parser)]
#[command(about = "A small internet, and a shell or one command of its observer")]
struct Arguments {
    /// A topology of the list, or a file that describes a world
    topology: Option<String>,
    /// Says what there is
    #[arg(long)]
    list: bool,
    /// Where the world's truth is written when it ends, as JSON; `-` is standard output
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Instead of a shell
    #[arg(last = true)]
    command: Vec<OsString>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let Some(wanted) = arguments.topology.filter(|_| !arguments.list) else {
        return list();
    };
    if !geteuid().is_root() {
        bail!("network namespaces are made by root: run this as root");
    }
    if let Some(topology) = Topology::ALL.into_iter().find(|topology| topology.name() == wanted) {
        let built = topology.build()?;
        eprintln!("{}", topology.title());
        built.map.iter().for_each(|line| eprintln!("  {line}"));
        eprintln!("target: {}", built.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        return run(&built.observer, &arguments.command);
    }
    let text = world(&wanted)?;
    let internet = Internet::open(&text)?;
    eprintln!("{}", map(&text));
    let code = run(&internet.observer, &arguments.command);
    let outcome = internet.finish()?;
    tell(&outcome, arguments.truth.as_deref())?;
    code
}

fn list() -> Result<ExitCode> {
    for topology in Topology::ALL {
        println!("{:24}{}", topology.name(), topology.title());
    }
    for (name, text) in scenarios()? {
        println!("{name:24}{}", title(&text).unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}

/// The worlds that come with the house, by name.
fn scenarios() -> Result<Vec<(String, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-internet/scenarios");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            found.push((name.to_owned(), std::fs::read_to_string(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

fn world(wanted: &str) -> Result<String> {
    let known = scenarios()?.into_iter().find(|(name, _)| name == wanted);
    match known {
        Some((_, text)) => Ok(text),
        None => std::fs::read_to_string(wanted).with_context(|| format!("`{wanted}` is neither in the list (--list) nor a file that can be read")),
    }
}

fn title(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix("title = \"")?.strip_suffix('"')
}

/// The description is the map: it says where everything is.
fn map(text: &str) -> String {
    let tables = text.split("[[run]]").next().unwrap_or_default();
    let lines = tables.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Runs a command of the observer, or a shell; its exit code is ours.
fn run(observer: &Namespace, command: &[OsString]) -> Result<ExitCode> {
    let shell = [std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())];
    let command = if command.is_empty() { &shell } else { command };
    let (program, arguments) = command.split_first().context("no command")?;
    let status = observer.within(|| Command::new(program).args(arguments).env("PS1", "observer$ ").status())?;
    let status = status.with_context(|| format!("start {}", program.display()))?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

fn tell(outcome: &Outcome, file: Option<&Path>) -> Result<()> {
    let truth = json!({"truth": outcome.truth, "relay": outcome.relay});
    let (sent, answered) = outcome
        .truth
        .flows
        .iter()
        .fold((0, 0), |(sent, answered), flow| (sent + flow.sent, answered + flow.answered));
    match file {
        None => eprintln!("the world's truth: {sent} packets asked for an answer, {answered} had one (--truth FILE tells more)"),
        Some(path) if path == Path::new("-") => println!("{truth:#}"),
        Some(path) => std::fs::write(path, format!("{truth:#}\n")).with_context(|| format!("write {}", path.display()))?,
    }
    Ok(())
}
