//! Entry point: arguments, surroundings and standard streams for [`probectl::run`].

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;

use clap::Parser;
use probectl::cli::Cli;
use probectl::config::Surroundings;
use probectl::output::{Colour, Screen, Surface, Terminal};
use terminal_size::{Height, Width};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let surroundings = Surroundings {
        token: std::env::var("PROBEOPS_TOKEN").ok().map(Into::into),
        config_home: std::env::var_os("XDG_CONFIG_HOME").map(Into::into),
        home: std::env::var_os("HOME").map(Into::into),
    };
    let colour_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let surface = if stdout().is_terminal() {
        let (Width(columns), Height(rows)) = terminal_size::terminal_size().unwrap_or((Width(80), Height(24)));
        let colour = if colour_refused { Colour::Off } else { Colour::On };
        Surface::Terminal(Terminal { colour, columns, rows })
    } else {
        Surface::Pipe
    };
    let (mut data, mut words) = (stdout().lock(), stderr().lock());
    let mut screen = Screen::new(&mut data, &mut words, surface);
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without the handler the default action of SIGINT is still in place and ends the process.
            std::future::pending::<()>().await;
        }
    };
    let exit = probectl::run(cli, surroundings, &mut stdin().lock(), &mut screen, interrupt).await;
    ExitCode::from(exit.code())
}
