//! One request with its times, from its first moment to the entry in the report.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use shared_protocol::event::HttpEvent;
use shared_protocol::report::{HttpHop, HttpPhase, HttpPhases};
use shared_protocol::time::MonotonicMicros;

use super::Whole;
use super::body::Body;
use super::redirect::Request;
use super::watched::Written;
use crate::clock;
use crate::net::tcp::read_info;

/// A request under way.
pub(super) struct Hop {
    pub number: u32,
    pub findings: HttpHop,
    pub body: Option<(Body, Whole)>,
    begun: MonotonicMicros,
    phase: Option<(HttpPhase, MonotonicMicros)>,
    /// When the request was handed on, as far as it was.
    pub written: Arc<Written>,
    /// A second hold on the socket, to ask the kernel about it when all is over.
    socket: Option<OwnedFd>,
}

impl Hop {
    pub(super) fn begin(number: u32, request: &Request, now: MonotonicMicros) -> Self {
        Self {
            number,
            findings: HttpHop {
                url: request.url.to_string(),
                method: request.method,
                remote: None,
                local: None,
                phases: HttpPhases::default(),
                failed_in: None,
                tls: None,
                response: None,
                tcp_info: None,
            },
            body: None,
            begun: now,
            phase: None,
            written: Arc::default(),
            socket: None,
        }
    }

    /// The phase that is not over. A request that has left is an answer that is waited for, though nobody has looked yet.
    pub(super) fn phase(&self) -> Option<HttpPhase> {
        let (phase, _) = self.phase?;
        let has_left = phase == HttpPhase::Request && self.written.last().is_some();
        Some(if has_left { HttpPhase::FirstByte } else { phase })
    }

    pub(super) const fn enter(&mut self, phase: HttpPhase, at: MonotonicMicros) {
        self.phase = Some((phase, at));
    }

    /// Ends the phase under way, and tells it.
    pub(super) fn leave(&mut self, at: MonotonicMicros) -> Option<HttpEvent> {
        let (phase, since) = self.phase.take()?;
        let took_us = micros(at.since(since));
        let phases = &mut self.findings.phases;
        let place = match phase {
            HttpPhase::Dns => &mut phases.dns_us,
            HttpPhase::Tcp => &mut phases.tcp_us,
            HttpPhase::Tls => &mut phases.tls_us,
            HttpPhase::Request => &mut phases.request_us,
            HttpPhase::FirstByte => &mut phases.first_byte_us,
            HttpPhase::Download => &mut phases.download_us,
        };
        *place = Some(took_us);
        Some(HttpEvent::Phase {
            hop: self.number,
            phase,
            took_us,
            at_us: micros(at.since(self.begun)),
        })
    }

    pub(super) fn keep_socket(&mut self, socket: &impl AsFd) {
        self.socket = socket.as_fd().try_clone_to_owned().ok();
    }

    /// The entry in the report; a phase that is not over is the one it failed in.
    pub(super) fn close(mut self) -> HttpHop {
        self.findings.phases.total_us = micros(clock::monotonic().since(self.begun));
        self.findings.failed_in = self.phase();
        if let (Some((HttpPhase::Request, _)), Some(at)) = (self.phase, self.written.last()) {
            self.leave(at);
        }
        self.findings.tcp_info = self.socket.and_then(|socket| read_info(&socket).ok());
        if let (Some(response), Some((body, whole))) = (&mut self.findings.response, self.body) {
            response.body = Some(body.describe(whole));
        }
        self.findings
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
