//! The command line: what `control-plane` can be told to do.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use control_api::agent::SetAgentSharing;
use control_api::join_token::CreateJoinToken;
use control_api::key::CreateKey;
use control_api::tenant::CreateTenant;
use control_api::tier::{PatchTier, SetTenantTier};
use control_core::sharing::Sharing;
use shared_protocol::id::{AgentId, TenantId};

use crate::admin_client;
use crate::config::{Config, Settings};
use crate::{api, logging, run};

mod db;

/// The control plane of ProbeOps: HTTP API, agent port, queue and store in one process.
#[derive(Debug, Parser)]
#[command(name = "control-plane", version, about, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API and the agent port until SIGTERM or SIGINT.
    Run(Settings),
    /// Say whether a running control plane can serve requests; exit 1 where it cannot.
    Health(At),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The whole database: check, back up, restore, move to the other kind.
    #[command(subcommand)]
    Db(Box<db::DbCommand>),
    /// Tenants of a running control plane.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// What the tiers of a running control plane allow.
    #[command(subcommand)]
    Tier(TierCommand),
    /// Agents of a running control plane.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// API keys of a running control plane.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Join tokens of a running control plane.
    #[command(subcommand)]
    JoinToken(JoinTokenCommand),
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration that `run` would use; exit 2 where it is not usable.
    Check(Settings),
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Make a tenant and print it as JSON.
    Create {
        #[command(flatten)]
        at: At,
        /// Its name, 1 to 100 characters.
        #[arg(long)]
        name: String,
        /// `free`, `standard` or `enterprise`.
        #[arg(long)]
        tier: String,
    },
    /// Move a tenant to another tier, at once, and print it as JSON.
    SetTier {
        #[command(flatten)]
        at: At,
        /// The tenant.
        #[arg(long)]
        tenant: TenantId,
        /// `free`, `standard` or `enterprise`.
        #[arg(long)]
        tier: String,
    },
}

#[derive(Debug, Subcommand)]
enum TierCommand {
    /// Change what a tier allows, at once, and print it as JSON; without a change it is only printed.
    Set {
        #[command(flatten)]
        at: At,
        /// `free`, `standard` or `enterprise`.
        tier: String,
        /// `limit=value`, as `ping_packets=20` or `probes=ping,dns`; may be given several times.
        #[arg(value_parser = limit)]
        limits: Vec<(String, serde_json::Value)>,
    },
}

