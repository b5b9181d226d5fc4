//! The commands, one file a noun.

use std::future::Future;
use std::io::Read;

use crate::cli::{Cli, Command, Format, Global};
use crate::client::Client;
use crate::config::{Connection, Surroundings};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Cell, Screen};

pub(crate) mod agents;
pub(crate) mod completion;
pub(crate) mod contexts;
pub(crate) mod dns;
pub(crate) mod explain;
pub(crate) mod http;
pub(crate) mod jobs;
pub(crate) mod join_tokens;
pub(crate) mod keys;
pub(crate) mod measure;
pub(crate) mod measurements;
pub(crate) mod metrics;
pub(crate) mod mtr;
pub(crate) mod neighbor;
pub(crate) mod observe;
mod outcome;
pub(crate) mod packages;
pub(crate) mod path;
pub(crate) mod ping;
pub(crate) mod pmtu;
pub(crate) mod port;
pub(crate) mod reports;
pub(crate) mod standing;
mod targets;
pub(crate) mod tcp;
mod tiers;
pub(crate) mod traceroute;
pub(crate) mod udp;
pub(crate) mod usage;

/// Does what the command line asks for. `interrupt` ends when the person at the keyboard wants no more; only a running measurement waits for it.
pub async fn run(cli: Cli, surroundings: Surroundings, stdin: &mut dyn Read, screen: &mut Screen<'_>, interrupt: impl Future<Output = ()>) -> Exit {
    match dispatch(cli, &surroundings, stdin, screen, interrupt).await {
        Ok(exit) => exit,
        Err(error) => {
            if !matches!(&error, Error::Write(cause) if cause.kind() == std::io::ErrorKind::BrokenPipe) {
                screen.say(&error.to_string());
            }
            error.exit()
        }
    }
}

async fn dispatch(
    cli: Cli,
    surroundings: &Surroundings,
    stdin: &mut dyn Read,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let format = cli.global.output;
    if let Command::Contexts(command) = cli.command {
        return contexts::run(command, &surroundings.config_file(&cli.global)?, format, screen);
    }
    if let Command::Completion(arguments) = cli.command {
        return completion::run(&arguments, screen);
    }
    let mut command = cli.command;
    if let Command::Packages(of_packages) = command {
        match packages::run(of_packages, format, screen)? {
            Ok(exit) => return Ok(exit),
            Err(asks) => command = Command::Packages(asks),
        }
    }
    connected(command, &cli.global, surroundings, stdin, screen, interrupt).await
}

/// Does what needs a control plane.
async fn connected(
    command: Command,
    global: &Global,
    surroundings: &Surroundings,
    stdin: &mut dyn Read,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    let format = global.output;
    if format == Format::Prometheus && !has_numbers(&command) {
        return Err(Error::Usage(
            "`-o prom` is for probes and for `measurements reports`: nothing else has numbers for it",
        ));
    }
    let connection = Connection::find(global, surroundings, stdin)?;
    if connection.is_exposed() {
        screen.say("the API key goes over the network in the clear: use https");
    }
    let client = Client::new(&connection)?;
    match command {
        Command::Ping(arguments) => ping::run(&arguments, format, &client, screen, interrupt).await,
        Command::Http(arguments) => http::run(&arguments, format, &client, screen, interrupt).await,
        Command::Tcp(arguments) => tcp::run(&arguments, format, &client, screen, interrupt).await,
        Command::Dns(arguments) => dns::run(&arguments, format, &client, screen, interrupt).await,
        Command::Traceroute(arguments) => traceroute::run(&arguments, format, &client, screen, interrupt).await,
        Command::Mtr(arguments) => mtr::run(&arguments, format, &client, screen, interrupt).await,
        Command::Pmtu(arguments) => pmtu::run(&arguments, format, &client, screen, interrupt).await,
        Command::Explain(arguments) => explain::run(&arguments, format, &client, screen).await,
        Command::Observe(arguments) => observe::run(&arguments, format, &client, screen, interrupt).await,
        Command::Standing(command) => standing::run(command, format, &client, screen).await,
        Command::Port(arguments) => port::run(&arguments, format, &client, screen, interrupt).await,
        Command::Neighbor(arguments) => neighbor::run(&arguments, format, &client, screen, interrupt).await,
        Command::Udp(arguments) => udp::run(&arguments, format, &client, screen, interrupt).await,
        Command::Agents(command) => agents::run(command, format, &client, screen).await,
        Command::Jobs(command) => jobs::run(command, format, &client, screen).await,
        Command::Measurements(command) => measurements::run(command, format, &client, screen).await,
        Command::Reports(command) => reports::run(command, format, &client, screen).await,
        Command::Metrics(command) => metrics::run(command, format, &client, screen).await,
        Command::Usage(arguments) => usage::run(&arguments, format, &client, screen).await,
        Command::Tiers => tiers::run(format, &client, screen).await,
        Command::Packages(command) => packages::ask(command, format, &client, screen, interrupt).await,
        Command::Keys(command) => keys::run(command, format, &client, screen).await,
        Command::JoinTokens(command) => join_tokens::run(command, format, &client, screen).await,
        // Done without a control plane, above.
        Command::Contexts(_) | Command::Completion(_) => Ok(Exit::Usage),
    }
}

/// Whether what a command prints are numbers of a measurement.
const fn has_numbers(command: &Command) -> bool {
    matches!(
        command,
        Command::Ping(_)
            | Command::Http(_)
            | Command::Tcp(_)
            | Command::Udp(_)
            | Command::Port(_)
            | Command::Neighbor(_)
            | Command::Observe(_)
            | Command::Dns(_)
            | Command::Traceroute(_)
            | Command::Mtr(_)
            | Command::Pmtu(_)
            | Command::Measurements(measurements::MeasurementsCommand::Reports { .. })
    )
}

/// Says that a list was cut.
fn say_if_more(screen: &mut Screen<'_>, listed: &crate::client::Listed<impl Sized>) {
    if listed.more {
        screen.say(&format!("{} shown, there are more: raise --limit", listed.items.len()));
    }
}

/// An optional instant or text as a cell.
fn cell<T: ToString>(value: Option<&T>) -> Cell {
    Cell::of(value.map(T::to_string))
}

/// Labels as a cell.
fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests;
