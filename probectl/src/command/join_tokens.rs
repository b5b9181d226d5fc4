//! `probectl join-tokens`.

use clap::{Args, Subcommand};
use control_api::join_token::{CreateJoinToken, CreatedJoinToken, JoinToken};
use serde_json::json;

use super::{cell, labels, say_if_more};
use crate::cli::{Format, InvalidOrigin, ListArgs, parse_label};
use crate::client::{Client, PAGE};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Listing, Screen};

/// What to do with join tokens.
#[derive(Debug, Subcommand)]
pub enum JoinTokensCommand {
    /// Make a join token and print what `probe-agent enrol` reads from standard input; it is never shown again.
    Create(CreateJoinTokenArgs),
    /// List join tokens, without their secrets.
    List(ListArgs),
    /// Revoke a join token.
    Revoke {
        /// The public part of the token.
        token: String,
    },
}

/// What the agent that uses the token becomes.
#[derive(Debug, Args)]
pub struct CreateJoinTokenArgs {
    /// Name of the agent [default: its host name].
    #[arg(long)]
    pub name: Option<String>,
    /// A label of the agent; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// Seconds until the token stops working [default: 3600].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(60..=86_400))]
    pub ttl_s: Option<u32>,
}

pub(super) async fn run(command: JoinTokensCommand, format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        JoinTokensCommand::Create(arguments) => {
            let request = CreateJoinToken {
                name: arguments.name,
                labels: arguments.label.into_iter().collect(),
                ttl_s: arguments.ttl_s,
            };
            let created: CreatedJoinToken = client.post(&["join-tokens"], &request).await?;
            match format {
                Format::Table => {
                    let until = created.token.expires_at;
                    screen.say(&format!(
                        "join token {} enrols one agent until {until}; it is not shown again",
                        created.token.id
                    ));
                    screen.line(&created.bundle)?;
                }
                Format::Json => screen.document(vec![("join_token", json!(created))])?,
                Format::Ndjson => screen.record(vec![("join_token", json!(created))])?,
                Format::Csv | Format::Markdown | Format::Prometheus => {
                    screen.rows(format, &["id", "bundle"], &[vec![created.token.id.into(), created.bundle.into()]])?;
                }
            }
        }
        JoinTokensCommand::List(list) => {
            let listed = client.list::<JoinToken>(&["join-tokens"], &[], PAGE.min(list.limit), list.limit).await?;
            say_if_more(screen, &listed);
            screen.items(format, &listing(&listed.items))?;
        }
        JoinTokensCommand::Revoke { token } => {
            client.delete(&["join-tokens", &token]).await?;
            screen.say(&format!("join token {token} is revoked"));
        }
    }
    Ok(Exit::Ok)
}

fn label(text: &str) -> Result<(String, String), String> {
    parse_label(text).map_err(|InvalidOrigin| "expected KEY=VALUE".to_owned())
}

fn listing(tokens: &[JoinToken]) -> Listing<'_, JoinToken> {
    Listing {
        noun: "join_tokens",
        single: "join_token",
        items: tokens,
        columns: &["id", "name", "labels", "expires", "used", "revoked"],
        row: |token| {
            vec![
                token.id.as_str().into(),
                cell(token.name.as_ref()),
                labels(&token.labels).into(),
                token.expires_at.into(),
                cell(token.used_at.as_ref()),
                cell(token.revoked_at.as_ref()),
            ]
        },
    }
}
