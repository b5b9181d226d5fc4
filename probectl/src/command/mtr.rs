//! `probectl mtr`.

use std::future::Future;

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::ProbeKind;
use shared_protocol::target::Target;

use super::measure::{self, MeasureArgs};
use super::path::PathArgs;
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// Which path to watch, from where and how.
#[derive(Debug, Args)]
pub struct MtrArgs {
    /// Address or name to which the path is followed.
    pub target: Target,
    /// Rounds, in each of which every hop is asked once [default: 10].
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Milliseconds between two rounds [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=60_000))]
    pub interval_ms: Option<u32>,
    /// What is sent.
    #[command(flatten)]
    pub path: PathArgs,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &MtrArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Mtr, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &MtrArgs) -> Value {
    let own = [
        ("target", Some(json!(arguments.target))),
        ("rounds", arguments.rounds.map(Value::from)),
        ("interval_ms", arguments.interval_ms.map(Value::from)),
    ];
    measure::spec(ProbeKind::Mtr, own.into_iter().chain(arguments.path.given()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_options_given_make_a_spec_and_no_others() {
        let cli = Cli::try_parse_from(["probectl", "mtr", "example.test", "-c", "5", "--interval-ms", "200", "--protocol", "tcp"]).unwrap();
        let Command::Mtr(arguments) = cli.command else { panic!("another command") };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"mtr","target":"example.test","rounds":5,"interval_ms":200,"protocol":"tcp"}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [&["mtr"][..], &["mtr", "a.test", "-c", "101"], &["mtr", "a.test", "--interval-ms", "99"]] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
