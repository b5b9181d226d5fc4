//! The way from the services to the edge that holds a session's connection: bounded, and a session that does not keep up is cut.

use shared_protocol::close::CloseReason;
use shared_protocol::frame::{Ack, Goaway, Run};
use shared_protocol::id::JobId;
use shared_protocol::standing::Configure;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the services tell the edge that holds the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCommand {
    /// Hand a job over. Boxed: the channel keeps room for many commands, and most are small.
    Run(Box<Run>),
    /// Take jobs back.
    Cancel(Vec<JobId>),
    /// Reports are on disk.
    Ack(Ack),
    /// What changed of its standing work.
    Configure(Box<Configure>),
    /// Leave and come back.
    Goaway(Goaway),
    /// End the session.
    Close(CloseReason),
}

/// The services' end.
#[derive(Debug, Clone)]
pub struct Outlet {
    commands: mpsc::Sender<SessionCommand>,
    cut: CancellationToken,
}

/// The edge's end.
#[derive(Debug)]
pub struct Inlet {
    commands: mpsc::Receiver<SessionCommand>,
    cut: CancellationToken,
}

/// Makes both ends; at most [`COMMANDS`] commands wait between them.
pub fn outlet() -> (Outlet, Inlet) {
    let (sender, receiver) = mpsc::channel(COMMANDS);
    let cut = CancellationToken::new();
    (
        Outlet {
            commands: sender,
            cut: cut.clone(),
        },
        Inlet { commands: receiver, cut },
    )
}

/// The session took no command: it was cut, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Outlet {
    /// Tells the edge; where that is full, the session is cut, and its agent comes back to a new one.
    pub(crate) fn tell(&self, command: SessionCommand) -> Result<(), Gone> {
        self.commands.try_send(command).map_err(|_| {
            self.cut.cancel();
            Gone
        })
    }

    /// Whether nobody holds the connection any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.commands.is_closed() || self.cut.is_cancelled()
    }
}

impl Inlet {
    /// The next command; the last one closes the session.
    pub async fn next(&mut self) -> SessionCommand {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => SessionCommand::Close(CloseReason::Busy { retry_after_ms: None }),
            command = self.commands.recv() => command.unwrap_or(SessionCommand::Close(CloseReason::GoingAway)),
        }
    }

    /// A command that waits already.
    pub fn try_next(&mut self) -> Option<SessionCommand> {
        self.commands.try_recv().ok()
    }
}

/// Most commands that wait for the edge.
const COMMANDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_that_does_not_keep_up_is_cut_as_busy() {
        let (outlet, mut inlet) = outlet();
        for _ in 0..COMMANDS {
            assert_eq!(outlet.tell(SessionCommand::Cancel(Vec::new())), Ok(()));
        }
        assert_eq!(outlet.tell(SessionCommand::Cancel(Vec::new())), Err(Gone));
        assert_eq!(inlet.next().await, SessionCommand::Close(CloseReason::Busy { retry_after_ms: None }));
        assert!(outlet.is_closed());
    }
}
