//! The command line, and what each command does.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentError};
use crate::check::{self, CheckError};
use crate::config::{Config, ConfigError};
use crate::exit::Failure;
use crate::host::{facts, stop};
use crate::link::bundle::{BUNDLE_BYTES, InvalidBundle, JoinBundle};
use crate::link::enrolment::{self, EnrolmentError};
use crate::local_probe::{self, LocalProbeError, Output};
use crate::state_dir::{StateDir, StateDirError};

/// The `ProbeOps` agent: measures from this host what its owner allows, and listens on no port.
#[derive(Debug, Parser)]
#[command(name = "probe-agent", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reads a join bundle from standard input and earns this host's identity with it.
    #[command(alias = "enroll")]
    Enrol {
        /// Where identity and reports are kept; made with mode 0700.
        #[arg(long, env = "PROBEOPS_STATE_DIR")]
        state_dir: PathBuf,
    },
    /// Runs the agent until SIGTERM.
    Run {
        /// Where identity and reports are kept.
        #[arg(long, env = "PROBEOPS_STATE_DIR")]
        state_dir: PathBuf,
        /// The owner's configuration: policy, link, outbox.
        #[arg(long, env = "PROBEOPS_AGENT_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Climbs towards the control plane step by step and says what fails.
    Check {
        /// Where the identity is kept.
        #[arg(long, env = "PROBEOPS_STATE_DIR")]
        state_dir: PathBuf,
        /// The owner's configuration; it is checked too.
        #[arg(long, env = "PROBEOPS_AGENT_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Runs one probe on this host, without a control plane.
    Probe {
        /// What to do, as JSON: '{"probe":"ping","target":"192.0.2.1"}'.
        spec: String,
        /// The owner's configuration; its policy holds here too.
        #[arg(long, env = "PROBEOPS_AGENT_CONFIG")]
        config: Option<PathBuf>,
        /// How findings are printed.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// What came on standard input is no join bundle.
    #[error("the join bundle on standard input is not usable: it {0}")]
    Bundle(#[from] InvalidBundle),
    /// Enrolment failed.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// The agent ended.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A step of the check failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A local probe did not succeed.
    #[error(transparent)]
    Probe(#[from] LocalProbeError),
    /// Standard input or output broke, or signals cannot be listened to.
    #[error("input or output failed: {0}")]
    Io(#[from] io::Error),
}

impl CommandError {
    /// What it means for the exit code.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Enrolment(error) if error.is_retryable() => Failure::Failed,
            Self::Config(_) | Self::State(_) | Self::Bundle(_) | Self::Enrolment(_) => Failure::Misconfigured,
            Self::Agent(error) => error.failure(),
            Self::Check(error) => error.failure(),
            Self::Probe(error) => error.failure(),
            Self::Io(_) => Failure::Failed,
        }
    }
}

/// Does what the command line asks.
///
/// # Errors
/// [`CommandError`].
pub async fn execute(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Enrol { state_dir } => Box::pin(enrol(state_dir)).await,
        Command::Run { state_dir, config } => {
            let config = Config::load(config.as_deref())?;
            let state = StateDir::open(&state_dir)?;
            let run = async |stop| Ok(Agent::open(&state, config, stop).await?.run().await?);
            Box::pin(until_stopped(run)).await
        }
        Command::Check { state_dir, config } => {
            Config::load(config.as_deref())?;
            Ok(Box::pin(check::check(&StateDir::open(&state_dir)?, &mut io::stdout())).await?)
        }
        Command::Probe { spec, config, output } => {
            let config = Config::load(config.as_deref())?;
            let run = async |stop| Ok(local_probe::probe(&spec, config, output, stop, &mut io::stdout()).await?);
            Box::pin(until_stopped(run)).await
        }
    }
}

async fn enrol(state_dir: PathBuf) -> Result<(), CommandError> {
    let bundle: JoinBundle = read_bundle()?.expose_secret().parse()?;
    let state = StateDir::create(&state_dir)?;
    let identity = enrolment::enrol(&state, &bundle, &facts::hostname()).await?;
    writeln!(io::stdout(), "enrolled as {} ({}) with {}", identity.name, identity.agent, identity.endpoint)?;
    Ok(())
}

fn read_bundle() -> io::Result<SecretString> {
    let limit = u64::try_from(BUNDLE_BYTES + 2).unwrap_or(u64::MAX);
    let mut text = String::new();
    io::stdin().take(limit).read_to_string(&mut text)?;
    Ok(SecretString::from(text))
}

/// Runs something that ends in order when a signal asks for it.
async fn until_stopped<F>(run: impl FnOnce(CancellationToken) -> F) -> Result<(), CommandError>
where
    F: Future<Output = Result<(), CommandError>>,
{
    let token = CancellationToken::new();
    let signals = async {
        stop::requested().await?;
        token.cancel();
        std::future::pending::<Result<(), CommandError>>().await
    };
    tokio::select! {
        result = run(token.clone()) => result,
        result = signals => result,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn enr_14_a_server_that_is_not_trusted_is_no_case_for_a_restart() {
        let untrusted = crate::link::dial::DialError::Untrusted {
            endpoint: "localhost:1".to_owned(),
            why: "wrong pin".to_owned(),
        };
        assert_eq!(CommandError::Enrolment(EnrolmentError::Dial(untrusted)).failure().code(), 78);
        assert_eq!(CommandError::Agent(AgentError::Revoked).failure().code(), 78);
        assert_eq!(CommandError::Io(io::Error::other("x")).failure().code(), 1);
    }
}
