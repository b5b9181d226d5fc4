//! `probectl dns`.

use std::future::Future;
use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::{ProbeKind, QueryName, RecordType};

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// What to ask, whom, from where and how.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "these are the flags of a question")]
pub struct DnsArgs {
    /// Name to ask about, international names as they are read; of an address, its name is asked for.
    #[arg(value_parser = parse_name)]
    pub name: QueryName,
    /// Type of records: a mnemonic, or TYPE and a number [default: A, and PTR of an address].
    #[arg(value_name = "TYPE")]
    pub kind: Option<RecordType>,
    /// Who is asked: an address, or one with its port, or system for the name servers of the agent's host [default: system].
    #[arg(long, short, value_name = "SERVER")]
    pub server: Option<String>,
    /// Class of records [default: IN].
    #[arg(long, value_parser = ["IN", "CH"])]
    pub class: Option<String>,
    /// Ask over TCP from the start.
    #[arg(long)]
    pub tcp: bool,
    /// Do not ask the server to look further than its own data.
    #[arg(long)]
    pub no_recursion: bool,
    /// Ask for DNSSEC records.
    #[arg(long)]
    pub dnssec: bool,
    /// Ask the server not to check signatures.
    #[arg(long)]
    pub checking_disabled: bool,
    /// Ask the server for its identifier.
    #[arg(long)]
    pub nsid: bool,
    /// Ask without EDNS.
    #[arg(long, conflicts_with_all = ["dnssec", "nsid"])]
    pub no_edns: bool,
    /// Further tries after one without an answer [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=5))]
    pub retries: Option<u32>,
    /// Milliseconds to wait for an answer in each try [default: 3000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pub wait_ms: Option<u32>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &DnsArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Dns, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &DnsArgs) -> Value {
    let set = |wanted: bool, value: bool| wanted.then_some(Value::Bool(value));
    let reverse = arguments
        .name
        .as_str()
        .rsplit('.')
        .next()
        .filter(|last| *last == "arpa")
        .map(|_| RecordType::PTR);
    measure::spec(
        ProbeKind::Dns,
        [
            ("name", Some(json!(arguments.name))),
            ("type", arguments.kind.or(reverse).map(|kind| json!(kind))),
            ("class", arguments.class.clone().map(Value::from)),
            ("server", arguments.server.clone().map(Value::from)),
            ("transport", arguments.tcp.then(|| json!("tcp"))),
            ("rd", set(arguments.no_recursion, false)),
            ("cd", set(arguments.checking_disabled, true)),
            ("do", set(arguments.dnssec, true)),
            ("edns", set(arguments.no_edns, false)),
            ("nsid", set(arguments.nsid, true)),
            ("retries", arguments.retries.map(Value::from)),
            ("timeout_ms", arguments.wait_ms.map(Value::from)),
        ],
    )
}

/// Reads a name: of an address the one under which its name stands (RFC 1035 section 3.5, RFC 3596 section 2.5), an international one in its ASCII form.
fn parse_name(text: &str) -> Result<QueryName, String> {
    let name = match text.parse::<IpAddr>() {
        Ok(address) => reverse_name(address),
        Err(_) if text.is_ascii() => text.to_owned(),
        Err(_) => idna::domain_to_ascii(text).map_err(|_| "is no international name".to_owned())?,
    };
    name.parse().map_err(|error: shared_protocol::spec::InvalidQueryName| error.to_string())
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> = v6.octets().iter().rev().map(|octet| format!("{:x}.{:x}", octet & 0x0f, octet >> 4)).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::cli::{Cli, Command};

    fn asked(arguments: &[&str]) -> Value {
        let cli = Cli::try_parse_from([&["probectl", "dns"], arguments].concat()).unwrap();
        let Command::Dns(arguments) = cli.command else { panic!("another command") };
        let spec = spec(&arguments);
        ProbeSpec::from_value(spec.clone()).unwrap();
        spec
    }

    #[test]
    fn the_options_given_make_a_spec_and_no_others() {
        assert_eq!(asked(&["example.test"]), json!({"probe": "dns", "name": "example.test"}));
        let all = asked(&[
            "a.test",
            "mx",
            "-s",
            "127.0.0.1:5353",
            "--tcp",
            "--no-recursion",
            "--dnssec",
            "--nsid",
            "--retries",
            "0",
        ]);
        assert_eq!(
            all,
            json!({"probe": "dns", "name": "a.test", "type": "MX", "server": "127.0.0.1:5353", "transport": "tcp", "rd": false, "do": true, "nsid": true, "retries": 0})
        );
    }

    #[test]
    fn of_an_address_its_name_is_asked_for_and_international_names_are_turned() {
        let reverse = asked(&["192.0.2.1"]);
        assert_eq!((&reverse["name"], &reverse["type"]), (&json!("1.2.0.192.in-addr.arpa"), &json!("PTR")));
        let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(asked(&["2001:db8::1"])["name"], nibbles);
        assert_eq!(asked(&["B\u{fc}cher.example"])["name"], "xn--bcher-kva.example");
    }

    #[test]
    fn what_cannot_be_asked_is_wrong_usage() {
        for bad in [
            &[""][..],
            &["a b"],
            &["a.test", "AXFR"],
            &["a.test", "--class", "HS"],
            &["a.test", "--retries", "6"],
            &["a.test", "--no-edns", "--dnssec"],
        ] {
            assert_eq!(Cli::try_parse_from([&["probectl", "dns"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
