//! The command line: what can be asked for, with its help.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use crate::command::agents::AgentsCommand;
pub use crate::command::completion::CompletionArgs;
pub use crate::command::contexts::ContextsCommand;
pub use crate::command::dns::DnsArgs;
pub use crate::command::explain::ExplainArgs;
pub use crate::command::http::HttpArgs;
pub use crate::command::jobs::JobsCommand;
pub use crate::command::join_tokens::JoinTokensCommand;
pub use crate::command::keys::KeysCommand;
pub use crate::command::measure::MeasureArgs;
pub use crate::command::measurements::MeasurementsCommand;
pub use crate::command::metrics::MetricsCommand;
pub use crate::command::mtr::MtrArgs;
pub use crate::command::neighbor::NeighborArgs;
pub use crate::command::observe::ObserveArgs;
pub use crate::command::packages::PackagesCommand;
pub use crate::command::path::PathArgs;
pub use crate::command::ping::PingArgs;
pub use crate::command::pmtu::PmtuArgs;
pub use crate::command::port::PortArgs;
pub use crate::command::reports::ReportsCommand;
pub use crate::command::standing::StandingCommand;
pub use crate::command::tcp::TcpArgs;
pub use crate::command::traceroute::TracerouteArgs;
pub use crate::command::udp::UdpArgs;
pub use crate::command::usage::UsageArgs;

/// Measure from inside networks that cannot be reached from outside.
///
/// Exit codes: 0 done; 1 the probe ran and the target failed; 2 wrong usage; 3 not allowed; 4 not found; 5 quota or tier limit; 6 timeout;
/// 7 control plane unreachable; 8 some agents gave no answer; 9 conflict; 130 interrupted, measurement cancelled.
#[derive(Debug, Parser)]
#[command(name = "probectl", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Configuration file [default: ~/.config/probeops/config.toml].
    #[arg(long, global = true, value_name = "FILE", env = "PROBEOPS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Context of the configuration to use instead of the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Address of the control plane, instead of the context's.
    #[arg(long, global = true, value_name = "URL", env = "PROBEOPS_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Read the API key from standard input (else from `PROBEOPS_TOKEN`, else from the context).
    #[arg(long, global = true)]
    pub key_stdin: bool,
    /// How to print.
    #[arg(long, short, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub output: Format,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line, each as soon as it is known.
    Ndjson,
    /// Comma-separated values under stable column names, one row an item or an agent.
    Csv,
    /// Tables of Markdown.
    #[value(name = "md")]
    Markdown,
    /// Numbers of a measurement in the text format of Prometheus.
    #[value(name = "prom")]
    Prometheus,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send ICMP echo requests from agents and show each reply as it comes.
    Ping(PingArgs),
    /// Fetch from agents over HTTP and show each phase as it ends.
    Http(HttpArgs),
    /// Connect to a port from agents and show each try as it ends.
    Tcp(TcpArgs),
    /// Send datagrams to a port, and show who answers and how fast.
    Udp(UdpArgs),
    /// Show what the kernels of agents' own hosts see: connections, who opens them, dropped packets.
    Observe(ObserveArgs),
    /// Standing observations: what agents observe, window after window, until it is stopped.
    #[command(subcommand)]
    Standing(StandingCommand),
    /// See which ports of a target are open, closed or filtered, and what that rests on.
    Port(PortArgs),
    /// Ask a link of the agent's host who has an address, or which of many are taken.
    Neighbor(NeighborArgs),
    /// Ask a name server from agents and show its whole answer.
    Dns(DnsArgs),
    /// Follow the path to a target from agents, hop by hop.
    Traceroute(TracerouteArgs),
    /// Watch the path to a target from agents, round after round.
    Mtr(MtrArgs),
    /// Find the longest packet that reaches a target from agents in one piece.
    Pmtu(PmtuArgs),
    /// Derive a report again from what it keeps, and say what its verdict rests on.
    Explain(ExplainArgs),
    /// Agents of the tenant.
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// Jobs: one measurement on one agent.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Measurements and their reports.
    #[command(subcommand)]
    Measurements(MeasurementsCommand),
    /// Reports: what came of each job.
    #[command(subcommand)]
    Reports(ReportsCommand),
    /// Metrics: numbers over time.
    #[command(subcommand)]
    Metrics(MetricsCommand),
    /// What the tenant used, day by day, and what its tier leaves it.
    Usage(UsageArgs),
    /// What each tier allows.
    Tiers,
    /// API keys of the tenant.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Join tokens, with which new agents enrol.
    #[command(subcommand)]
    JoinTokens(JoinTokensCommand),
    /// Packages: observations of one's own.
    #[command(subcommand)]
    Packages(PackagesCommand),
    /// Contexts of the configuration file.
    #[command(subcommand)]
    Contexts(ContextsCommand),
    /// Print what makes a shell complete commands and options.
    Completion(CompletionArgs),
}

