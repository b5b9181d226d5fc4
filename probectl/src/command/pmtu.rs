//! `probectl pmtu`.

use std::future::Future;

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::ProbeKind;
use shared_protocol::target::Target;

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// Which path to measure, from where and how.
#[derive(Debug, Args)]
pub struct PmtuArgs {
    /// Address or name to which packets are sent.
    pub target: Target,
    /// What is sent: icmp or udp [default: icmp].
    #[arg(long, value_parser = ["icmp", "udp"])]
    pub protocol: Option<String>,
    /// Destination port of UDP [default: 33434].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Shortest packet that the search considers, with its IP header [default: 576, over IPv6 1280].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(576..=9_216))]
    pub min: Option<u32>,
    /// Longest packet that the search considers [default: 9216, and no more than the interface takes].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(576..=9_216))]
    pub max: Option<u32>,
    /// Packets of one length that stay unanswered before it counts as too long [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub probes: Option<u32>,
    /// Milliseconds to wait for an answer at most [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub wait_ms: Option<u32>,
    /// Differentiated services code point [default: 0].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=63))]
    pub dscp: Option<u32>,
    /// Keep in the report what was sent and what came back, for `probectl explain`.
    #[arg(long)]
    pub raw: bool,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &PmtuArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Pmtu, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &PmtuArgs) -> Value {
    measure::spec(
        ProbeKind::Pmtu,
        [
            ("target", Some(json!(arguments.target))),
            ("protocol", arguments.protocol.clone().map(Value::from)),
            ("port", arguments.port.map(Value::from)),
            ("min_bytes", arguments.min.map(Value::from)),
            ("max_bytes", arguments.max.map(Value::from)),
            ("probes", arguments.probes.map(Value::from)),
            ("wait_ms", arguments.wait_ms.map(Value::from)),
            ("dscp", arguments.dscp.map(Value::from)),
            ("raw", arguments.raw.then_some(Value::Bool(true))),
            ("af", arguments.af.clone().map(Value::from)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_options_given_make_a_spec_and_no_others() {
        let cli = Cli::try_parse_from(["probectl", "pmtu", "example.test", "--max", "1500", "--protocol", "udp", "--raw"]).unwrap();
        let Command::Pmtu(arguments) = cli.command else { panic!("another command") };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"pmtu","target":"example.test","protocol":"udp","max_bytes":1500,"raw":true}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [&["pmtu"][..], &["pmtu", "a.test", "--protocol", "tcp"], &["pmtu", "a.test", "--min", "68"]] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