#[derive(Debug, Subcommand)]
enum AgentCommand {
    /// Let an agent serve every tenant, as part of the shared fleet, and print it as JSON.
    Share {
        #[command(flatten)]
        at: At,
        /// The agent.
        agent: AgentId,
    },
    /// Let an agent serve its own tenant alone, and print it as JSON; what others asked of it before is still done.
    Unshare {
        #[command(flatten)]
        at: At,
        /// The agent.
        agent: AgentId,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make an API key and print it as JSON; its secret is shown only now.
    Create {
        #[command(flatten)]
        at: At,
        /// The tenant it is for.
        #[arg(long)]
        tenant: TenantId,
        /// What it is for, 1 to 100 characters.
        #[arg(long)]
        name: String,
        /// Any of `measure`, `read`, `admin`, `operator`, joined by commas; `operator` opens tiers and is given only here.
        #[arg(long, value_delimiter = ',', required = true)]
        scope: Vec<String>,
        /// Days until it stops working, 1 to 365; 90 without it.
        #[arg(long)]
        expires_in_days: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
enum JoinTokenCommand {
    /// Make a join token and print it as JSON; its bundle is shown only now.
    Create {
        #[command(flatten)]
        at: At,
        /// The tenant that the agent will belong to.
        #[arg(long)]
        tenant: TenantId,
        /// A label the agent gets, `key=value`; may be given several times.
        #[arg(long = "label", value_parser = label)]
        labels: Vec<(String, String)>,
        /// The name the agent gets; its host name without it.
        #[arg(long)]
        name: Option<String>,
        /// Seconds until it stops working, 60 to 86,400; 3,600 without it.
        #[arg(long)]
        ttl_s: Option<u32>,
    },
}

/// Where the running control plane keeps its administration socket.
#[derive(Debug, Args)]
struct At {
    /// The data directory of the running control plane.
    #[arg(long, env = "PROBEOPS_DATA_DIR")]
    data_dir: PathBuf,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(settings) => serve(settings),
        Command::Health(at) => finish(runtime().and_then(|runtime| {
            let answer = runtime.block_on(admin_client::get(&at.data_dir, "/admin/v1/health"))?;
            print(&format!("{answer}\n"))
        })),
        Command::Config(ConfigCommand::Check(settings)) => check(settings),
        Command::Db(command) => db::run(&command),
        Command::Openapi => finish(api::document_text().and_then(|text| print(&text))),
        Command::Tenant(TenantCommand::Create { at, name, tier }) => ask(&at, "/admin/v1/tenants", &CreateTenant { name, tier }),
        Command::Tenant(TenantCommand::SetTier { at, tenant, tier }) => ask(&at, &format!("/admin/v1/tenants/{tenant}/tier"), &SetTenantTier { tier }),
        Command::Tier(TierCommand::Set { at, tier, limits }) => ask(&at, &format!("/admin/v1/tiers/{tier}"), &PatchTier(limits.into_iter().collect())),
        Command::Agent(AgentCommand::Share { at, agent }) => share(&at, agent, Sharing::Shared),
        Command::Agent(AgentCommand::Unshare { at, agent }) => share(&at, agent, Sharing::Own),
        Command::Key(KeyCommand::Create {
            at,
            tenant,
            name,
            scope,
            expires_in_days,
        }) => {
            let request = CreateKey {
                name,
                scopes: scope,
                expires_in_days,
            };
            ask(&at, &format!("/admin/v1/tenants/{tenant}/keys"), &request)
        }
        Command::JoinToken(JoinTokenCommand::Create {
            at,
            tenant,
            labels,
            name,
            ttl_s,
        }) => {
            let request = CreateJoinToken {
                name,
                labels: labels.into_iter().collect(),
                ttl_s,
            };
            ask(&at, &format!("/admin/v1/tenants/{tenant}/join-tokens"), &request)
        }
    }
}

fn serve(settings: Settings) -> ExitCode {
    let config = match Config::load(settings) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    if let Err(error) = logging::start(config.log.as_deref()) {
        return refuse(&format_args!("{error:#}"));
    }
    finish(runtime().and_then(|runtime| runtime.block_on(run::run(config))))
}

fn check(settings: Settings) -> ExitCode {
    match Config::load(settings) {
        Ok(config) => finish(config.to_text().map_err(Into::into).and_then(|text| print(&text))),
        Err(error) => refuse(&error),
    }
}

fn share(at: &At, agent: AgentId, sharing: Sharing) -> ExitCode {
    let request = SetAgentSharing {
        sharing: sharing.as_str().to_owned(),
    };
    ask(at, &format!("/admin/v1/agents/{agent}/sharing"), &request)
}

fn ask<T: serde::Serialize>(at: &At, path: &str, body: &T) -> ExitCode {
    finish(runtime().and_then(|runtime| {
        let answer = runtime.block_on(admin_client::post(&at.data_dir, path, body))?;
        print(&format!("{answer}\n"))
    }))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The configuration is not usable.
fn refuse(error: &impl Display) -> ExitCode {
    complain(error);
    ExitCode::from(2)
}

fn complain(error: &impl Display) {
    // Nothing is left to tell it to if standard error is closed.
    let _ = writeln!(std::io::stderr(), "control-plane: {error}");
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("must be `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A number stays one; anything else is a list of names.
fn limit(text: &str) -> Result<(String, serde_json::Value), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be `limit=value`")?;
    let value = match value.parse::<i64>() {
        Ok(number) => number.into(),
        Err(_) => value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_reads_labels() {
        Cli::command().debug_assert();
        assert_eq!(label("site=berlin=1"), Ok(("site".to_owned(), "berlin=1".to_owned())));
        assert!(label("site").is_err());
    }

    #[test]
    fn a_limit_is_a_number_or_a_list_of_names() {
        use serde_json::json;
        assert_eq!(limit("weight=16"), Ok(("weight".to_owned(), json!(16))));
        assert_eq!(limit("probes=ping,dns"), Ok(("probes".to_owned(), json!(["ping", "dns"]))));
        assert_eq!(limit("http_methods="), Ok(("http_methods".to_owned(), json!([]))));
        assert!(limit("weight").is_err());
    }

    #[test]
    fn a_databases_password_is_not_repeated_by_the_command_line() {
        let line = ["control-plane", "db", "copy", "--data-dir", "d", "--to", "postgres://u:hunter2@h/d"];
        let Command::Db(command) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command")
        };
        assert!(!format!("{command:?}").contains("hunter2"), "{command:?}");
        let refused = Cli::try_parse_from(line.into_iter().chain(["--nothing"])).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn key_create_takes_scopes_joined_by_commas() {
        let tenant = "0190a0a0-0000-7000-8000-000000000001";
        let line = [
            "control-plane",
            "key",
            "create",
            "--data-dir",
            "d",
            "--tenant",
            tenant,
            "--name",
            "n",
            "--scope",
            "measure,read",
        ];
        let Command::Key(KeyCommand::Create { scope, .. }) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command")
        };
        assert_eq!(scope, ["measure", "read"]);
    }
}
