//! `probectl http`.

use std::future::Future;
use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};
use shared_protocol::spec::ProbeKind;
use shared_protocol::url::HttpUrl;

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// What to fetch, from where and how.
#[derive(Debug, Args)]
pub struct HttpArgs {
    /// What to fetch: http:// or https://.
    // Not called `url`: that is the control plane's, on every command.
    #[arg(value_name = "URL", value_parser = HttpUrl::parse)]
    pub what: HttpUrl,
    /// Method of the request [default: GET].
    #[arg(long, short = 'X', value_parser = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])]
    pub method: Option<String>,
    /// A header of the request; may be given more than once.
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Body of the request.
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Version of HTTP to speak [default: what TLS agrees upon].
    #[arg(long, value_name = "VERSION", value_parser = ["1.1", "2"])]
    pub http_version: Option<String>,
    /// Redirects to follow [default: 5].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub follow: Option<u32>,
    /// Follow no redirect.
    #[arg(long, conflicts_with = "follow")]
    pub no_follow: bool,
    /// Go on where the certificate does not prove the server's name; the report says what is wrong with it.
    #[arg(long, short = 'k')]
    pub insecure: bool,
    /// Do not let the server compress the body.
    #[arg(long)]
    pub no_compression: bool,
    /// Milliseconds that the fetch may take, redirects included [default: 15000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(500..=60_000))]
    pub max_time_ms: Option<u32>,
    /// Bytes of the body that are read at most [default: 4194304].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub max_body: Option<u32>,
    /// Bytes of the body that the report keeps [default: 10240].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=131_072))]
    pub keep_body: Option<u32>,
    /// Connect to this address for the first request, whatever the host's name resolves to.
    #[arg(long, value_name = "ADDRESS")]
    pub connect_to: Option<IpAddr>,
    /// Ask TLS for this name in the first request, instead of the host of the URL.
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &HttpArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let spec = spec(arguments);
    measure::run((ProbeKind::Http, spec), &arguments.measure, format, client, screen, interrupt).await
}

fn spec(arguments: &HttpArgs) -> Value {
    let headers: Vec<Value> = arguments.header.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let follow = if arguments.no_follow { Some(0) } else { arguments.follow };
    measure::spec(
        ProbeKind::Http,
        [
            ("url", Some(json!(arguments.what))),
            ("method", arguments.method.clone().map(Value::from)),
            ("headers", (!headers.is_empty()).then_some(Value::Array(headers))),
            ("body", arguments.body.clone().map(Value::from)),
            ("version", arguments.http_version.clone().map(Value::from)),
            ("follow", follow.map(Value::from)),
            ("verify", arguments.insecure.then_some(Value::Bool(false))),
            ("compression", arguments.no_compression.then_some(Value::Bool(false))),
            ("timeout_ms", arguments.max_time_ms.map(Value::from)),
            ("body_max_bytes", arguments.max_body.map(Value::from)),
            ("body_keep_bytes", arguments.keep_body.map(Value::from)),
            ("connect_to", arguments.connect_to.map(|address| json!(address))),
            ("sni", arguments.sni.clone().map(Value::from)),
            ("af", arguments.af.clone().map(Value::from)),
        ],
    )
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
