//! `probectl neighbor`.

use std::future::Future;

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::{InterfaceName, ProbeKind, SweepTarget};

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// Whom to ask for, on which link and how.
#[derive(Debug, Args)]
pub struct NeighborArgs {
    /// Address, or block of at most 1,024 addresses as 192.0.2.0/24, in a network of the agent's host.
    pub target: SweepTarget,
    /// Interface of the agent's host [default: the one in whose network the addresses lie].
    #[arg(long, value_name = "NAME")]
    pub interface: Option<InterfaceName>,
    /// Questions a second [default: 100].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub rate_pps: Option<u32>,
    /// How often an address for which nobody answers is asked for [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3))]
    pub tries: Option<u32>,
    /// Milliseconds to wait for answers [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub wait_ms: Option<u32>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &NeighborArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Neighbor, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &NeighborArgs) -> Value {
    measure::spec(
        ProbeKind::Neighbor,
        [
            ("target", Some(json!(arguments.target))),
            ("interface", arguments.interface.as_ref().map(|name| json!(name))),
            ("rate_pps", arguments.rate_pps.map(Value::from)),
            ("tries", arguments.tries.map(Value::from)),
            ("wait_ms", arguments.wait_ms.map(Value::from)),
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
        let cli = Cli::try_parse_from(["probectl", "neighbor", "192.0.2.0/24", "--interface", "br-lan", "--tries", "1"]).unwrap();
        let Command::Neighbor(arguments) = cli.command else {
            panic!("another command")
        };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"neighbor","target":"192.0.2.0/24","interface":"br-lan","tries":1}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [
            &["neighbor"][..],
            &["neighbor", "192.0.2.0/8"],
            &["neighbor", "fe80::1%eth0"],
            &["neighbor", "192.0.2.1", "--interface", "eth0/x"],
            &["neighbor", "192.0.2.1", "--rate-pps", "501"],
            &["neighbor", "192.0.2.1", "192.0.2.2"],
        ] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
