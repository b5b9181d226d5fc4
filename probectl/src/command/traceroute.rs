//! `probectl traceroute`.

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

/// Which path to follow, from where and how.
#[derive(Debug, Args)]
pub struct TracerouteArgs {
    /// Address or name to which the path is followed.
    pub target: Target,
    /// Packets to each hop [default: 3].
    #[arg(long, short = 'q', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub queries: Option<u32>,
    /// What is sent.
    #[command(flatten)]
    pub path: PathArgs,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &TracerouteArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Traceroute, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &TracerouteArgs) -> Value {
    let own = [("target", Some(json!(arguments.target))), ("queries", arguments.queries.map(Value::from))];
    measure::spec(ProbeKind::Traceroute, own.into_iter().chain(arguments.path.given()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::cli::{Cli, Command};

    fn asked(arguments: &[&str]) -> Value {
        let cli = Cli::try_parse_from([&["probectl", "traceroute"], arguments].concat()).unwrap();
        let Command::Traceroute(arguments) = cli.command else {
            panic!("another command")
        };
        spec(&arguments)
    }

    #[test]
    fn the_options_given_make_a_spec_and_no_others() {
        let few = asked(&["example.test"]);
        insta::assert_snapshot!(few, @r#"{"probe":"traceroute","target":"example.test"}"#);
        let many = asked(&[
            "192.0.2.1",
            "-q",
            "1",
            "--protocol",
            "udp",
            "--port",
            "53",
            "--flow",
            "classic",
            "--first-ttl",
            "2",
            "-m",
            "9",
            "--inflight",
            "8",
            "--wait-ms",
            "500",
            "--gap-limit",
            "3",
            "--size",
            "1400",
            "--dscp",
            "46",
            "--df",
            "--names",
            "--no-as",
            "--raw",
            "--af",
            "4",
        ]);
        insta::assert_snapshot!(many, @r#"{"probe":"traceroute","target":"192.0.2.1","queries":1,"protocol":"udp","port":53,"flow":"classic","first_ttl":2,"max_ttl":9,"inflight":8,"wait_ms":500,"gap_limit":3,"size_bytes":1400,"dscp":46,"df":true,"ptr":true,"asn":false,"raw":true,"af":"4"}"#);
        for spec in [few, many] {
            ProbeSpec::from_value(spec).unwrap();
        }
    }

    #[test]
    fn options_out_of_bounds_are_wrong_usage() {
        for bad in [
            &[][..],
            &["a.test", "-q", "0"],
            &["a.test", "-m", "65"],
            &["a.test", "--port", "0"],
            &["a.test", "--protocol", "sctp"],
            &["a.test", "--size", "59"],
            &["a.test", "--raw", "--mask-first-hops", "1"],
        ] {
            assert_eq!(
                Cli::try_parse_from([&["probectl", "traceroute"], bad].concat()).unwrap_err().exit_code(),
                2,
                "{bad:?}"
            );
        }
    }
}
