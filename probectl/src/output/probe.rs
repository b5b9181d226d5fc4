//! How one job of each probe looks while it runs and when it is done: the single match from a probe to its lines and columns.

use shared_protocol::event::ProbeEvent;
use shared_protocol::report::Findings;
use shared_protocol::spec::ProbeKind;

use super::dns::{self, DnsView};
use super::http::{self, HttpView};
use super::mtr::{self, MtrView};
use super::neighbor::{self, NeighborView};
use super::observe::{self, ObserveView};
use super::ping::{self, PingView};
use super::pmtu::{self, PmtuView};
use super::port::{self, PortView};
use super::port_sweep;
use super::sweep;
use super::tcp::{self, TcpView};
use super::traceroute::{self, TracerouteView};
use super::udp::{self, UdpView};
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug)]
pub(crate) enum JobView {
    /// Of a ping.
    Ping(PingView),
    /// Of a TCP probe.
    Tcp(TcpView),
    /// Of a UDP probe.
    Udp(UdpView),
    /// Of an HTTP probe.
    Http(HttpView),
    /// Of a DNS probe.
    Dns(DnsView),
    /// Of a traceroute.
    Traceroute(TracerouteView),
    /// Of an mtr.
    Mtr(MtrView),
    /// Of a search for the path MTU.
    Pmtu(PmtuView),
    /// Of an observation.
    Observe(ObserveView),
    /// Of a scan of ports.
    Port(PortView),
    /// Of asking a link.
    Neighbor(NeighborView),
}

/// Whom a line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// What is probed, as it was asked for.
    pub(crate) target: &'a str,
    /// The agent's name.
    pub(crate) agent: &'a str,
    /// What the lines stand on.
    pub(crate) paper: Paper,
}

/// What lines stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paper {
    /// A file or a pipe: each line is complete in itself.
    Plain,
    /// A terminal: lines may be rows under a heading.
    Rows,
}

/// The columns of a probe: stable names, the first of them wide enough for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    /// All names.
    pub(crate) names: &'static [&'static str],
    /// How many of them a table on a terminal has.
    pub(crate) shown: usize,
}

impl JobView {
    /// Nothing seen yet.
    pub(crate) fn new(kind: ProbeKind) -> Self {
        match kind {
            ProbeKind::Ping => Self::Ping(PingView::default()),
            ProbeKind::Tcp => Self::Tcp(TcpView::default()),
            ProbeKind::Udp => Self::Udp(UdpView::default()),
            ProbeKind::Http => Self::Http(HttpView::default()),
            ProbeKind::Dns => Self::Dns(DnsView::default()),
            ProbeKind::Traceroute => Self::Traceroute(TracerouteView::default()),
            ProbeKind::Mtr => Self::Mtr(MtrView::default()),
            ProbeKind::Pmtu => Self::Pmtu(PmtuView::default()),
            ProbeKind::Observe => Self::Observe(ObserveView::default()),
            ProbeKind::Port => Self::Port(PortView::default()),
            ProbeKind::Neighbor => Self::Neighbor(NeighborView::default()),
        }
    }

    /// Takes a live finding in, and says what is to be shown of it.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &ProbeEvent) -> Vec<Line> {
        match (self, event) {
            (Self::Ping(view), ProbeEvent::Ping(event)) => view.finding(names, event),
            (Self::Tcp(view), ProbeEvent::Tcp(event)) => view.finding(names, event),
            (Self::Udp(view), ProbeEvent::Udp(event)) => view.finding(names, event),
            (Self::Dns(view), ProbeEvent::Dns(event)) => view.finding(event),
            (Self::Http(view), ProbeEvent::Http(event)) => view.finding(names, event),
            (Self::Traceroute(view), ProbeEvent::Traceroute(event)) => view.finding(event),
            (Self::Mtr(view), ProbeEvent::Mtr(event)) => view.finding(event),
            (Self::Pmtu(view), ProbeEvent::Pmtu(event)) => view.finding(event),
            (Self::Port(view), ProbeEvent::Port(event)) => view.finding(names, event),
            (Self::Neighbor(view), ProbeEvent::Neighbor(event)) => view.finding(names, event),
            (Self::Observe(view), ProbeEvent::Observe(event)) => view.finding(event),
            // What was not asked for is not shown.
            (
                Self::Ping(_)
                | Self::Tcp(_)
                | Self::Udp(_)
                | Self::Http(_)
                | Self::Dns(_)
                | Self::Traceroute(_)
                | Self::Mtr(_)
                | Self::Pmtu(_)
                | Self::Port(_)
                | Self::Neighbor(_)
                | Self::Observe(_),
                _,
            ) => Vec::new(),
        }
    }

    /// Takes a report's findings in, and says what they have beyond the live ones, then their numbers.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &Findings) -> Vec<Line> {
        match (self, findings) {
            (Self::Ping(view), Findings::Ping(findings)) => view.findings(names, findings),
            (Self::Ping(view), Findings::PingSweep(findings)) => view.sweep(names, findings),
            (Self::Tcp(view), Findings::Tcp(findings)) => view.findings(names, findings),
            (Self::Udp(view), Findings::Udp(findings)) => view.findings(names, findings),
            (Self::Dns(view), Findings::Dns(findings)) => view.findings(names, findings),
            (Self::Http(view), Findings::Http(findings)) => view.findings(names, findings),
            (Self::Traceroute(view), Findings::Traceroute(findings)) => view.findings(names, findings),
            (Self::Mtr(view), Findings::Mtr(findings)) => view.findings(names, findings),
            (Self::Pmtu(view), Findings::Pmtu(findings)) => view.findings(names, findings),
            (Self::Port(view), Findings::Port(findings)) => view.findings(names, findings),
            (Self::Port(view), Findings::PortSweep(findings)) => view.sweep(names, findings),
            (Self::Neighbor(view), Findings::Neighbor(findings)) => view.findings(names, findings),
            (Self::Observe(view), Findings::Observe(findings)) => view.findings(names, findings),
            (
                Self::Ping(_)
                | Self::Tcp(_)
                | Self::Udp(_)
                | Self::Http(_)
                | Self::Dns(_)
                | Self::Traceroute(_)
                | Self::Mtr(_)
                | Self::Pmtu(_)
                | Self::Port(_)
                | Self::Neighbor(_)
                | Self::Observe(_),
                _,
            ) => Vec::new(),
        }
    }

    /// What is known so far under the probe's columns.
    pub(crate) fn row(&self) -> Vec<Cell> {
        match self {
            Self::Ping(view) => view.row(),
            Self::Tcp(view) => view.row(),
            Self::Udp(view) => view.row(),
            Self::Http(view) => view.row(),
            Self::Dns(view) => view.row(),
            Self::Traceroute(view) => view.row(),
            Self::Mtr(view) => view.row(),
            Self::Pmtu(view) => view.row(),
            Self::Observe(view) => view.row(),
            Self::Port(view) => view.row(),
            Self::Neighbor(view) => view.row(),
        }
    }

    /// Whether it is a drawing that changes, and not lines one after another.
    pub(crate) const fn is_drawn(&self) -> bool {
        match self {
            Self::Mtr(_) | Self::Observe(_) => true,
            Self::Ping(_)
            | Self::Tcp(_)
            | Self::Udp(_)
            | Self::Http(_)
            | Self::Dns(_)
            | Self::Traceroute(_)
            | Self::Pmtu(_)
            | Self::Port(_)
            | Self::Neighbor(_) => false,
        }
    }

    /// The drawing as it is now.
    pub(crate) fn drawing(&self, names: Names<'_>) -> Vec<Line> {
        match self {
            Self::Mtr(view) => view.drawing(names),
            Self::Observe(view) => view.drawing(names),
            Self::Ping(_)
            | Self::Tcp(_)
            | Self::Udp(_)
            | Self::Http(_)
            | Self::Dns(_)
            | Self::Traceroute(_)
            | Self::Pmtu(_)
            | Self::Port(_)
            | Self::Neighbor(_) => Vec::new(),
        }
    }
}

