//! Options that the commands along a path share.

use clap::Args;
use serde_json::{Value, json};

/// What is sent along the path, and how it is waited for.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is sent")]
#[expect(clippy::struct_excessive_bools, reason = "these are options of which each is asked for by itself")]
pub struct PathArgs {
    /// What is sent: icmp, udp or tcp [default: icmp].
    #[arg(long, value_parser = ["icmp", "udp", "tcp"])]
    pub protocol: Option<String>,
    /// Destination port of UDP [default: 33434] or TCP [default: 443].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Whether all packets look like one flow to routers that share load: paris or classic [default: paris].
    #[arg(long, value_parser = ["paris", "classic"])]
    pub flow: Option<String>,
    /// Time to live of the first hop asked [default: 1].
    #[arg(long, value_name = "TTL", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub first_ttl: Option<u32>,
    /// Time to live of the last hop asked [default: 30].
    #[arg(long, short = 'm', value_name = "TTL", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub max_ttl: Option<u32>,
    /// Packets that are waited for at the same time [default: 32].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub inflight: Option<u32>,
    /// Milliseconds to wait for an answer at most [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub wait_ms: Option<u32>,
    /// Silent hops in a row after which the rest is given up [default: 5].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub gap_limit: Option<u32>,
    /// Length of each packet with its IP header [default: 60].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(60..=9_000))]
    pub size: Option<u32>,
    /// Differentiated services code point [default: 0].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=63))]
    pub dscp: Option<u32>,
    /// Forbid fragmentation on the way.
    #[arg(long)]
    pub df: bool,
    /// Ask the agent's resolver for the names of the hops.
    #[arg(long)]
    pub names: bool,
    /// Leave out which autonomous systems the hops are in, which the agent says where it has a file that does.
    #[arg(long)]
    pub no_as: bool,
    /// Hops, counted from the agent, whose addresses the report is not to show.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub mask_first_hops: Option<u32>,
    /// Keep in the report what was sent and what came back, for `probectl explain`.
    #[arg(long, conflicts_with = "mask_first_hops")]
    pub raw: bool,
    /// Address family [default: whichever the name has].
    #[arg(long, value_parser = ["4", "6"])]
    pub af: Option<String>,
}

impl PathArgs {
    /// The options that were given, by their names in the API.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, Option<Value>)> {
        let number = |value: Option<u32>| value.map(Value::from);
        let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
        let flag = |value: bool| value.then_some(Value::Bool(true));
        [
            ("protocol", text(&self.protocol)),
            ("port", self.port.map(Value::from)),
            ("flow", text(&self.flow)),
            ("first_ttl", number(self.first_ttl)),
            ("max_ttl", number(self.max_ttl)),
            ("inflight", number(self.inflight)),
            ("wait_ms", number(self.wait_ms)),
            ("gap_limit", number(self.gap_limit)),
            ("size_bytes", number(self.size)),
            ("dscp", number(self.dscp)),
            ("df", flag(self.df)),
            ("ptr", flag(self.names)),
            ("asn", self.no_as.then_some(Value::Bool(false))),
            ("mask_first_hops", number(self.mask_first_hops)),
            ("raw", flag(self.raw)),
            ("af", text(&self.af)),
        ]
        .into_iter()
    }
}
