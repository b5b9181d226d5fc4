//! `probectl ping`.

use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::{ProbeKind, SweepTarget};

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// What to ping, from where and how.
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Addresses, names or blocks (10.0.0.0/24) to ping; more than one address makes it a sweep, reported target by target.
    #[arg(required_unless_present = "targets_from", value_name = "TARGET")]
    pub targets: Vec<SweepTarget>,
    /// Read more targets from a file, one a line; `-` is standard input, and `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    pub targets_from: Option<PathBuf>,
    /// Tell the time of every packet of a sweep, not only what they come to for each target.
    #[arg(long)]
    pub each_packet: bool,
    /// Echo requests to send [default: 4].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: Option<u32>,
    /// Milliseconds between two requests [default: 200].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub interval_ms: Option<u32>,
    /// Time to live, or hop limit, of the requests [default: 64].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub ttl: Option<u32>,
    /// Data bytes of each request [default: 56].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=8_972))]
    pub size: Option<u32>,
    /// Forbid fragmentation on the way.
    #[arg(long)]
    pub df: bool,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &PingArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments, aim(arguments)?);
    measure::run((ProbeKind::Ping, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &PingArgs, aim: (&'static str, Value)) -> Value {
    measure::spec(
        ProbeKind::Ping,
        [
            (aim.0, Some(aim.1)),
            ("count", arguments.count.map(Value::from)),
            ("interval_ms", arguments.interval_ms.map(Value::from)),
            ("ttl", arguments.ttl.map(Value::from)),
            ("payload_bytes", arguments.size.map(Value::from)),
            ("df", arguments.df.then_some(Value::Bool(true))),
            ("af", arguments.af.clone().map(Value::from)),
            ("each_packet", arguments.each_packet.then_some(Value::Bool(true))),
        ],
    )
}

/// What is pinged: one thing goes by `target`, several by `targets`.
fn aim(arguments: &PingArgs) -> Result<(&'static str, Value), Error> {
    let mut targets = arguments.targets.clone();
    if let Some(path) = &arguments.targets_from {
        targets.extend(read_targets(path)?);
    }
    Ok(match targets.as_slice() {
        [only] => ("target", json!(only)),
        several => ("targets", json!(several)),
    })
}

fn read_targets(path: &Path) -> Result<Vec<SweepTarget>, Error> {
    let unusable = |cause: String| Error::Targets { path: path.to_owned(), cause };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| unusable(error.to_string()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).enumerate();
    let targets: Result<Vec<SweepTarget>, Error> = lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| line.parse().map_err(|error| unusable(format!("line {}: {error}", number + 1))))
        .collect();
    let targets = targets?;
    if targets.is_empty() {
        return Err(unusable("it holds no target".to_owned()));
    }
    Ok(targets)
}

/// Most of a file of targets that is read.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        ping: PingArgs,
    }

    fn asked(words: &[&str]) -> Result<Value, Error> {
        let command = Command::try_parse_from(std::iter::once("ping").chain(words.iter().copied())).unwrap();
        aim(&command.ping).map(|aim| spec(&command.ping, aim))
    }

    #[test]
    fn one_target_goes_as_it_always_did_and_several_as_a_list() {
        assert_eq!(
            asked(&["example.test", "--count", "2"]).unwrap(),
            json!({"probe": "ping", "target": "example.test", "count": 2})
        );
        assert_eq!(asked(&["10.0.0.0/24"]).unwrap(), json!({"probe": "ping", "target": "10.0.0.0/24"}));
        assert_eq!(
            asked(&["::1", "10.0.0.0/30"]).unwrap(),
            json!({"probe": "ping", "targets": ["::1", "10.0.0.0/30"]})
        );
    }

    #[test]
    fn targets_are_read_from_a_file_and_a_bad_line_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("targets");
        std::fs::write(&path, "# ours\n127.0.0.1  # the host\n\nexample.test\n").unwrap();
        let from = path.to_str().unwrap();
        let expected = json!({"probe": "ping", "targets": ["::1", "127.0.0.1", "example.test"], "each_packet": true});
        assert_eq!(asked(&["::1", "--targets-from", from, "--each-packet"]).unwrap(), expected);
        std::fs::write(&path, "127.0.0.1\n0x7f.1\n").unwrap();
        assert!(asked(&["--targets-from", from]).unwrap_err().to_string().contains("line 2"));
        assert!(asked(&["--targets-from", "/nonexistent"]).is_err());
    }
}
