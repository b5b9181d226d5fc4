//! A ping of many targets as people read it: how far it is, then the targets that did not answer everything, then the numbers.

use std::net::IpAddr;

use shared_protocol::event::SweepProgress;
use shared_protocol::report::{DeniedRun, RoundTripColumns, SweepFindings, UnresolvedName};

use super::ping::milliseconds;
use super::probe::{Details, Names};
use super::{Cell, Line};

/// What is known so far, under the columns of a ping.
pub(super) fn so_far(progress: &SweepProgress) -> Vec<Cell> {
    vec![
        format!("{}/{} targets", progress.answered, progress.targets).into(),
        progress.sent.into(),
        progress.received.into(),
    ]
}

/// A report's findings under the columns of a ping: its targets taken together.
pub(super) fn row(findings: &SweepFindings) -> Vec<Cell> {
    let totals = &findings.totals;
    let times = |column: fn(&RoundTripColumns) -> &Vec<Option<u64>>| column(clock(findings)).iter().copied().flatten();
    let micros = |value: Option<u64>| Cell::of(value.map(Cell::Micros));
    let mut row = so_far(&SweepProgress {
        targets: totals.targets,
        answered: totals.answered,
        planned: totals.sent,
        sent: totals.sent,
        received: totals.received,
    });
    row.extend([
        Cell::Ratio(totals.loss),
        micros(times(|rtt| &rtt.min_us).min()),
        micros(mean(findings, clock(findings))),
        micros(times(|rtt| &rtt.max_us).max()),
        Cell::Absent,
        Cell::Absent,
        Cell::Absent,
        Cell::Absent,
        micros(mean(findings, &findings.columns.user_rtt)),
        totals.duplicates.into(),
        totals.late.into(),
        Cell::Absent,
        totals.errors.into(),
    ]);
    row
}

/// The targets, as far as they fit on a screen, and the numbers.
pub(super) fn lines(names: Names<'_>, findings: &SweepFindings) -> Vec<Line> {
    let totals = &findings.totals;
    let every = findings.columns.received.len() <= TARGETS_SHOWN;
    let targets = findings.addresses().enumerate().filter_map(|(place, address)| {
        let sent = findings.columns.sent.get(place).copied().unwrap_or_default();
        let received = findings.columns.received.get(place).copied().unwrap_or_default();
        let name = findings.names.iter().find(|(at, _)| usize::try_from(*at) == Ok(place));
        let address = name.map_or_else(|| address.to_string(), |(_, name)| format!("{name} ({address})"));
        let times = |column: fn(&RoundTripColumns) -> &Vec<Option<u64>>| column(clock(findings)).get(place).copied().flatten();
        let rtt = match (times(|rtt| &rtt.min_us), times(|rtt| &rtt.avg_us), times(|rtt| &rtt.max_us)) {
            (Some(min), Some(avg), Some(max)) => format!("  min/avg/max = {}/{}/{} ms", milliseconds(min), milliseconds(avg), milliseconds(max)),
            _ => String::new(),
        };
        let text = format!("{address:39}  {received}/{sent}{rtt}");
        if received < sent || sent == 0 {
            Some(Line::warning(text))
        } else {
            every.then(|| Line::plain(text))
        }
    });
    let mut lines: Vec<Line> = targets.take(TARGETS_SHOWN).collect();
    let incomplete = findings
        .columns
        .sent
        .iter()
        .zip(&findings.columns.received)
        .filter(|(sent, received)| received < sent)
        .count();
    if incomplete > TARGETS_SHOWN {
        lines.push(Line::warning(format!("… and {} more targets with loss", incomplete - TARGETS_SHOWN)));
    }
    let denied: u32 = findings.denied.iter().map(|denied| denied.run.count).sum();
    lines.extend(not_asked(&findings.denied, &findings.unresolved));
    lines.push(Line::plain(format!("--- {} from {}: sweep statistics ---", names.target, names.agent)));
    let ours = [
        (findings.agent.receive_queue + findings.agent.hand_over, "lost on the agent's host"),
        (findings.agent.unstamped + findings.agent.unsent, "that never left it"),
        (totals.duplicates, "duplicate"),
        (totals.late, "late"),
        (totals.errors, "ICMP errors"),
        (denied, "targets denied"),
    ];
    let told = ours.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let told = told.collect::<Vec<_>>().concat();
    lines.push(Line::plain(format!(
        "{} of {} targets answered; {} sent, {} received, {:.1} % loss{told}; sent within {} ms",
        totals.answered,
        totals.targets,
        totals.sent,
        totals.received,
        totals.loss * 100.0,
        milliseconds(totals.sending_us)
    )));
    lines
}

/// What was not asked, and why.
pub(super) fn not_asked(denied: &[DeniedRun], unresolved: &[UnresolvedName]) -> Vec<Line> {
    let denied = denied.iter().take(TARGETS_SHOWN).map(|denied| {
        let more = denied.run.count.saturating_sub(1);
        let more = if more > 0 { format!(" and the {more} after it") } else { String::new() };
        Line::warning(format!("not asked: {}{more} ({})", denied.run.first, denied.rule))
    });
    let unresolved = unresolved.iter().take(TARGETS_SHOWN);
    let unresolved = unresolved.map(|name| Line::warning(format!("not asked: {} has no usable address", name.name)));
    denied.chain(unresolved).collect()
}

/// The targets, one a row.
pub(super) fn details(findings: &SweepFindings) -> Details {
    let row = |(place, address): (usize, IpAddr)| {
        let count = |column: &Vec<u32>| Cell::of(column.get(place).copied());
        let time = |column: fn(&RoundTripColumns) -> &Vec<Option<u64>>| Cell::of(column(clock(findings)).get(place).copied().flatten().map(Cell::Micros));
        vec![
            address.to_string().into(),
            count(&findings.columns.sent),
            count(&findings.columns.received),
            time(|rtt| &rtt.min_us),
            time(|rtt| &rtt.avg_us),
            time(|rtt| &rtt.max_us),
        ]
    };
    Details {
        columns: &["address", "sent", "received", "rtt_min_us", "rtt_avg_us", "rtt_max_us"],
        rows: findings.addresses().enumerate().map(row).collect(),
    }
}

/// The times by the kernel's clock where the host gave them, else by that of user space.
fn clock(findings: &SweepFindings) -> &RoundTripColumns {
    let columns = &findings.columns;
    if columns.rtt.min_us.iter().any(Option::is_some) {
        &columns.rtt
    } else {
        &columns.user_rtt
    }
}

/// The mean over all replies.
fn mean(findings: &SweepFindings, times: &RoundTripColumns) -> Option<u64> {
    let weighted = times
        .avg_us
        .iter()
        .zip(&findings.columns.received)
        .filter_map(|(mean, received)| Some((u128::from((*mean)?), u128::from(*received))));
    let (sum, count) = weighted.fold((0, 0), |(sum, count), (mean, received)| (sum + mean * received, count + received));
    u64::try_from(u128::checked_div(sum, count)?).ok()
}

/// Targets with a line of their own.
const TARGETS_SHOWN: usize = 256;
