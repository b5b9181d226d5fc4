//! `probectl completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell: `source <(probectl completion bash)`, and likewise for zsh; `probectl completion fish | source`.
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    pub shell: String,
}

pub(super) fn run(arguments: &CompletionArgs, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let shell = match arguments.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "probectl", &mut script);
    screen.raw(&script)?;
    Ok(Exit::Ok)
}
