//! One try over the network: asks, and lets come what comes until the answer is there or its time is over.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use shared_protocol::fault::ErrorCode;
use shared_protocol::report::Transport;
use shared_protocol::spec::DnsTransport;
use shared_protocol::time::MonotonicMicros;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::attempt::{Attempt, Taken};
use super::listening::Listening;
use super::plan::Step;
use super::question::Question;
use super::reading::{self, Reading, WhenCut};
use crate::beside::Flows;
use crate::clock;
use crate::net::departures::{Departures, NoRoom};
use crate::net::gate::{self, Denial, Gate, Peer};
use crate::net::tcp::{Dial, DialError, Dialler};
use crate::net::udp::{Heard, UdpFlow};
use crate::table::ProbeContext;

/// Asks under the owner's policy and rates.
pub(super) struct Asker {
    gate: Arc<dyn Gate>,
    departures: Arc<Departures>,
    dialler: Dialler,
    peer: Peer,
    wait: Duration,
    flows: Flows,
}

impl Asker {
    pub(super) fn new(context: &ProbeContext, peer: Peer, wait: Duration) -> Self {
        Self {
            gate: Arc::clone(&context.gate),
            departures: context.engine.departures(),
            dialler: Dialler::new(context),
            peer,
            wait,
            flows: context.flows.clone(),
        }
    }

    /// Makes one try.
    pub(super) async fn ask(&self, step: Step, question: &Question, id: u16) -> Result<Attempt, Denial> {
        // The message was encoded once before, when the question was made.
        let query = question.encode(id).unwrap_or_default();
        let attempt = Attempt::begin(step, query.len());
        self.flows.watch(transport(step.transport), step.server).await;
        let deadline = clock::monotonic().plus(self.wait);
        match step.transport {
            DnsTransport::Udp => self.ask_by_datagram(attempt, question, id, &query, deadline).await,
            DnsTransport::Tcp => self.ask_by_stream(attempt, question, id, &query, deadline).await,
        }
    }

    async fn ask_by_datagram(&self, attempt: Attempt, question: &Question, id: u16, query: &[u8], deadline: MonotonicMicros) -> Result<Attempt, Denial> {
        let server = attempt.tried.server;
        let place = self.departures.wait(server.ip(), self.gate.pace());
        let place = tokio::time::timeout(self.wait, place).await.unwrap_or(Err(NoRoom));
        if place == Err(NoRoom) {
            return Ok(attempt.no_room());
        }
        gate::check(self.gate.as_ref(), server, self.peer)?;
        let sent = UdpFlow::open(server).and_then(|flow| {
            self.flows.note(Transport::Udp, server, flow.local()?.port());
            Ok((flow.send(query)?, flow))
        });
        let (sent, flow) = match sent {
            Ok(sent) => sent,
            Err(error) => return Ok(attempt.failed(error.raw_os_error().unwrap_or_default())),
        };
        let listening = Listening {
            question,
            id,
            sent,
            transmitted_ns: None,
        };
        Ok(listen(&flow, listening, attempt, deadline).await)
    }

    async fn ask_by_stream(&self, mut attempt: Attempt, question: &Question, id: u16, query: &[u8], deadline: MonotonicMicros) -> Result<Attempt, Denial> {
        let dial = Dial {
            endpoint: attempt.tried.server,
            peer: self.peer,
            dscp: 0,
            wait: deadline.since(clock::monotonic()),
            depart_by: deadline,
        };
        let connection = match self.dialler.dial(dial).await {
            Ok(connection) => connection,
            Err(DialError::Denied(denial)) => return Err(denial),
            Err(error) => return Ok(attempt.not_connected(&error)),
        };
        attempt.connected(connection.taken);
        let mut stream = match connection.into_stream() {
            Ok(stream) => stream,
            Err(error) => return Ok(attempt.failed(error.raw_os_error().unwrap_or_default())),
        };
        let begun = clock::monotonic();
        let mut foreign = 0;
        loop {
            let first = foreign == 0;
            let exchange = exchange(&mut stream, first.then_some(query));
            let frame = match tokio::time::timeout(deadline.since(clock::monotonic()), exchange).await {
                Err(_) => return Ok(attempt.unanswered()),
                Ok(Err(error)) => return Ok(attempt.broken(code_of(&error))),
                Ok(Ok(frame)) => frame,
            };
            let taken = Taken {
                kernel_us: None,
                user: clock::monotonic().since(begun),
                bytes: frame.len(),
            };
            match reading::read(&frame, question, id, WhenCut::Take) {
                Reading::Answer(message) => return Ok(attempt.answered(*message, taken)),
                Reading::Truncated | Reading::Malformed => {
                    attempt.note_malformed();
                    return Ok(attempt.broken(ErrorCode::ProtoError));
                }
                Reading::Foreign => attempt.note_foreign(),
            }
            foreign += 1;
            if foreign >= FOREIGN_MAX {
                return Ok(attempt.broken(ErrorCode::ProtoError));
            }
        }
    }
}

async fn listen(flow: &UdpFlow, mut listening: Listening<'_>, mut attempt: Attempt, deadline: MonotonicMicros) -> Attempt {
    let mut buffer = vec![0; MESSAGE_BYTES];
    for _ in 0..HEARD_MAX {
        let time_left = deadline.since(clock::monotonic());
        let heard = match tokio::time::timeout(time_left, flow.hear(&mut buffer)).await {
            Err(_) => return attempt.unanswered(),
            Ok(Err(error)) => return attempt.failed(error.raw_os_error().unwrap_or_default()),
            Ok(Ok(heard)) => heard,
        };
        let length = match heard {
            Heard::Datagram { length, .. } => length,
            Heard::Transmitted { .. } | Heard::Refused { .. } | Heard::Failed(_) => 0,
        };
        if length > 0 && listening.transmitted_ns.is_none() {
            // Some drivers tell late when a packet left.
            if let Ok(Some(Heard::Transmitted { at_ns })) = flow.take_queued() {
                listening.transmitted_ns = Some(at_ns);
            }
        }
        match listening.handle(attempt, heard, buffer.get(..length).unwrap_or_default()) {
            ControlFlow::Break(over) => return over,
            ControlFlow::Continue(goes_on) => attempt = goes_on,
        }
    }
    attempt.unanswered()
}

/// Sends a question, if there is one to send, and reads the next message (RFC 1035 section 4.2.2, RFC 7766 section 8).
async fn exchange(stream: &mut TcpStream, query: Option<&[u8]>) -> std::io::Result<Vec<u8>> {
    if let Some(query) = query {
        let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
        // In one segment: some servers give a question up whose length comes alone.
        stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    }
    let mut frame = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

const fn transport(transport: DnsTransport) -> Transport {
    match transport {
        DnsTransport::Udp => Transport::Udp,
        DnsTransport::Tcp => Transport::Tcp,
    }
}

fn code_of(error: &std::io::Error) -> ErrorCode {
    if matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) {
        ErrorCode::Reset
    } else {
        ErrorCode::ProtoError
    }
}

/// Longest message there is: what a datagram or the two bytes of a length can hold.
const MESSAGE_BYTES: usize = 65_535;
/// Messages of others that are passed over on one connection.
const FOREIGN_MAX: u32 = 16;
/// Datagrams, timestamps and errors that are looked at in one try; a flood of more ends it.
const HEARD_MAX: u32 = 10_000;
