//! `probectl ping`.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use shared_protocol::spec::{ProbeKind, SweepTarget};

use super::measure::{self, MeasureArgs};
use super::targets;
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
    let spec = spec(arguments, targets::aim(&arguments.targets, arguments.targets_from.as_deref())?);
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        ping: PingArgs,
    }

    fn asked(words: &[&str]) -> Result<Value, Error> {
        let command = Command::try_parse_from(std::iter::once("ping").chain(words.iter().copied())).unwrap();
        targets::aim(&command.ping.targets, command.ping.targets_from.as_deref()).map(|aim| spec(&command.ping, aim))
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