/// Where a measurement is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Every agent that is there.
    All,
    /// Agents with this label.
    Label(String, String),
    /// The agent of this name or id.
    Agent(String),
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        match text.strip_prefix("label:") {
            None if text == "all" => Ok(Self::All),
            None if text.is_empty() => Err(InvalidOrigin),
            None => Ok(Self::Agent(text.to_owned())),
            Some(label) => parse_label(label).map(|(key, value)| Self::Label(key, value)),
        }
    }
}

/// Not a place where a measurement could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an agent's name or id, label:KEY=VALUE, or all")]
pub struct InvalidOrigin;

/// Reads `KEY=VALUE`.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), InvalidOrigin> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(InvalidOrigin),
    }
}

/// Options of every list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Most items to show.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn help_of_every_command() {
        let mut root = Cli::command().term_width(100);
        root.build();
        let mut pages = Vec::new();
        collect(&mut root, &mut pages);
        let help: Vec<&str> = pages.iter().flat_map(|page| page.lines()).map(str::trim_end).collect();
        insta::assert_snapshot!("help", help.join("\n"));
    }

    #[test]
    fn no_option_takes_a_key_from_the_command_line() {
        for argument in ["--key", "--token", "--api-key"] {
            let refused = Cli::try_parse_from(["probectl", argument, "po_live_x", "agents", "list"]).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
        }
    }

    #[test]
    fn origins_are_names_labels_or_all() {
        assert_eq!("all".parse(), Ok(Origin::All));
        assert_eq!("local".parse(), Ok(Origin::Agent("local".to_owned())));
        assert_eq!("label:region=eu".parse(), Ok(Origin::Label("region".to_owned(), "eu".to_owned())));
        for bad in ["", "label:", "label:region", "label:=eu", "label:region="] {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin), "{bad}");
        }
    }

    #[test]
    fn options_out_of_bounds_are_wrong_usage() {
        for arguments in [
            &["ping"][..],
            &["ping", "127.0.0.1", "--count", "0"],
            &["ping", "127.0.0.1", "--count", "-1"],
            &["ping", "127.0.0.1", "--ttl", "256"],
            &["ping", "127.0.0.1", "--af", "5"],
            &["ping", "127.0.0.1", "--limit", "0"],
            &["ping", "127.0.0.1", "--timeout", "0"],
            &["ping", "127.0.0.1", "--from", "label:x"],
            &["ping", "127.0.0.1", "-o", "yaml"],
            &["ping", "127.0.0.1", "--label", "x"],
            &["ping", "127.0.0.1", "--same-as", "m", "--from", "a"],
            &["completion", "tcsh"],
            &["ping", "[::1]"],
            &["ping", "127.1"],
            &["agents", "list", "--limit", "0"],
            &["agents", "show"],
        ] {
            let refused = Cli::try_parse_from([&["probectl"], arguments].concat()).expect_err(&arguments.join(" "));
            assert_eq!(refused.exit_code(), 2, "{arguments:?}");
        }
    }

    fn collect(command: &mut clap::Command, pages: &mut Vec<String>) {
        pages.push(format!("================ {}", command.get_bin_name().unwrap_or("probectl")));
        pages.push(command.render_long_help().to_string());
        for subcommand in command.get_subcommands_mut() {
            if subcommand.get_name() != "help" {
                collect(subcommand, pages);
            }
        }
    }
}
