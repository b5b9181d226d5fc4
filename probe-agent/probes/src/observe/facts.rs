//! The one conversation about what the agent's own probes do. It is begun with the first that wants to know, and ended by the observer when
//! nobody has wanted to for a while. No wait here is longer than its caller allows: what is not ready by then is told as missing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared_protocol::fault::ErrorCode;
use shared_protocol::report::{FlowFacts, Peer};
use shared_protocol::time::MonotonicMicros;
use tokio::sync::Mutex;

use super::message::{Ask, LocalPorts, Told};
use crate::clock;
use crate::net::observer::Conversation;

/// The way to what the observer sees of probes.
#[derive(Debug)]
pub(crate) struct Facts {
    socket: PathBuf,
    link: Mutex<Link>,
    next: AtomicU64,
}

/// Where the conversation stands.
#[derive(Debug)]
enum Link {
    /// There is none, and one may be begun.
    Closed,
    /// The observer was asked to get ready.
    Opening(Conversation),
    /// It is.
    Ready(Conversation),
    /// Something is being sent: whoever finds this was left with half a message.
    Sending,
    /// There is none, and it is not worth while to try again before this.
    Away { until: MonotonicMicros, failing: Failing },
}

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failing {
    /// Nobody looks on this host, or the owner does not want it: there is nothing to be said about it.
    Unwanted,
    /// Somebody might have.
    Missing(String),
}

impl Facts {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self {
            socket,
            link: Mutex::new(Link::Closed),
            next: AtomicU64::new(1),
        }
    }

    /// A number for somebody who is to be watched.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the observer ready. Asked again, it goes on where the last wait was given up.
    pub(crate) async fn prepare(&self, within: Duration) -> Result<(), Failing> {
        timely(within, async {
            let mut link = self.link.lock().await;
            loop {
                match &mut *link {
                    Link::Ready(conversation) => match conversation.pending().await {
                        None => return Ok(()),
                        // What was asked for by somebody who did not wait for it.
                        Some(Ok(Told::Watching { .. } | Told::Facts { .. })) => {}
                        // It ended since, as it does when it has nothing to do for a while: begun anew.
                        Some(Err(_)) => *link = Link::Closed,
                        Some(Ok(told)) => return Err(link.leave(refused(told))),
                    },
                    Link::Opening(conversation) => match conversation.hear().await {
                        Ok(Told::Ready) => link.turn_ready(),
                        Ok(told) => return Err(link.leave(refused(told))),
                        Err(cause) => return Err(link.leave(Failing::Missing(format!("the observer ended: {cause}")))),
                    },
                    Link::Closed | Link::Sending => {
                        *link = Link::Closed;
                        match self.open().await {
                            Ok(conversation) => *link = Link::Opening(conversation),
                            Err(failing) => return Err(link.leave(failing)),
                        }
                    }
                    Link::Away { until, failing } => {
                        if clock::monotonic() < *until {
                            return Err(failing.clone());
                        }
                        *link = Link::Closed;
                    }
                }
            }
        })
        .await
    }

    async fn open(&self) -> Result<Conversation, Failing> {
        let namespace = std::fs::metadata(NAMESPACE).ok().and_then(|found| u32::try_from(found.ino()).ok());
        let namespace = namespace.ok_or_else(|| Failing::Missing("the agent's network namespace is not known".to_owned()))?;
        let begun = async {
            let mut conversation = Conversation::begin(&self.socket).await?;
            conversation.ask(&Ask::Facts { namespace }).await?;
            Ok(conversation)
        };
        begun.await.map_err(|cause: io::Error| {
            if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                return Failing::Unwanted;
            }
            Failing::Missing(format!("no observer can be asked: {cause}"))
        })
    }

    /// Has somebody watched.
    pub(crate) async fn watch(&self, number: u64, peer: Peer, within: Duration) -> Result<(), Failing> {
        let ask = Ask::Watch { number, peer };
        let answer = |told| {
            let Told::Watching { number: told, watched } = told else { return None };
            (told == number).then_some(watched)
        };
        if timely(within, self.exchange(&ask, answer)).await? {
            Ok(())
        } else {
            Err(Failing::Missing(
                "unwatched: as many probes are looked at as can be at the same time".to_owned(),
            ))
        }
    }

    /// What was seen of these flows with somebody who was watched, who is watched no longer; and what is missing.
    pub(crate) async fn tell(&self, number: u64, local_ports: LocalPorts, within: Duration) -> Result<(Vec<FlowFacts>, Vec<String>), Failing> {
        let ask = Ask::Tell { number, local_ports };
        let answer = |told| {
            let Told::Facts { number: told, flows, missing } = told else {
                return None;
            };
            (told == number).then_some((flows, missing))
        };
        timely(within, self.exchange(&ask, answer)).await
    }

    /// Asks, and passes over what was meant for those who did not wait.
    async fn exchange<T>(&self, ask: &Ask, answer: impl Fn(Told) -> Option<T>) -> Result<T, Failing> {
        let mut link = self.link.lock().await;
        let Link::Ready(mut conversation) = std::mem::replace(&mut *link, Link::Sending) else {
            *link = Link::Closed;
            return Err(Failing::Missing("the observer is not ready".to_owned()));
        };
        let sent = conversation.ask(ask).await;
        *link = Link::Ready(conversation);
        let ended = |cause: io::Error| Failing::Missing(format!("the observer ended: {cause}"));
        if let Err(cause) = sent {
            return Err(link.leave(ended(cause)));
        }
        loop {
            let Link::Ready(conversation) = &mut *link else {
                return Err(Failing::Missing("the observer is not ready".to_owned()));
            };
            match conversation.hear().await {
                Ok(told @ Told::Refused { .. }) => return Err(link.leave(refused(told))),
                Ok(told) => {
                    if let Some(answer) = answer(told) {
                        return Ok(answer);
                    }
                }
                Err(cause) => return Err(link.leave(ended(cause))),
            }
        }
    }
}

