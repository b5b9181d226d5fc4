//! `probectl tcp`.

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

/// What to connect to, from where and how.
#[derive(Debug, Args)]
pub struct TcpArgs {
    /// Address or name to connect to.
    pub target: Target,
    /// Port to connect to [default: 443].
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Connections to try [default: 4].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: Option<u32>,
    /// Milliseconds between two tries [default: 200].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub interval_ms: Option<u32>,
    /// Milliseconds to wait for an answer [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub wait_ms: Option<u32>,
    /// Differentiated services code point [default: 0].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=63))]
    pub dscp: Option<u32>,
    /// Send first segments and never open a connection: shows what the target's host offers too.
    #[arg(long)]
    pub syn: bool,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &TcpArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Tcp, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &TcpArgs) -> Value {
    measure::spec(
        ProbeKind::Tcp,
        [
            ("target", Some(json!(arguments.target))),
            ("port", arguments.port.map(Value::from)),
            ("count", arguments.count.map(Value::from)),
            ("interval_ms", arguments.interval_ms.map(Value::from)),
            ("wait_ms", arguments.wait_ms.map(Value::from)),
            ("dscp", arguments.dscp.map(Value::from)),
            ("af", arguments.af.clone().map(Value::from)),
            ("mode", arguments.syn.then(|| Value::from("syn"))),
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
        let cli = Cli::try_parse_from(["probectl", "tcp", "example.test", "22", "-c", "2", "--af", "6", "--dscp", "10"]).unwrap();
        let Command::Tcp(arguments) = cli.command else { panic!("another command") };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"tcp","target":"example.test","port":22,"count":2,"dscp":10,"af":"6"}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [
            &["tcp"][..],
            &["tcp", "a.test", "0"],
            &["tcp", "a.test", "65536"],
            &["tcp", "a.test", "--wait-ms", "0"],
        ] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
