//! What agent and observer say to each other: JSON after its length, over a Unix socket. Both ends bound what they read.

use std::io;

use bytes::{Buf, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared_protocol::event::ObserveWindow;
use shared_protocol::fault::ErrorCode;
use shared_protocol::frame::{CapabilityLevel, ObservationCapability};
use shared_protocol::limits::PACKAGE_BYTES;
use shared_protocol::report::{FLOWS_MAX, FlowFacts, ObserveFindings, Peer};
use shared_protocol::spec::ProbeSpec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What the agent asks. One conversation is about one thing; ending it ends the observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// What can be observed?
    Capabilities,
    /// Observe.
    Observe {
        /// What, how long, how often.
        spec: ProbeSpec,
        /// The loopback port to which the agent will try to connect once the programs are in place.
        check_port: u16,
        /// The package of `custom`, as its author signed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<String>,
    },
    /// Say what was seen so far, and end.
    Stop,
    /// Be ready to look at what the agent's own probes do: a conversation of its own, for as long as there are such.
    Facts {
        /// The agent's network namespace, by its inode.
        namespace: u32,
    },
    /// Look at whoever a probe is about to speak with.
    Watch {
        /// The agent's number for it.
        number: u64,
        /// Who.
        peer: Peer,
    },
    /// Look away, and say what was seen.
    Tell {
        /// The number by which it was watched.
        number: u64,
        /// Which flows with it were the probe's own.
        local_ports: LocalPorts,
    },
}

/// The ports at this end of a probe's flows with one peer, at most [`FLOWS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u16>")]
pub struct LocalPorts(Vec<u16>);

impl TryFrom<Vec<u16>> for LocalPorts {
    type Error = String;

    fn try_from(ports: Vec<u16>) -> Result<Self, Self::Error> {
        if ports.len() > FLOWS_MAX {
            return Err(format!("{} ports, at most {FLOWS_MAX} are allowed", ports.len()));
        }
        Ok(Self(ports))
    }
}

impl LocalPorts {
    /// The ports.
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }
}

/// What the observer tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// This can be observed.
    Capabilities {
        /// Each observation.
        observations: Vec<ObservationCapability>,
    },
    /// The programs are in place.
    Started {
        /// How well.
        level: CapabilityLevel,
        /// What is missing.
        missing: Vec<String>,
    },
    /// One interval is over.
    Window(ObserveWindow),
    /// The observation is over.
    Ended(Box<ObserveFindings>),
    /// The agent's own probes can be looked at.
    Ready,
    /// What came of the wish to have somebody watched.
    Watching {
        /// The agent's number for it.
        number: u64,
        /// Whether there was room for one more.
        watched: bool,
    },
    /// What was seen of a probe's flows with one peer.
    Facts {
        /// The number by which it was watched.
        number: u64,
        /// Each flow that was asked for.
        flows: Vec<FlowFacts>,
        /// What cannot be seen on this host, or was not.
        missing: Vec<String>,
    },
    /// It will not be made, or cannot go on.
    Refused {
        /// Why, as a code.
        code: ErrorCode,
        /// Why, as a sentence.
        message: String,
    },
}

/// Sends one message.
///
/// # Errors
/// Where the other end is gone.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text);
    to.write_all(&bytes).await?;
    to.flush().await
}

/// What has come and is not yet a whole message. A wait that is given up loses nothing.
#[derive(Debug)]
pub struct Inbox {
    come: BytesMut,
    most: usize,
}

