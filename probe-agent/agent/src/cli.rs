//! The command line, and what each command does.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use agent_probes::net::icmp::IcmpSockets;
use clap::{Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentError};
use crate::check::{self, CheckError};
use crate::config::{Config, ConfigError};
use crate::exit::Failure;
use crate::host::place::{InvalidPlace, PlaceSettings};
use crate::host::{facts, service_manager, stop};
use crate::known;
use crate::link::bundle::{BUNDLE_BYTES, InvalidBundle, JoinBundle};
use crate::link::enrolment::{self, EnrolmentError};
use crate::link::identity::Identity;
use crate::local_probe::{self, LocalProbeError, Output};
use crate::observer::{self, CheckPackageError, ObserverError};
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
        /// The owner's configuration: policy, link, outbox, place.
        #[arg(long, env = "PROBEOPS_AGENT_CONFIG")]
        config: Option<PathBuf>,
        /// A file with the join bundle, read only while this host has no identity: the agent then enrols before it runs.
        #[arg(long, env = "PROBEOPS_JOIN_BUNDLE_FILE")]
        join_bundle: Option<PathBuf>,
        /// Where the host is.
        #[command(flatten)]
        place: PlaceSettings,
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
    /// Runs the observer, which looks into this host's kernel for the agent, until SIGTERM.
    Observe {
        /// The owner's configuration; its table `observe` says what may be observed, and where the observer listens.
        #[arg(long, global = true, env = "PROBEOPS_AGENT_CONFIG")]
        config: Option<PathBuf>,
        /// Something else than to run it.
        #[command(subcommand)]
        what: Option<ObserveCommand>,
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

/// What the observer's program does beside observing.
#[derive(Debug, Subcommand)]
pub enum ObserveCommand {
    /// Gives a package's programs to this host's kernel, which says what it thinks of them, and takes them back: nothing is put onto a hook.
    Check {
        /// The package.
        package: PathBuf,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The place on the command line cannot have been meant.
    #[error("the command line is not usable: {0}")]
    Place(#[from] InvalidPlace),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// What came on standard input is no join bundle.
    #[error("the join bundle on standard input is not usable: it {0}")]
    Bundle(#[from] InvalidBundle),
    /// This host has no identity, and the file that would earn one cannot be read.
    #[error("this host has no identity yet, and its join bundle cannot be read from {path}: {source}")]
    BundleFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This host has no identity, and what the file holds earns none.
    #[error("this host has no identity yet, and the join bundle in {path} is not usable: it {source}")]
    BundleInFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: InvalidBundle,
    },
    /// Enrolment failed.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// The agent ended.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A step of the check failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The observer cannot run.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// A package would not be run here.
    #[error(transparent)]
    Package(#[from] CheckPackageError),
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
            Self::Config(_) | Self::Place(_) | Self::State(_) | Self::Bundle(_) | Self::BundleFile { .. } | Self::BundleInFile { .. } | Self::Enrolment(_) => {
                Failure::Misconfigured
            }
            Self::Agent(error) => error.failure(),
            Self::Check(error) => error.failure(),
            Self::Probe(error) => error.failure(),
            Self::Observer(_) | Self::Package(_) | Self::Io(_) => Failure::Failed,
        }
    }
}

/// Does what the command line asks, with the sockets towards targets that were opened while privilege lasted, where it is about targets.
///
/// # Errors
/// [`CommandError`].
pub async fn execute(command: Command, sockets: Option<IcmpSockets>) -> Result<(), CommandError> {
    let sockets = || sockets.unwrap_or_else(IcmpSockets::open);
    match command {
        Command::Enrol { state_dir } => Box::pin(enrol(state_dir)).await,
        Command::Run {
            state_dir,
            config,
            join_bundle,
            place,
        } => {
            let mut config = Config::load(config.as_deref())?;
            place.clone().validated()?;
            config.place = place.or(config.place);
            if let Some(file) = join_bundle {
                Box::pin(enrol_if_new(&state_dir, file)).await?;
            }
            let state = StateDir::open(&state_dir)?;
            let run = async |stop: CancellationToken| {
                let agent = Agent::open(&state, config, sockets(), stop.clone()).await?;
                Ok(service_manager::accompany(stop, agent.run()).await?)
            };
            Box::pin(until_stopped(run)).await
        }
        Command::Check { state_dir, config } => {
            let files = known::load(&Config::load(config.as_deref())?.known).files;
            let unusable = check::look_at(&files, &mut io::stdout())?;
            Box::pin(check::check(&StateDir::open(&state_dir)?, &mut io::stdout())).await?;
            Ok(unusable.map_or(Ok(()), Err)?)
        }
        Command::Observe {
            config,
            what: Some(ObserveCommand::Check { package }),
        } => Ok(observer::check_package(&package, &Config::load(config.as_deref())?.observe, &mut io::stdout())?),
        Command::Observe { config, what: None } => {
            let settings = Config::load(config.as_deref())?.observe;
            let run = async |stop: CancellationToken| {
                let ready = observer::open(settings).await?;
                service_manager::accompany(stop.clone(), ready.serve(stop)).await;
                Ok(())
            };
            Box::pin(until_stopped(run)).await
        }
        Command::Probe { spec, config, output } => {
            let config = Config::load(config.as_deref())?;
            let run = async |stop| Ok(local_probe::probe(&spec, config, sockets(), output, stop, &mut io::stdout()).await?);
            Box::pin(until_stopped(run)).await
        }
    }
}

async fn enrol(state_dir: PathBuf) -> Result<(), CommandError> {
    let bundle: JoinBundle = read_bundle(io::stdin())?.expose_secret().parse()?;
    let state = StateDir::create(&state_dir)?;
    let identity = enrolment::enrol(&state, &bundle, &facts::hostname()).await?;
    writeln!(io::stdout(), "enrolled as {} ({}) with {}", identity.name, identity.agent, identity.endpoint)?;
    Ok(())
}

/// Enrols with the bundle in a file, unless the state directory holds an identity already.
async fn enrol_if_new(state_dir: &Path, path: PathBuf) -> Result<(), CommandError> {
    let state = StateDir::create(state_dir)?;
    if Identity::load(&state).map_err(AgentError::Identity)?.is_some() {
        return Ok(());
    }
    let text = match File::open(&path).and_then(read_bundle) {
        Ok(text) => text,
        Err(source) => return Err(CommandError::BundleFile { path, source }),
    };
    let bundle: JoinBundle = match text.expose_secret().parse() {
        Ok(bundle) => bundle,
        Err(source) => return Err(CommandError::BundleInFile { path, source }),
    };
    let identity = enrolment::enrol(&state, &bundle, &facts::hostname()).await?;
    tracing::info!(agent = %identity.agent, name = identity.name, "enrolled");
    Ok(())
}

fn read_bundle(from: impl Read) -> io::Result<SecretString> {
    let limit = u64::try_from(BUNDLE_BYTES + 2).unwrap_or(u64::MAX);
    let mut text = String::new();
    from.take(limit).read_to_string(&mut text)?;
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

    #[tokio::test]
    async fn a_new_host_with_a_bundle_that_earns_nothing_is_no_case_for_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let missing = enrol_if_new(&state, folder.path().join("none")).await.unwrap_err();
        assert!(matches!(missing, CommandError::BundleFile { .. }), "{missing}");
        let file = folder.path().join("bundle");
        for text in ["", "none", "probeops-join://127.0.0.1:1?token=x"] {
            std::fs::write(&file, text).unwrap();
            let refused = enrol_if_new(&state, file.clone()).await.unwrap_err();
            assert!(matches!(refused, CommandError::BundleInFile { .. }), "{refused}");
            assert_eq!(refused.failure().code(), 78, "{refused}");
        }
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
