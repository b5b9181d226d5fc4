//! A fetch as people read it: one line for each phase as it ends, then the phases of each request side by side, and what was found.

use shared_protocol::event::HttpEvent;
use shared_protocol::report::{HttpFindings, HttpHop, HttpPhase, HttpPhases, NotFollowedReason, TlsFacts};

use super::ping::milliseconds;
use super::probe::{Columns, Names, Paper};
use super::view::word;
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct HttpView {
    hop: u32,
    status: Option<u16>,
    version: Option<String>,
    remote: Option<String>,
    phases: HttpPhases,
    found: Option<Vec<Cell>>,
    /// How many phases were shown as they ended, over all requests: where all were, the report need not tell them again.
    told: usize,
}

impl HttpView {
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &HttpEvent) -> Vec<Line> {
        let text = match event {
            HttpEvent::Hop { hop, url, method } => {
                *self = Self {
                    hop: *hop,
                    told: self.told,
                    ..Self::default()
                };
                format!("{} {url}", method.as_str())
            }
            HttpEvent::Connecting { remote, .. } => {
                self.remote = Some(remote.to_string());
                format!("  to {remote}")
            }
            HttpEvent::Response { status, version, .. } => {
                (self.status, self.version) = (Some(*status), Some(version.clone()));
                format!("  status {status}, HTTP/{version}")
            }
            HttpEvent::Phase { phase, took_us, at_us, .. } => {
                self.told = self.told.saturating_add(1);
                self.phases.total_us = *at_us;
                *place(&mut self.phases, *phase) = Some(*took_us);
                match names.paper {
                    Paper::Plain => format!("  {} {} ms, at {} ms", phase.as_str(), milliseconds(*took_us), milliseconds(*at_us)),
                    Paper::Rows => format!(
                        "  {:<10}  {:>12} ms  at {:>12} ms",
                        phase.as_str(),
                        milliseconds(*took_us),
                        milliseconds(*at_us)
                    ),
                }
            }
        };
        vec![Line::plain(text)]
    }

    /// What a report says beyond the live findings: the phases of each request side by side, and what was found.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &HttpFindings) -> Vec<Line> {
        self.found = Some(row(findings));
        let mut lines = vec![Line::plain(format!("--- {} from {}: http ---", names.target, names.agent))];
        let phases = findings
            .hops
            .iter()
            .flat_map(|hop| parts(&hop.phases))
            .filter(|(_, micros)| micros.is_some())
            .count();
        let waterfalls = names.paper == Paper::Rows || self.told < phases;
        for hop in &findings.hops {
            lines.extend(hop_lines(names, hop, waterfalls));
        }
        if let Some(stay) = &findings.not_followed {
            let text = format!("not followed to {}: {}", stay.location, word(&stay.reason));
            lines.push(if stay.reason == NotFollowedReason::NotAsked {
                Line::plain(text)
            } else {
                Line::warning(text)
            });
        }
        let requests = findings.hops.len();
        let plural = if requests == 1 { "" } else { "s" };
        lines.push(Line::plain(format!(
            "total {} ms in {requests} request{plural}",
            milliseconds(findings.total_us)
        )));
        lines
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let start = [
                Cell::of(self.status.map(u32::from)),
                Cell::of(self.version.as_ref()),
                Cell::of(self.remote.as_ref().map(|_| self.hop)),
            ];
            let total = (self.phases.total_us > 0).then_some(Cell::Micros(self.phases.total_us));
            let mut row: Vec<Cell> = start
                .into_iter()
                .chain(times(&self.phases))
                .chain([Cell::of(total), Cell::of(self.remote.as_ref())])
                .collect();
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }
}

/// The columns of a fetch: of its last request, but for `redirects` and `fetch_us`, which are of all of them.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "http_status",
        "http_version",
        "redirects",
        "dns_us",
        "tcp_us",
        "tls_us",
        "request_us",
        "first_byte_us",
        "download_us",
        "fetch_us",
        "remote",
        "wire_bytes",
        "decoded_bytes",
        "truncated",
        "sha256",
        "tls_version",
        "tls_cipher",
        "certificate_ok",
        "certificate_days_left",
        "failed_in",
        "url",
    ],
    shown: 10,
};

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &HttpFindings) -> Vec<Cell> {
    let Some(hop) = findings.hops.last() else {
        return vec![Cell::Absent; COLUMNS.names.len()];
    };
    let response = hop.response.as_ref();
    let body = response.and_then(|response| response.body.as_ref());
    let tls = hop.tls.as_ref();
    let start = [
        Cell::of(response.map(|response| u32::from(response.status))),
        Cell::of(response.map(|response| &response.version)),
        Cell::from(findings.hops.len() - 1),
    ];
    let end = [
        Cell::Micros(findings.total_us),
        Cell::of(hop.remote.map(|remote| remote.to_string())),
        body.map_or(Cell::Absent, |body| Cell::Number(body.wire_bytes)),
        body.map_or(Cell::Absent, |body| Cell::Number(body.decoded_bytes)),
        Cell::of(body.map(|body| body.truncated.to_string())),
        Cell::of(body.map(|body| &body.sha256)),
        Cell::of(tls.and_then(|tls| tls.version.as_ref())),
        Cell::of(tls.and_then(|tls| tls.cipher.as_ref())),
        Cell::of(tls.and_then(|tls| tls.verification.as_ref()).map(|verification| verification.ok.to_string())),
        Cell::of(tls.and_then(|tls| tls.chain.first()).map(|leaf| Cell::Signed(leaf.days_left))),
        Cell::of(hop.failed_in.map(HttpPhase::as_str)),
        Cell::from(&hop.url),
    ];
    start.into_iter().chain(times(&hop.phases)).chain(end).collect()
}