impl Link {
    fn turn_ready(&mut self) {
        if let Self::Opening(conversation) = std::mem::replace(self, Self::Closed) {
            *self = Self::Ready(conversation);
        }
    }

    /// Ends the conversation for a while.
    fn leave(&mut self, failing: Failing) -> Failing {
        // An observer that comes is found by the next probe; one that cannot is not asked by each.
        let rest = if failing == Failing::Unwanted { REST_WITHOUT } else { REST };
        *self = Self::Away {
            until: clock::monotonic().plus(rest),
            failing: failing.clone(),
        };
        failing
    }
}

fn refused(told: Told) -> Failing {
    let Told::Refused { code, message } = told else {
        return Failing::Missing("the observer answered something else than was asked".to_owned());
    };
    if code == ErrorCode::PolicyDenied {
        Failing::Unwanted
    } else {
        Failing::Missing(message)
    }
}

async fn timely<T>(within: Duration, work: impl Future<Output = Result<T, Failing>>) -> Result<T, Failing> {
    tokio::time::timeout(within, work)
        .await
        .unwrap_or_else(|_| Err(Failing::Missing("the observer was not ready in time".to_owned())))
}

/// The agent's own.
const NAMESPACE: &str = "/proc/self/ns/net";
/// How long an observer that failed is left alone.
const REST: Duration = Duration::from_secs(10);
/// How long none is looked for where there was none: a look is one system call.
const REST_WITHOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use shared_protocol::report::Transport;
    use tokio::net::{UnixListener, UnixStream};

    use super::*;
    use crate::observe::message::{self, ASK_BYTES, Inbox};

    /// An observer that says what it is told to.
    struct Scripted {
        listener: UnixListener,
        facts: Facts,
        _folder: tempfile::TempDir,
    }

    impl Scripted {
        fn listen() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = folder.path().join("observe.sock");
            Self {
                listener: UnixListener::bind(&socket).unwrap(),
                facts: Facts::at(socket),
                _folder: folder,
            }
        }

        /// The agent's end of a conversation that has begun.
        async fn begun(&self) -> UnixStream {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let asked: Ask = Inbox::new(ASK_BYTES).receive(&mut stream).await.unwrap();
            assert!(matches!(asked, Ask::Facts { namespace } if namespace > 0), "{asked:?}");
            stream
        }

        /// A conversation for which the observer is ready.
        async fn ready(&self) -> UnixStream {
            let (prepared, stream) = tokio::join!(self.facts.prepare(LONG), async {
                let mut stream = self.begun().await;
                message::send(&mut stream, &Told::Ready).await.unwrap();
                stream
            });
            prepared.unwrap();
            stream
        }
    }

    fn missing(why: &str) -> Failing {
        Failing::Missing(why.to_owned())
    }

    fn peer() -> Peer {
        Peer {
            transport: Transport::Tcp,
            remote: "192.0.2.1:80".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_is_gone_on_with_by_the_next_probe() {
        let scripted = Scripted::listen();
        assert_eq!(scripted.facts.prepare(SHORT).await, Err(missing("the observer was not ready in time")));
        let mut stream = scripted.begun().await;
        assert_eq!(scripted.facts.prepare(SHORT).await, Err(missing("the observer was not ready in time")));
        message::send(&mut stream, &Told::Ready).await.unwrap();
        // Were another conversation begun, nobody would answer.
        assert_eq!(scripted.facts.prepare(LONG).await, Ok(()));
    }

    #[tokio::test]
    async fn answers_for_those_who_did_not_wait_are_passed_over() {
        let scripted = Scripted::listen();
        let mut stream = scripted.ready().await;
        assert_eq!(scripted.facts.watch(1, peer(), SHORT).await, Err(missing("the observer was not ready in time")));
        for (number, watched) in [(1, true), (2, false), (3, true)] {
            message::send(&mut stream, &Told::Watching { number, watched }).await.unwrap();
        }
        let full = scripted.facts.watch(2, peer(), LONG).await;
        assert!(matches!(full, Err(Failing::Missing(why)) if why.starts_with("unwatched: ")));
        assert_eq!(scripted.facts.watch(3, peer(), LONG).await, Ok(()));
        let told = Told::Facts {
            number: 3,
            flows: Vec::new(),
            missing: vec!["x".to_owned()],
        };
        message::send(&mut stream, &told).await.unwrap();
        let ports = LocalPorts::try_from(vec![1]).unwrap();
        assert_eq!(scripted.facts.tell(3, ports, LONG).await, Ok((Vec::new(), vec!["x".to_owned()])));
    }

    #[tokio::test]
    async fn one_that_ended_because_it_had_nothing_to_do_is_begun_anew() {
        let scripted = Scripted::listen();
        drop(scripted.ready().await);
        scripted.ready().await;
    }

    #[tokio::test]
    async fn what_the_owner_does_not_want_is_as_if_nobody_were_there_and_is_not_asked_for_by_each_probe() {
        let absent = Facts::at("/nonexistent/observe.sock".into());
        assert_eq!(absent.prepare(LONG).await, Err(Failing::Unwanted));
        for (code, failing) in [(ErrorCode::PolicyDenied, Failing::Unwanted), (ErrorCode::PermissionMissing, missing("why"))] {
            let scripted = Scripted::listen();
            let told = Told::Refused {
                code,
                message: "why".to_owned(),
            };
            let (prepared, ()) = tokio::join!(scripted.facts.prepare(LONG), async {
                message::send(&mut scripted.begun().await, &told).await.unwrap();
            });
            assert_eq!(prepared, Err(failing.clone()));
            // Nobody accepts another conversation.
            assert_eq!(scripted.facts.prepare(LONG).await, Err(failing));
        }
    }

    /// Long enough for whatever comes.
    const LONG: Duration = Duration::from_secs(20);
    /// For what does not come.
    const SHORT: Duration = Duration::from_millis(20);
}
