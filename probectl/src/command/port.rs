//! `probectl port`.

use std::future::Future;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use shared_protocol::spec::{PortList, ProbeKind};
use shared_protocol::target::Target;

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// Whose ports to look at, from where and how.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// Address or name.
    pub target: Target,
    /// Ports and ranges of ports, as 22,80,8000-8010; at most 1,024.
    pub ports: PortList,
    /// Send first segments and never open a connection (the agent needs raw sockets) [default: connections of the host's own TCP].
    #[arg(long)]
    pub syn: bool,
    /// In which order ports are asked [default: random].
    #[arg(long, value_enum)]
    pub order: Option<Order>,
    /// Ports to ask a second [default: 50].
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
    let spec = spec(arguments);
    measure::run((ProbeKind::Port, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &PortArgs) -> Value {
    measure::spec(
        ProbeKind::Port,
        [
            ("target", Some(json!(arguments.target))),
            ("ports", Some(json!(arguments.ports))),
            ("mode", arguments.syn.then(|| Value::from("syn"))),
            ("order", arguments.order.map(|order| Value::from(order.as_str()))),
            ("rate_pps", arguments.rate_pps.map(Value::from)),
            ("tries", arguments.tries.map(Value::from)),
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
        let cli = Cli::try_parse_from([
            "probectl",
            "port",
            "example.test",
            "443,22,80-82",
            "--syn",
            "--order",
            "descending",
            "--tries",
            "1",
        ])
        .unwrap();
        let Command::Port(arguments) = cli.command else { panic!("another command") };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"port","target":"example.test","ports":"22,80-82,443","mode":"syn","order":"descending","tries":1}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [
            &["port", "a.test"][..],
            &["port", "a.test", "0"],
            &["port", "a.test", "1-70000"],
            &["port", "a.test", "http"],
            &["port", "a.test", "80", "--rate-pps", "51"],
        ] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
