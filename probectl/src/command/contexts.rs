//! `probectl contexts`.

use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::Format;
use crate::config::ConfigFile;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Listing, Screen};

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub enum ContextsCommand {
    /// List the contexts of the configuration file.
    List,
    /// Make a context the current one.
    Use {
        /// Its name.
        name: String,
    },
}

pub(super) fn run(command: ContextsCommand, file: &Path, format: Format, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    match command {
        ContextsCommand::List => {
            let config = ConfigFile::read(file)?;
            let shown = |(name, context): (&String, &crate::config::Context)| ShownContext {
                name: name.clone(),
                url: context.url.clone(),
                current: config.current.as_ref() == Some(name),
            };
            let contexts: Vec<ShownContext> = config.contexts.iter().map(shown).collect();
            screen.items(format, &listing(&contexts))?;
        }
        ContextsCommand::Use { name } => {
            ConfigFile::switch(file, &name)?;
            screen.say(&format!("the current context is `{name}`"));
        }
    }
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct ShownContext {
    name: String,
    url: String,
    current: bool,
}

fn listing(contexts: &[ShownContext]) -> Listing<'_, ShownContext> {
    Listing {
        noun: "contexts",
        single: "context",
        items: contexts,
        columns: &["current", "name", "url"],
        row: |context| {
            vec![
                if context.current { "*" } else { "" }.into(),
                context.name.as_str().into(),
                context.url.as_str().into(),
            ]
        },
    }
}
