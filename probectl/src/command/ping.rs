//! `probectl ping`.

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

/// What to ping, from where and how.
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Address or name to ping.
    pub target: Target,
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
    let spec = spec(arguments);
    measure::run((ProbeKind::Ping, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &PingArgs) -> Value {
    measure::spec(
        ProbeKind::Ping,
        [
            ("target", Some(json!(arguments.target))),
            ("count", arguments.count.map(Value::from)),
            ("interval_ms", arguments.interval_ms.map(Value::from)),
            ("ttl", arguments.ttl.map(Value::from)),
            ("payload_bytes", arguments.size.map(Value::from)),
            ("df", arguments.df.then_some(Value::Bool(true))),
            ("af", arguments.af.clone().map(Value::from)),
        ],
    )
}
