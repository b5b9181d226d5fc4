//! What can go wrong, and which exit code says so.

use std::io;
use std::path::PathBuf;

use crate::exit::Exit;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not say where to go, or with which key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The control plane did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Options that do not go together, or one that is missing.
    #[error("{0}")]
    Usage(&'static str),
    /// A file of targets that cannot be used: which, and why.
    #[error("cannot use the targets of {}: {cause}", .path.display())]
    Targets {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A file that was asked for cannot be written.
    #[error("cannot write {}: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file that was named cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    NotReadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The package is not acceptable.
    #[error(transparent)]
    Package(#[from] ebpf_package::Refusal),
    /// What is given as a key to sign with is none, or none can be made.
    #[error("the key {0}")]
    SigningKey(#[from] ebpf_package::InvalidKey),
    /// The report cannot be derived again.
    #[error(transparent)]
    NotDerivable(#[from] agent_paths::explain::NotDerivable),
    /// No agent of the tenant has this name.
    #[error("there is no agent `{0}`")]
    UnknownAgent(String),
    /// `--from all`, and none is there.
    #[error("no agent is online")]
    NoAgentOnline,
    /// Nobody is there to read what is written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither option, environment nor file names a control plane.
    #[error("no control plane is configured: write a context into {0}, or set PROBEOPS_URL and PROBEOPS_TOKEN")]
    NoContext(PathBuf),
    /// No place for the configuration file.
    #[error("neither HOME nor XDG_CONFIG_HOME is set: name the configuration by --config")]
    NoHome,
    /// The file has no such context.
    #[error("{file} has no context `{name}`")]
    UnknownContext {
        /// The configuration file.
        file: PathBuf,
        /// The name that was asked for.
        name: String,
    },
    /// Neither option, environment nor file gives a key.
    #[error("no API key: set PROBEOPS_TOKEN, give --key-stdin, or name a key_file in the context")]
    NoKey,
    /// What is given as key cannot be one.
    #[error("the API key from {0} is not one: expected one line of visible characters")]
    NotAKey(&'static str),
    /// A file with a secret can be read by others.
    #[error("{0} holds an API key and can be read by others: chmod 600 it")]
    Exposed(PathBuf),
    /// A file could not be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {file}: {source}")]
    Save {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a configuration. The message names line and field, never a value.
    #[error("{file} is not a configuration: {message}")]
    Parse {
        /// The file.
        file: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// The address is none.
    #[error("`{0}` is not the address of a control plane: expected http://host:port or https://host")]
    Url(String),
}

/// Why the control plane did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot reach the control plane at {0}")]
    Connect(String),
    /// No answer in time.
    #[error("the control plane did not answer in time")]
    Timeout,
    /// The connection broke while the answer came.
    #[error("the connection to the control plane broke")]
    Broken,
    /// It said no (RFC 9457).
    #[error("{0}")]
    Problem(Problem),
    /// The answer is not what the API describes.
    #[error("the control plane's answer cannot be read: {0}")]
    Unreadable(&'static str),
    /// The answer is longer than any should be.
    #[error("the control plane's answer is too long")]
    TooLong,
    /// The key holds what no header can carry, or no client could be made.
    #[error("cannot set up the connection: {0}")]
    Setup(&'static str),
}

/// What the control plane said instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, where it gave one.
    pub code: Option<String>,
    /// The sentence for people.
    pub detail: String,
    /// The field it is about.
    pub field: Option<String>,
    /// Finds the request in the server's log.
    pub request_id: Option<String>,
    /// How many seconds to wait before the next try.
    pub retry_after_s: Option<u64>,
}

impl Error {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::Usage(_)
            | Self::Targets { .. }
            | Self::File { .. }
            | Self::NotReadable { .. }
            | Self::Package(_)
            | Self::SigningKey(_)
            | Self::NotDerivable(_) => Exit::Usage,
            Self::UnknownAgent(_) | Self::NoAgentOnline => Exit::NotFound,
            Self::Client(error) => error.exit(),
            Self::Write(_) => Exit::Interrupted,
        }
    }
}

impl ClientError {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Timeout => Exit::Timeout,
            Self::Problem(problem) => Exit::of_problem(problem.status, problem.code.as_deref()),
            Self::Connect(_) | Self::Broken | Self::Unreadable(_) | Self::TooLong | Self::Setup(_) => Exit::ControlPlane,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout | Self::Broken => true,
            Self::Problem(problem) => matches!(problem.status, 408 | 429 | 500..=599),
            Self::Unreadable(_) | Self::TooLong | Self::Setup(_) => false,
        }
    }

    /// How long the control plane asks to be left alone, seconds.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Problem(problem) => problem.retry_after_s,
            Self::Connect(_) | Self::Timeout | Self::Broken | Self::Unreadable(_) | Self::TooLong | Self::Setup(_) => None,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Our control plane names the field in the sentence already; another's may not.
        if let Some(field) = self.field.as_deref().filter(|field| !self.detail.starts_with(*field)) {
            write!(formatter, "{field}: ")?;
        }
        formatter.write_str(&self.detail)?;
        if let Some(seconds) = self.retry_after_s {
            write!(formatter, " (try again in {seconds} s)")?;
        }
        match (&self.code, &self.request_id) {
            (Some(code), Some(request)) => write!(formatter, " [{code}, request {request}]"),
            (Some(code), None) => write!(formatter, " [{code}]"),
            (None, _) => write!(formatter, " [HTTP {}]", self.status),
        }
    }
}