impl Inbox {
    /// For messages of at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { come: BytesMut::new(), most }
    }

    /// Receives one message.
    ///
    /// # Errors
    /// Where the other end is gone (`UnexpectedEof`), or what it says is too long or cannot be read (`InvalidData`).
    pub async fn receive<T: DeserializeOwned>(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
        loop {
            if let Some(text) = self.whole()? {
                return serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if from.read_buf(&mut self.come).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn whole(&mut self) -> io::Result<Option<BytesMut>> {
        let Some(length) = self.come.first_chunk() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.most {
            let message = format!("{length} bytes, at most {} are allowed", self.most);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if self.come.len() - LENGTH_BYTES < length {
            return Ok(None);
        }
        self.come.advance(LENGTH_BYTES);
        Ok(Some(self.come.split_to(length)))
    }
}

/// Bytes of a message's length before it.
const LENGTH_BYTES: usize = 4;
/// Longest message of an agent: a package as a text within a text, and what is asked of it. All others are far shorter.
pub const ASK_BYTES: usize = 4 * 1024 + 2 * PACKAGE_BYTES;
/// Longest message of an observer: a hundred entries with all that there is to each.
pub const TOLD_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    #[tokio::test]
    async fn a_message_arrives_as_it_was_sent() {
        let (mut here, mut there) = tokio::io::duplex(1_024);
        let ask = Ask::Observe {
            spec: ProbeSpec::parse(r#"{"probe":"observe","observation":"tcp_flows"}"#).unwrap(),
            check_port: 7,
            package: Some("{}".to_owned()),
        };
        send(&mut here, &ask).await.unwrap();
        assert_eq!(Inbox::new(ASK_BYTES).receive::<Ask>(&mut there).await.unwrap(), ask);
        drop(here);
        let ended = Inbox::new(ASK_BYTES).receive::<Ask>(&mut there).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn the_most_that_can_be_asked_fits_into_a_message() {
        let most = Ask::Tell {
            number: u64::MAX,
            local_ports: vec![u16::MAX; FLOWS_MAX].try_into().unwrap(),
        };
        let mut bytes = Vec::new();
        send(&mut bytes, &most).await.unwrap();
        assert_eq!(Inbox::new(ASK_BYTES).receive::<Ask>(&mut bytes.as_slice()).await.unwrap(), most);
    }

    #[tokio::test]
    async fn too_long_and_unreadable_messages_are_refused_before_they_are_taken_in() {
        let ports = format!("{{\"ask\":\"tell\",\"number\":1,\"local_ports\":{:?}}}", vec![1; FLOWS_MAX + 1]);
        for text in [
            ports.as_bytes(),
            b"{\"ask\":\"everything\"}",
            b"{\"ask\":\"facts\",\"namespace\":4294967296}",
            b"{\"ask\":\"facts\",\"namespace\":-1}",
            b"{\"ask\":\"watch\",\"number\":1,\"peer\":{\"transport\":\"icmp\",\"remote\":\"192.0.2.1:1\"}}",
            b"{\"ask\":\"watch\",\"number\":1,\"peer\":{\"transport\":\"tcp\",\"remote\":\"example.net:1\"}}",
            b"{\"ask\":\"watch\",\"number\":1}",
            b"{}",
            b"",
            b"\xff",
            b"{\"ask\":\"observe\",\"spec\":{\"probe\":\"observe\",\"observation\":\"tcp_flows\",\"duration_s\":0},\"check_port\":1}",
            b"{\"ask\":\"observe\",\"spec\":{\"probe\":\"observe\",\"observation\":\"tcp_flows\"},\"check_port\":65536}",
        ] {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            let bytes = [&length[..], text].concat();
            let refused = Inbox::new(ASK_BYTES).receive::<Ask>(&mut bytes.as_slice()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{}", String::from_utf8_lossy(text));
        }
        let long = Inbox::new(ASK_BYTES).receive::<Ask>(&mut u32::MAX.to_be_bytes().as_slice()).await.unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
    }

    /// A message of this text, as it is read from the other end.
    fn received<T: DeserializeOwned>(text: &[u8], most: usize) -> io::Result<T> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        let bytes = [&length[..], text].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Inbox::new(most).receive(&mut bytes.as_slice()))
    }

    fn read_again<T: DeserializeOwned + Serialize>(text: &[u8], most: usize) -> Reading {
        let Ok(message) = received::<T>(text, most) else { return Reading::Refused };
        assert!(text.len() <= most);
        let written = serde_json::to_vec(&message).unwrap();
        let again: T = serde_json::from_slice(&written).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written)));
        assert_eq!(serde_json::to_vec(&again).unwrap(), written, "what is read is written so that it is read alike");
        Reading::Taken
    }

    #[test]
    fn fuzz_observer_ask() {
        let target = Target::new("observer_ask", include_str!("../../corpus/observer_ask.txt")).of_json();
        target.survives(|bytes| read_again::<Ask>(bytes, ASK_BYTES));
    }

    #[test]
    fn fuzz_observer_told() {
        let target = Target::new("observer_told", include_str!("../../corpus/observer_told.txt")).of_json();
        target.survives(|bytes| read_again::<Told>(bytes, TOLD_BYTES));
    }
}