fn hop_lines(names: Names<'_>, hop: &HttpHop, with_waterfall: bool) -> Vec<Line> {
    let mut lines = vec![Line::plain(format!("{} {}", hop.method.as_str(), hop.url))];
    if with_waterfall {
        lines.extend(waterfall(&hop.phases, names.paper).into_iter().map(Line::plain));
    }
    if let Some(phase) = hop.failed_in {
        lines.push(Line::warning(format!("  ended in {}", phase.as_str())));
    }
    lines.extend(hop.tls.as_ref().map(tls));
    if let Some(response) = &hop.response {
        let body = response.body.as_ref().map(|body| {
            let packed = body
                .encoding
                .as_ref()
                .map(|encoding| format!(" ({} as {encoding})", body.wire_bytes))
                .unwrap_or_default();
            let cut = if body.truncated { ", and there is more" } else { "" };
            format!(", {} bytes{packed}{cut}", body.decoded_bytes)
        });
        let text = format!("  status {}, HTTP/{}{}", response.status, response.version, body.unwrap_or_default());
        lines.push(if response.status < 400 { Line::plain(text) } else { Line::warning(text) });
    }
    if let Some(rtt) = hop.tcp_info.as_ref().and_then(|info| info.rtt_us) {
        let resent = hop.tcp_info.as_ref().map_or(0, |info| info.retransmits);
        lines.push(Line::plain(format!(
            "  kernel: round trip {} ms, {resent} segments sent again",
            milliseconds(rtt)
        )));
    }
    lines
}

fn times(phases: &HttpPhases) -> [Cell; 6] {
    parts(phases).map(|(_, micros)| Cell::of(micros.map(Cell::Micros)))
}

fn parts(phases: &HttpPhases) -> [(HttpPhase, Option<u64>); 6] {
    [
        (HttpPhase::Dns, phases.dns_us),
        (HttpPhase::Tcp, phases.tcp_us),
        (HttpPhase::Tls, phases.tls_us),
        (HttpPhase::Request, phases.request_us),
        (HttpPhase::FirstByte, phases.first_byte_us),
        (HttpPhase::Download, phases.download_us),
    ]
}

const fn place(phases: &mut HttpPhases, phase: HttpPhase) -> &mut Option<u64> {
    match phase {
        HttpPhase::Dns => &mut phases.dns_us,
        HttpPhase::Tcp => &mut phases.tcp_us,
        HttpPhase::Tls => &mut phases.tls_us,
        HttpPhase::Request => &mut phases.request_us,
        HttpPhase::FirstByte => &mut phases.first_byte_us,
        HttpPhase::Download => &mut phases.download_us,
    }
}

/// One line a phase, its bar where it lies in the whole.
fn waterfall(phases: &HttpPhases, paper: Paper) -> Vec<String> {
    let mut before = 0;
    let whole = phases.total_us.max(1);
    let cells = |micros: u64| usize::try_from(micros.saturating_mul(BAR).div_ceil(whole)).unwrap_or(0);
    parts(phases)
        .into_iter()
        .filter_map(|(phase, micros)| Some((phase, micros?)))
        .map(|(phase, micros)| {
            let start = usize::try_from(before * BAR / whole).unwrap_or(0);
            before += micros;
            let time = milliseconds(micros);
            match paper {
                Paper::Plain => format!("  {} {time} ms", phase.as_str()),
                Paper::Rows => format!(
                    "  {:<10}  {time:>12} ms  {}{}",
                    phase.as_str(),
                    " ".repeat(start),
                    "=".repeat(cells(micros).max(1))
                ),
            }
        })
        .collect()
}

fn tls(facts: &TlsFacts) -> Line {
    let told: Vec<&str> = [&facts.version, &facts.cipher, &facts.group]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let leaf = facts.chain.first();
    let leaf = leaf
        .map(|leaf| format!(", certificate of {} has {} days left", leaf.subject, leaf.days_left))
        .unwrap_or_default();
    let text = format!("  TLS {}{leaf}", told.join(" "));
    match &facts.verification {
        Some(verification) if !verification.ok => {
            let why = verification.message.as_deref().unwrap_or("not proven");
            Line::warning(format!("{text}, NOT TRUSTED: {why}"))
        }
        Some(_) | None => Line::plain(text),
    }
}

/// Characters of the longest bar.
const BAR: u64 = 40;
