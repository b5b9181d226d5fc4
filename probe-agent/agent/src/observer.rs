//! `probe-agent observe`: the observer, a process of its own, which alone looks into the kernel.
//!
//! It listens on a Unix socket for the agent, and for nobody but its own user and root; opens no other socket; keeps two capabilities, to load
//! programs and to read with them, and gives up every other. Each conversation is about one observation, or about what the
//! agent's own probes do, and its programs go away with it.

mod check_package;
mod conversation;
mod facts;
mod governor;
mod own;
mod tried;
mod trust;
mod watch;
mod watchlist;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ebpf_probes::{Kernel, capabilities};
use nix::unistd::geteuid;
use shared_protocol::frame::ObservationCapability;
use shared_protocol::spec::Observation;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use check_package::{CheckPackageError, check_package};
use governor::Governor;

use crate::config::ObserveSettings;

/// Why the observer ended.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// Its socket cannot be made.
    #[error("cannot listen at {path}: {source}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another one listens there.
    #[error("another observer listens at {0}")]
    AlreadyThere(PathBuf),
}

/// What all conversations share.
#[derive(Debug)]
struct Observer {
    capabilities: Vec<ObservationCapability>,
    settings: ObserveSettings,
    room: Semaphore,
    /// Places for conversations about the agent's own probes.
    beside: Semaphore,
    governor: Arc<Mutex<Governor>>,
}

/// The observer's socket, on which nobody is heard yet.
#[derive(Debug)]
pub struct Ready {
    observer: Arc<Observer>,
    listener: UnixListener,
}

/// Finds out what can be observed on this host, and listens.
///
/// # Errors
/// [`ObserverError`]. That nothing can be observed is none: it is what the agent is told.
pub async fn open(settings: ObserveSettings) -> Result<Ready, ObserverError> {
    let listener = listen(&settings.socket).await?;
    let capabilities = capabilities(&Kernel::read(settings.btf.as_deref()), &settings.tls_libraries);
    for capability in &capabilities {
        tracing::info!(
            observation = capability.observation,
            level = ?capability.level,
            reason = capability.reason,
            "tried what can be observed"
        );
    }
    Ok(Ready {
        observer: Arc::new(Observer {
            capabilities,
            governor: Arc::new(Mutex::new(Governor::new(settings.max_cpu_percent))),
            settings,
            room: Semaphore::new(OBSERVATIONS),
            beside: Semaphore::new(BESIDE),
        }),
        listener,
    })
}

impl Ready {
    /// Answers until asked to stop; observations under way then say what they have.
    pub async fn serve(self, stop: CancellationToken) {
        let mut conversations = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept(), if conversations.len() < CONVERSATIONS => match accepted {
                    Ok((stream, _)) if is_welcome(&stream) => {
                        conversations.spawn(conversation::hold(stream, Arc::clone(&self.observer), stop.clone()));
                    }
                    Ok(_) => {}
                    // Out of descriptors, mostly: those in use come back.
                    Err(error) => {
                        tracing::warn!(%error, "a conversation could not begin");
                        tokio::time::sleep(conversation::LOOK).await;
                    }
                },
                Some(_) = conversations.join_next() => {}
            }
        }
        while conversations.join_next().await.is_some() {}
    }
}

/// A socket that only its owner reaches. One left by an observer that was killed is taken away.
async fn listen(path: &Path) -> Result<UnixListener, ObserverError> {
    let failed = |source| ObserverError::Listen { path: path.to_owned(), source };
    if UnixStream::connect(path).await.is_ok() {
        return Err(ObserverError::AlreadyThere(path.to_owned()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Whether it is the agent: this user's, or root's.
fn is_welcome(stream: &UnixStream) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == geteuid().as_raw() => true,
        Ok(peer) => {
            tracing::warn!(user = peer.uid(), "somebody else's user was turned away");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "somebody whose user is not known was turned away");
            false
        }
    }
}

/// Most observations at the same time: one of each, and some more; one above is refused.
const OBSERVATIONS: usize = Observation::ALL.len() + 6;
/// Most conversations about an agent's own probes at the same time: the agent's, and those of probes that are tried by hand beside it.
const BESIDE: usize = 4;
/// Most conversations at the same time; one more waits.
const CONVERSATIONS: usize = 32;
const _: () = assert!(OBSERVATIONS + BESIDE <= CONVERSATIONS);