/// The columns of a probe.
pub(crate) const fn columns(kind: ProbeKind) -> Columns {
    match kind {
        ProbeKind::Ping => ping::COLUMNS,
        ProbeKind::Tcp => tcp::COLUMNS,
        ProbeKind::Udp => udp::COLUMNS,
        ProbeKind::Http => http::COLUMNS,
        ProbeKind::Dns => dns::COLUMNS,
        ProbeKind::Traceroute => traceroute::COLUMNS,
        ProbeKind::Mtr => mtr::COLUMNS,
        ProbeKind::Pmtu => pmtu::COLUMNS,
        ProbeKind::Observe => observe::COLUMNS,
        ProbeKind::Port => port::COLUMNS,
        ProbeKind::Neighbor => neighbor::COLUMNS,
    }
}

/// A report's findings under the columns of its probe.
pub(crate) fn row(findings: &Findings) -> Vec<Cell> {
    match findings {
        Findings::Ping(findings) => ping::row(findings),
        Findings::PingSweep(findings) => sweep::row(findings),
        Findings::Tcp(findings) => tcp::row(findings),
        Findings::Udp(findings) => udp::row(findings),
        Findings::Http(findings) => http::row(findings),
        Findings::Dns(findings) => dns::row(findings),
        Findings::Traceroute(findings) => traceroute::row(findings),
        Findings::Mtr(findings) => mtr::row(findings),
        Findings::Pmtu(findings) => pmtu::row(findings),
        Findings::Observe(findings) => observe::row(findings),
        Findings::Port(findings) => port::row(findings),
        Findings::PortSweep(findings) => port_sweep::row(findings),
        Findings::Neighbor(findings) => neighbor::row(findings),
    }
}

/// Rows that a probe's findings have beside the one under its columns.
#[derive(Debug)]
pub(crate) struct Details {
    /// Names of the columns.
    pub(crate) columns: &'static [&'static str],
    /// The rows.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// The hops of a path, the lengths of a search, the targets of a sweep, the ports of a scan, the hosts of a link, what an observation saw; other probes have one row only.
pub(crate) fn details(findings: &Findings) -> Option<Details> {
    match findings {
        Findings::Traceroute(findings) => Some(traceroute::details(findings)),
        Findings::Mtr(findings) => Some(mtr::details(findings)),
        Findings::Pmtu(findings) => Some(pmtu::details(findings)),
        Findings::Port(findings) => Some(port::details(findings)),
        Findings::PortSweep(findings) => Some(port_sweep::details(findings)),
        Findings::Neighbor(findings) => Some(neighbor::details(findings)),
        Findings::PingSweep(findings) => Some(sweep::details(findings)),
        Findings::Observe(findings) => Some(observe::details(findings)),
        Findings::Ping(_) | Findings::Tcp(_) | Findings::Udp(_) | Findings::Http(_) | Findings::Dns(_) => None,
    }
}

/// The kind of probe of this name, where this program knows it.
pub(crate) fn kind(name: &str) -> Option<ProbeKind> {
    ProbeKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_has_as_many_cells_as_columns() {
        for kind in ProbeKind::ALL {
            let columns = columns(kind);
            assert_eq!(JobView::new(kind).row().len(), columns.names.len(), "{kind}");
            assert!(columns.shown <= columns.names.len(), "{kind}");
        }
    }
}
