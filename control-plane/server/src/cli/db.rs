//! `control-plane db …`: what an operator does with the whole database.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use control_services::{Database, maintenance};
use serde_json::json;

use super::{complain, finish, print, refuse, runtime};
use crate::config::{Config, DatabaseUrl, Settings};

#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Read the whole database and say whether it is sound; exit 1 where it is not. A server may go on meanwhile.
    Check(Settings),
    /// Write the embedded database into a new file. A server may go on meanwhile.
    Backup {
        /// The file to make; nothing is overwritten.
        file: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// Put a backup in the place of the embedded database, and keep what stood there beside it. No server may run.
    Restore {
        /// The backup.
        file: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// Copy everything into an empty PostgreSQL database, or from one into a new file, and compare. No server may run.
    Copy {
        /// `postgres://user:password@host:5432/database`, or a file to make.
        #[arg(long, env = "PROBEOPS_COPY_TO", hide_env_values = true, value_name = "URL|FILE")]
        to: DatabaseUrl,
        #[command(flatten)]
        settings: Settings,
    },
}

/// What came of a command: what to print, and whether all is well.
struct Outcome {
    text: serde_json::Value,
    sound: bool,
}

pub(super) fn run(command: &DbCommand) -> ExitCode {
    let settings = match command {
        DbCommand::Check(settings) | DbCommand::Backup { settings, .. } | DbCommand::Restore { settings, .. } | DbCommand::Copy { settings, .. } => {
            settings.clone()
        }
    };
    let database = match Config::load(settings).and_then(|config| config.database()) {
        Ok(database) => database,
        Err(error) => return refuse(&error),
    };
    let to = match command {
        DbCommand::Copy { to, .. } => match to.database_or_file() {
            Ok(to) => Some(to),
            Err(error) => return refuse(&format_args!("--to: {error}")),
        },
        DbCommand::Check(_) | DbCommand::Backup { .. } | DbCommand::Restore { .. } => None,
    };
    let done = runtime().and_then(|runtime| runtime.block_on(carry_out(command, &database, to.as_ref())));
    match done {
        Ok(outcome) if outcome.sound => finish(print(&format!("{}\n", outcome.text))),
        Ok(outcome) => {
            complain(&format_args!("{database} is not sound"));
            finish(print(&format!("{}\n", outcome.text)));
            ExitCode::FAILURE
        }
        Err(error) => finish(Err(error)),
    }
}

async fn carry_out(command: &DbCommand, database: &Database, to: Option<&Database>) -> anyhow::Result<Outcome> {
    let (text, sound) = match (command, to) {
        (DbCommand::Backup { file, .. }, _) => {
            maintenance::backup(database, file).await?;
            (json!({ "database": database.to_string(), "backup": file }), true)
        }
        (DbCommand::Restore { file, .. }, _) => {
            let restored = maintenance::restore(database, file).await?;
            let text = json!({ "database": database.to_string(), "schema": restored.schema, "kept_aside": restored.kept_aside });
            (text, true)
        }
        (DbCommand::Copy { .. }, Some(to)) => {
            let copied = maintenance::copy(database, to).await?;
            let tables: serde_json::Map<_, _> = copied.tables.iter().map(|(name, rows)| (name.clone(), json!(rows))).collect();
            (
                json!({ "from": database.to_string(), "to": to.to_string(), "rows": copied.rows(), "tables": tables }),
                true,
            )
        }
        (DbCommand::Check(_) | DbCommand::Copy { .. }, _) => {
            let found = maintenance::check(database).await?;
            let text = json!({
                "database": database.to_string(),
                "kind": found.kind.as_str(),
                "schema": found.schema,
                "newest_schema": found.newest_schema,
                "jobs": { "accepted": found.jobs.accepted, "open": found.jobs.open, "ended": found.jobs.ended },
                "findings": found.findings,
            });
            (text, found.findings.is_empty())
        }
    };
    Ok(Outcome { text, sound })
}
