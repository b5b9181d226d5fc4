//! `probectl port`.

use std::future::Future;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use shared_protocol::spec::{PortList, ProbeKind, SweepTarget};

use super::measure::{self, MeasureArgs};
use super::targets;
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// Whose ports to look at, from where and how.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct PortArgs {
    /// Addresses, names or blocks (10.0.0.0/24); of more than one address, the report is one for each.
    #[arg(required_unless_present = "targets_from", value_name = "TARGET")]
    pub targets: Vec<SweepTarget>,
    /// Ports and ranges of ports, as 22,80,8000-8010; at most 1,024.
    #[arg(required = true)]
    pub ports: PortList,
    /// Read more targets from a file, one a line; `-` is standard input, and `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    pub targets_from: Option<PathBuf>,
    /// Send first segments and never open a connection (the agent needs raw sockets) [default: connections of the host's own TCP].
    #[arg(long)]
    pub syn: bool,
    /// Send datagrams: what DNS, NTP, SNMP, QUIC and STUN answer to on their ports, and empty ones to all others.
    #[arg(long, conflicts_with = "syn")]
    pub udp: bool,
    /// Listen for half a second to what a service says first, and show it; nothing is ever said to it.
    #[arg(long, conflicts_with_all = ["syn", "udp"])]
    pub banner: bool,
    /// In which order ports are asked [default: random].
    #[arg(long, value_enum)]
    pub order: Option<Order>,
    /// Ports to ask a second, over all targets [default: 50].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    pub rate_pps: Option<u32>,
    /// How often a port that keeps silent is asked [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3))]
    pub tries: Option<u32>,
    /// Milliseconds to wait for an answer [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub wait_ms: Option<u32>,
    /// Differentiated services code point [default: 0].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=63))]
    pub dscp: Option<u32>,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// In which order ports are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Another one each time
    Random,
    /// From the lowest
    Ascending,
    /// From the highest
    Descending,
}

impl Order {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Ascending => "ascending",
            Self::Descending => "descending",
        }
    }
}

pub(super) async fn run(
    arguments: &PortArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments, targets::aim(&arguments.targets, arguments.targets_from.as_deref())?);
    measure::run((ProbeKind::Port, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &PortArgs, aim: (&'static str, Value)) -> Value {
    let mode = match (arguments.syn, arguments.udp) {
        (true, _) => Some("syn"),
        (false, true) => Some("udp"),
        (false, false) => None,
    };
    measure::spec(
        ProbeKind::Port,
        [
            (aim.0, Some(aim.1)),
            ("ports", Some(json!(arguments.ports))),
            ("mode", mode.map(Value::from)),
            ("order", arguments.order.map(|order| Value::from(order.as_str()))),
            ("rate_pps", arguments.rate_pps.map(Value::from)),
            ("tries", arguments.tries.map(Value::from)),
            ("wait_ms", arguments.wait_ms.map(Value::from)),
            ("dscp", arguments.dscp.map(Value::from)),
            ("af", arguments.af.clone().map(Value::from)),
            ("banner", arguments.banner.then_some(Value::Bool(true))),
        ],
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::cli::{Cli, Command};

    fn asked(words: &[&str]) -> Value {
        let cli = Cli::try_parse_from(["probectl", "port"].iter().chain(words)).unwrap();
        let Command::Port(arguments) = cli.command else { panic!("another command") };
        let aim = targets::aim(&arguments.targets, arguments.targets_from.as_deref()).unwrap();
        let spec = spec(&arguments, aim);
        ProbeSpec::from_value(spec.clone()).unwrap();
        spec
    }

    #[test]
    fn the_options_given_make_a_spec_and_no_others() {
        let spec = asked(&["example.test", "443,22,80-82", "--syn", "--order", "descending", "--tries", "1"]);
        insta::assert_snapshot!(spec, @r#"{"probe":"port","target":"example.test","ports":"22,80-82,443","mode":"syn","order":"descending","tries":1}"#);
        insta::assert_snapshot!(asked(&["10.0.0.0/30", "53,123", "--udp"]), @r#"{"probe":"port","target":"10.0.0.0/30","ports":"53,123","mode":"udp"}"#);
        for bad in [
            &["port", "a.test"][..],
            &["port", "a.test", "0"],
            &["port", "a.test", "1-70000"],
            &["port", "a.test", "http"],
            &["port", "a.test", "80", "--rate-pps", "51"],
            &["port", "a.test", "80", "--udp", "--syn"],
            &["port", "a.test", "80", "--udp", "--banner"],
        ] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn the_last_word_is_the_ports_and_all_before_it_are_targets() {
        let spec = asked(&["10.0.0.1", "example.test", "22", "--banner"]);
        insta::assert_snapshot!(spec, @r#"{"probe":"port","targets":["10.0.0.1","example.test"],"ports":"22","banner":true}"#);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("targets");
        std::fs::write(&path, "::1\n10.0.0.0/30 # ours\n").unwrap();
        let spec = asked(&["--targets-from", path.to_str().unwrap(), "22"]);
        insta::assert_snapshot!(spec, @r#"{"probe":"port","targets":["::1","10.0.0.0/30"],"ports":"22"}"#);
    }
}
