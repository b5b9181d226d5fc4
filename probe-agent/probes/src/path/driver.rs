//! A machine between the engine's sockets and the clock.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use agent_paths::machine::Machine;
use agent_paths::{Answer, Arrival, Departing, IcmpError, SendFailure};
use shared_protocol::event::ProbeEvent;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;

use super::packet::Packets;
use crate::clock;
use crate::known::Known;
use crate::net::icmp::{Departure, Receipt, SendError};
use crate::net::path::{PathAnswer, PathArrival, PathArrivals, PathError, PathFlow};
use crate::table::ProbeContext;
use crate::verdict::Stop;

/// A run under way.
pub(super) struct Driver<'a> {
    pub(super) machine: Machine,
    /// What is said of addresses beside, where it is to be said.
    pub(super) known: Option<&'a Known>,
    pub(super) flow: &'a PathFlow,
    pub(super) arrivals: PathArrivals,
    pub(super) packets: Packets,
    pub(super) target: IpAddr,
    pub(super) source: Option<SocketAddr>,
    pub(super) context: &'a ProbeContext,
    pub(super) events: &'a mpsc::Sender<ProbeEvent>,
    pub(super) deadline: MonotonicMicros,
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Departure, SendError>> + Send + 'a>>;

impl<'a> Driver<'a> {
    /// Lets the machine run until it knows enough, or its time is up.
    pub(super) async fn run(&mut self) -> Result<(), Stop> {
        let mut sending: Option<(u32, Sending<'a>)> = None;
        loop {
            self.take_all();
            let now = clock::monotonic();
            if self.machine.poll_timeout().is_some_and(|due| due <= now) {
                self.flow.catch_up().await;
                self.take_all();
            }
            self.machine.handle_timeout(now);
            while let Some(event) = self.machine.poll_event() {
                self.tell(event);
            }
            if now >= self.deadline {
                self.machine.stop();
            }
            if self.machine.is_finished(now) {
                return Ok(());
            }
            if sending.is_none()
                && let Some(departing) = self.machine.poll_send(now)
            {
                sending = Some((departing.number, self.send(departing)));
            }
            let until = self.machine.poll_timeout().unwrap_or(self.deadline).min(self.deadline);
            tokio::select! {
                biased;
                (number, outcome) = finish(&mut sending) => {
                    sending = None;
                    self.settle(number, outcome)?;
                    // What a packet brings in may make the next one needless, and whoever reads it may share this thread.
                    tokio::task::yield_now().await;
                }
                Some(arrival) = self.arrivals.recv() => self.take(arrival),
                () = tokio::time::sleep(until.since(now)) => {}
            }
        }
    }

    fn send(&self, departing: Departing) -> Sending<'a> {
        let probe = self.packets.probe(&departing);
        let (flow, gate) = (self.flow, self.context.gate.as_ref());
        Box::pin(async move { flow.send(departing.number, &probe, gate).await })
    }

    fn settle(&mut self, number: u32, outcome: Result<Departure, SendError>) -> Result<(), Stop> {
        let failure = match outcome {
            Ok(departure) => {
                let ports = self.packets.ports(number, self.source.map(|source| source.port()));
                self.machine.handle_sent(number, departure.moment, ports);
                return Ok(());
            }
            Err(SendError::Denied(denial)) => return Err(Stop::Denied(denial)),
            Err(SendError::Kernel(errno)) => SendFailure::Kernel(std::io::Error::from(errno).raw_os_error().unwrap_or_default()),
            Err(SendError::NoSocket) => SendFailure::Kernel(libc::EPERM),
            Err(SendError::NoRoom | SendError::NumbersExhausted) => SendFailure::NoRoom,
        };
        self.machine.handle_send_failed(number, clock::monotonic(), failure);
        Ok(())
    }

    fn take_all(&mut self) {
        while let Some(arrival) = self.arrivals.try_recv() {
            self.take(arrival);
        }
    }

    fn take(&mut self, arrival: PathArrival) {
        let index = arrival.index;
        match (arrival.what, index) {
            (PathAnswer::Transmitted { at_ns }, Some(index)) => self.machine.handle_transmitted(index, at_ns),
            (PathAnswer::Echo(receipt), Some(_)) => self.came(index, self.target, receipt, Answer::EchoReply),
            (PathAnswer::Tcp { answer, receipt }, Some(_)) => {
                let reset = answer.flags & TCP_RST != 0;
                self.came(index, self.target, receipt, if reset { Answer::Reset } else { Answer::SynAck });
            }
            (PathAnswer::Udp { receipt, .. }, _) => self.came(index, self.target, receipt, Answer::Datagram),
            (PathAnswer::Error(error), Some(_)) => self.error(index, *error),
            // What does not say which packet it is about says nothing about a hop.
            (PathAnswer::Transmitted { .. } | PathAnswer::Echo(_) | PathAnswer::Tcp { .. } | PathAnswer::Error(_), None) => {}
        }
    }

    fn error(&mut self, index: Option<u32>, error: PathError) {
        let Some(from) = error.from else { return };
        let answer = Answer::Error(IcmpError {
            kind: error.kind,
            mtu: error.mtu,
            quoted: error.quoted,
            extensions: error.extensions,
        });
        self.came(index, from, error.receipt, answer);
    }

    fn came(&mut self, index: Option<u32>, from: IpAddr, receipt: Receipt, answer: Answer) {
        let arrival = Arrival {
            from,
            ttl: receipt.ttl,
            kernel_ns: receipt.at_ns,
            moment: receipt.moment,
            answer,
        };
        self.machine.handle_arrival(index, arrival);
    }

    /// Tells a partial finding, if the channel has room: the report holds it again.
    fn tell(&self, mut event: ProbeEvent) {
        if let Some(known) = self.known {
            known.tell_origins(&mut event);
        }
        if self.events.try_send(event).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}

/// Waits for the packet that is leaving; for ever when none is.
async fn finish(sending: &mut Option<(u32, Sending<'_>)>) -> (u32, Result<Departure, SendError>) {
    match sending {
        Some((number, sending)) => (*number, sending.await),
        None => std::future::pending().await,
    }
}

/// RFC 9293 section 3.1.
const TCP_RST: u8 = 0x04;
