//! `probectl keys`.

use clap::{Args, Subcommand};
use control_api::key::{CreateKey, CreatedKey, Key};
use serde_json::json;

use super::{cell, say_if_more};
use crate::cli::{Format, ListArgs};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Listing, Screen};

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List keys, without their secrets.
    List(ListArgs),
    /// Make a key and print it; it is never shown again.
    Create(CreateKeyArgs),
    /// Revoke a key.
    Revoke {
        /// The public part of the key.
        key: String,
    },
}

/// What the new key is.
#[derive(Debug, Args)]
pub struct CreateKeyArgs {
    /// What it is for.
    #[arg(long)]
    pub name: String,
    /// What it may do: any of measure, read, admin.
    #[arg(long, required = true, value_delimiter = ',', value_parser = ["measure", "read", "admin"])]
    pub scope: Vec<String>,
    /// Days until it stops working [default: 90].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub expires_in: Option<u32>,
}

pub(super) async fn run(command: KeysCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        KeysCommand::List(list) => {
            let listed = client.list::<Key>(&["keys"], &[], PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        KeysCommand::Create(arguments) => {
            let request = CreateKey {
                name: arguments.name,
                scopes: arguments.scope,
                expires_in_days: arguments.expires_in,
            };
            let created: CreatedKey = client.post(&["keys"], &request).await?;
            match format {
                Format::Table => {
                    screen.say(&format!("key {} works until {}; it is not shown again", created.key.id, created.key.expires_at));
                    screen.line(&created.secret)?;
                }
                Format::Json => screen.document(vec![("key", json!(created))])?,
                Format::Ndjson => screen.record(vec![("key", json!(created))])?,
                Format::Csv | Format::Markdown | Format::Prometheus => {
                    screen.rows(format, &["id", "key"], &[vec![created.key.id.into(), created.secret.into()]])?;
                }
            }
        }
        KeysCommand::Revoke { key } => {
            client.delete(&["keys", &key]).await?;
            screen.say(&format!("key {key} is revoked"));
        }
    }
    Ok(Exit::Ok)
}

fn listing(keys: &[Key]) -> Listing<'_, Key> {
    Listing {
        noun: "keys",
        single: "key",
        items: keys,
        columns: &["id", "name", "scopes", "expires", "revoked", "last_used"],
        row: |key| {
            vec![
                key.id.as_str().into(),
                key.name.as_str().into(),
                key.scopes.join(",").into(),
                key.expires_at.into(),
                cell(key.revoked_at.as_ref()),
                cell(key.last_used_at.as_ref()),
            ]
        },
    }
}
