//! The program `probe-agent`: arguments, logs, one runtime thread, an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use agent_probes::net::icmp::IcmpSockets;
use clap::Parser;
use ebpf_probes::Accounting;
use probe_agent::cli::{self, Cli, Command};
use probe_agent::config::{Config, ObserveSettings};
use probe_agent::exit::Failure;
use probe_agent::host::privilege::{self, Reach};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let is_service = matches!(command, Command::Run { .. } | Command::Observe { what: None, .. });
    start_logs(if is_service { "info" } else { "warn" });
    // A configuration that cannot be used is refused later, with its reason.
    let owner = if let Command::Observe { config, .. } = &command {
        Config::load(config.as_deref()).map(|config| config.observe).unwrap_or_default()
    } else {
        ObserveSettings::default()
    };
    // Only root may let the kernel count what packages cost; who may not relies on the host to do it for everybody.
    let _accounting = owner.allows_packages().then(Accounting::begin);
    // What needs privilege is opened here, and privilege given up before there is a second thread.
    let (sockets, given_up) = match &command {
        Command::Observe { .. } => (None, privilege::keep_observing(reach(&owner))),
        Command::Enrol { .. } | Command::Run { .. } | Command::Check { .. } | Command::Probe { .. } => (Some(IcmpSockets::open()), privilege::give_up()),
    };
    if let Err(error) = given_up {
        // The service manager may filter the call; what it gave is then the least that was needed.
        tracing::info!(%error, "the capabilities that this process was started with are kept");
    }
    // One thread: an idle agent must cost its host next to nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cli::execute(command, sockets)),
        Err(error) => Err(error.into()),
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let failure = error.failure();
    if is_service {
        tracing::error!(%error, will_not_help_to_restart = failure == Failure::Misconfigured, "the agent ends");
    } else {
        let _ = writeln!(io::stderr(), "error: {error}");
    }
    ExitCode::from(failure.code())
}

/// How far the owner lets the observer look.
fn reach(owner: &ObserveSettings) -> Reach {
    if owner.allows_extra() { Reach::Functions } else { Reach::Kernel }
}

/// JSON lines on standard error; `PROBEOPS_LOG` chooses what is logged, as `debug` or `probe_agent::link=debug`.
fn start_logs(default: &str) {
    let filter = EnvFilter::try_from_env("PROBEOPS_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(io::stderr).init();
}
