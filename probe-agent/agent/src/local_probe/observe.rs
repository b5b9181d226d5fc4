//! Observations as `probe-agent probe` prints them.

use std::io::{self, Write};

use shared_protocol::event::ObserveEvent;
use shared_protocol::report::{Latencies, Seen, StackUnit};

pub(super) fn print(event: &ObserveEvent, out: &mut impl Write) -> io::Result<()> {
    match event {
        ObserveEvent::Started { observation, missing, .. } => {
            writeln!(out, "observing {observation}")?;
            missing.iter().try_for_each(|missing| writeln!(out, "not seen: {missing}"))
        }
        ObserveEvent::Window(window) => {
            writeln!(out, "window {}  at_us {}  lost {}", window.seq, window.at_us, window.lost)?;
            print_seen(&window.seen, out)
        }
    }
}

pub(super) fn print_seen(seen: &Seen, out: &mut impl Write) -> io::Result<()> {
    match seen {
        Seen::ConnectLatency(seen) => {
            writeln!(out, "{} established, {} failed", seen.totals.established, seen.totals.failed)?;
            seen.connects.iter().try_for_each(|connects| {
                let command = connects.command.as_deref().unwrap_or("-");
                writeln!(
                    out,
                    "{command}  {}  established {} failed {}",
                    connects.remote, connects.established, connects.failed
                )
            })
        }
        Seen::Drops(seen) => {
            writeln!(out, "{} packets dropped", seen.packets)?;
            seen.reasons
                .iter()
                .try_for_each(|dropped| writeln!(out, "{}  {}", dropped.reason, dropped.packets))
        }
        Seen::Retransmits(seen) => {
            writeln!(out, "{} segments sent again, {} of them to open a connection", seen.segments, seen.opening)?;
            seen.flows
                .iter()
                .try_for_each(|flow| writeln!(out, "{} {}  segments {} opening {}", flow.local, flow.remote, flow.segments, flow.opening))
        }
        Seen::Runqlat(seen) => {
            writeln!(out, "{} waits for a CPU", seen.waits)?;
            seen.latencies.iter().try_for_each(|latencies| print_latencies(latencies, out))
        }
        Seen::Profile(seen) | Seen::Offcpu(seen) => {
            let unit = match seen.unit {
                StackUnit::Samples => "samples",
                StackUnit::Microseconds => "us",
            };
            writeln!(out, "{} {unit}, {} of stacks that are not told", seen.total, seen.others)?;
            seen.hottest
                .iter()
                .try_for_each(|hot| writeln!(out, "{}  own {} within {}", hot.function, hot.own, hot.within))
        }
        Seen::Biolatency(seen) => {
            writeln!(out, "{} requests to block devices, {} bytes", seen.requests, seen.bytes)?;
            seen.devices.iter().try_for_each(|one| {
                writeln!(out, "{}  {}  requests {}  bytes {}", one.device, one.kind, one.requests, one.bytes)?;
                one.latencies.iter().try_for_each(|latencies| print_latencies(latencies, out))
            })
        }
        Seen::Files(seen) => {
            writeln!(out, "{} files opened, {} could not be", seen.totals.opened, seen.totals.failed)?;
            seen.openers.iter().try_for_each(|opener| {
                let command = opener.command.as_deref().unwrap_or("-");
                writeln!(out, "{} {command}  opened {} failed {}", opener.pid, opener.opened, opener.failed)
            })?;
            seen.openings.iter().try_for_each(|opening| {
                let file = opening.file.as_deref().unwrap_or("-");
                writeln!(out, "{}  {file}  errno {}", opening.pid, opening.errno.unwrap_or(0))
            })
        }
        Seen::Connects(seen) => {
            let totals = &seen.totals;
            writeln!(
                out,
                "{} tries to connect, {} established, {} under way",
                totals.dials, totals.established, totals.under_way
            )?;
            seen.dials.iter().try_for_each(|dial| {
                let command = dial.command.as_deref().unwrap_or("-");
                writeln!(out, "{} {} {command}  {}  {:?}", dial.pid, dial.user, dial.remote, dial.outcome)
            })
        }
        Seen::Syscalls(seen) => {
            writeln!(out, "{} calls of the kernel, {} of them failed", seen.totals.calls, seen.totals.failed)?;
            seen.calls
                .iter()
                .try_for_each(|calls| writeln!(out, "{}  count {} failed {} total_us {}", calls.name, calls.count, calls.failed, calls.total_us))
        }
        Seen::Memory(seen) => {
            let totals = &seen.totals;
            writeln!(
                out,
                "{} page faults, pages freed {} times in {} us, {} killed",
                totals.faults, totals.reclaims, totals.reclaim_us, totals.killed
            )?;
            seen.users.iter().try_for_each(|user| {
                let command = user.command.as_deref().unwrap_or("-");
                writeln!(out, "{} {command}  faults {} reclaim_us {}", user.pid, user.faults, user.reclaim_us)
            })
        }
        Seen::Exec(seen) => {
            let totals = seen.totals;
            writeln!(
                out,
                "{} programs run, {} ended, {} of them badly, {} could not be run",
                totals.executions, totals.ended, totals.failed, totals.refused
            )?;
            seen.executions.iter().try_for_each(|execution| {
                let line = execution.arguments.as_deref().or(execution.file.as_deref()).unwrap_or("-");
                writeln!(out, "{} {} {}  {line}", execution.pid, execution.parent, execution.user)
            })
        }
        Seen::Interface(seen) => {
            let total = &seen.total;
            writeln!(out, "{} bytes received, {} sent", total.received_bytes, total.sent_bytes)?;
            seen.interfaces.iter().try_for_each(|one| {
                let traffic = &one.traffic;
                writeln!(
                    out,
                    "{}  received {} sent {} bytes",
                    one.interface.name, traffic.received_bytes, traffic.sent_bytes
                )
            })?;
            seen.talkers.iter().try_for_each(|one| {
                let traffic = &one.traffic;
                writeln!(
                    out,
                    "{}  {}  received {} sent {} bytes",
                    one.interface.name, one.address, traffic.received_bytes, traffic.sent_bytes
                )
            })
        }
        Seen::UdpFlows(seen) => {
            let totals = &seen.totals;
            writeln!(
                out,
                "{} flows, {} datagrams sent, {} received, {} refused by full sockets",
                totals.flows, totals.sent, totals.received, totals.refused
            )?;
            seen.flows
                .iter()
                .try_for_each(|flow| writeln!(out, "{} {}  sent {} received {}", flow.local, flow.remote, flow.sent, flow.received))
        }
        Seen::Custom(seen) => {
            writeln!(out, "{} {}", seen.package, seen.version)?;
            seen.maps.iter().try_for_each(|map| {
                writeln!(out, "{}  {} entries", map.map, map.entries)?;
                map.rows.iter().try_for_each(|row| writeln!(out, "{}  {}", row.key, row.value))
            })?;
            seen.events.iter().try_for_each(|ring| {
                writeln!(out, "{}  {} events", ring.map, ring.seen)?;
                ring.events.iter().try_for_each(|event| writeln!(out, "{event}"))
            })
        }
        Seen::TlsLatency(seen) => {
            let totals = &seen.totals;
            writeln!(
                out,
                "{} handshakes, {} failed, {} reads, {} writes",
                totals.handshakes, totals.handshakes_failed, totals.reads, totals.writes
            )?;
            seen.calls.iter().try_for_each(|calls| {
                let command = calls.command.as_deref().unwrap_or("-");
                writeln!(out, "{} {command}  {:?}  count {} failed {}", calls.pid, calls.kind, calls.count, calls.failed)?;
                calls.latencies.iter().try_for_each(|latencies| print_latencies(latencies, out))
            })
        }
        Seen::DnsLatency(seen) => {
            let totals = &seen.totals;
            writeln!(
                out,
                "{} questions, {} answered, {} unanswered",
                totals.questions, totals.answered, totals.unanswered
            )?;
            seen.questions.iter().try_for_each(|one| {
                let name = one.name.as_deref().unwrap_or("-");
                writeln!(
                    out,
                    "{name}  {}  answered {} unanswered {} max_us {}",
                    one.server,
                    one.answered,
                    one.unanswered,
                    one.max_us.unwrap_or_default()
                )
            })
        }
        Seen::Packets(seen) => {
            writeln!(out, "{} packets, {} bytes at the interfaces", seen.packets, seen.bytes)?;
            seen.interfaces
                .iter()
                .try_for_each(|one| writeln!(out, "{} {:?}  packets {} bytes {}", one.interface.name, one.direction, one.packets, one.bytes))
        }
        Seen::TcpFlows(seen) => {
            let totals = seen.totals;
            writeln!(
                out,
                "{} connections, {} opened, {} closed, {} failed, sent {} received {} bytes",
                totals.flows, totals.opened, totals.closed, totals.failed, totals.sent_bytes, totals.received_bytes
            )?;
            seen.flows.iter().try_for_each(|flow| {
                let command = flow.command.as_deref().unwrap_or("-");
                writeln!(
                    out,
                    "{} {}  {command}  sent {} received {}",
                    flow.local, flow.remote, flow.sent_bytes, flow.received_bytes
                )
            })
        }
    }
}

fn print_latencies(latencies: &Latencies, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "avg_us {}  max_us {}", latencies.avg_us, latencies.max_us)?;
    let mut counted = latencies.slots.iter().enumerate().filter(|(_, count)| **count > 0);
    counted.try_for_each(|(place, count)| writeln!(out, "below_us {}  {count}", 2_u64 << place))
}
