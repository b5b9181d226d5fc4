//! `probectl udp`.

use std::future::Future;

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::{HexBytes, ProbeKind};
use shared_protocol::target::Target;

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// What to send datagrams to, from where and how.
#[derive(Debug, Args)]
pub struct UdpArgs {
    /// Address or name to send to.
    pub target: Target,
    /// Port to send to.
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// What each datagram carries, in hexadecimal digits [default: nothing].
    #[arg(long, value_name = "HEX")]
    pub payload: Option<HexBytes>,
    /// What an answer has to begin with, in hexadecimal digits [default: any answer will do].
    #[arg(long, value_name = "HEX")]
    pub expect: Option<HexBytes>,
    /// Datagrams to send [default: 4].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: Option<u32>,
    /// Milliseconds between two datagrams [default: 200].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub interval_ms: Option<u32>,
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

pub(super) async fn run(
    arguments: &UdpArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Udp, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &UdpArgs) -> Value {
    measure::spec(
        ProbeKind::Udp,
        [
            ("target", Some(json!(arguments.target))),
            ("port", Some(json!(arguments.port))),
            ("payload", arguments.payload.as_ref().map(|payload| json!(payload))),
            ("expect", arguments.expect.as_ref().map(|expect| json!(expect))),
            ("count", arguments.count.map(Value::from)),
            ("interval_ms", arguments.interval_ms.map(Value::from)),
            ("wait_ms", arguments.wait_ms.map(Value::from)),
            ("dscp", arguments.dscp.map(Value::from)),
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
        let cli = Cli::try_parse_from(["probectl", "udp", "example.test", "123", "--payload", "E30A", "--count", "2"]).unwrap();
        let Command::Udp(arguments) = cli.command else { panic!("another command") };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"udp","target":"example.test","port":123,"payload":"e30a","count":2}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [&["udp", "a.test"][..], &["udp", "a.test", "0"], &["udp", "a.test", "53", "--payload", "abc"]] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
