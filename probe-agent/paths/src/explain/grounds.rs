//! What a verdict rests on: for each statement of a report, the packets that bear it out.

use shared_protocol::report::{Findings, HopState, PathEnd, WireAnswer, WireLog, WireRecord};

use crate::verdict::Verdict;

/// A statement, and the packets it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// What is said, one sentence.
    pub statement: String,
    /// Numbers of the packets, as the log has them.
    pub packets: Vec<u32>,
}

/// Everything that a report says, in the order in which it says it, the verdict first.
pub(super) fn of(findings: &Findings, verdict: &Verdict, log: &WireLog) -> Vec<Ground> {
    let message = verdict.error.as_ref().map_or("everything asked was answered", |error| error.message.as_str());
    let head = Ground {
        statement: message.to_owned(),
        packets: Vec::new(),
    };
    let rest = match findings {
        Findings::Traceroute(found) => {
            let hops = found.hops.iter().map(|hop| Ground {
                statement: format!("hop {} {}: {} of {} answered in time", hop.ttl, state(hop.state), hop.received, hop.sent),
                packets: with_ttl(log, hop.ttl),
            });
            let end = end(found.end, found.hops.last().map(|hop| hop.ttl), log);
            hops.chain([end]).chain(systems(&found.as_path)).collect()
        }
        Findings::Mtr(found) => {
            let hops = found.hops.iter().map(|hop| Ground {
                statement: format!("hop {} answered {} of {} in time", hop.ttl, hop.received, hop.sent),
                packets: with_ttl(log, hop.ttl),
            });
            let end = end(found.end, found.hops.last().map(|hop| hop.ttl), log);
            hops.chain([end]).chain(systems(&found.as_path)).collect()
        }
        Findings::Pmtu(found) => found
            .lengths
            .iter()
            .map(|length| Ground {
                statement: format!(
                    "{} bytes {}: {} of {} answered, {} called too big",
                    length.bytes,
                    if length.passes { "pass" } else { "do not pass" },
                    length.answered,
                    length.sent,
                    length.too_big
                ),
                packets: with(log, |bytes, _| bytes == length.bytes),
            })
            .collect(),
        Findings::Ping(_)
        | Findings::PingSweep(_)
        | Findings::Tcp(_)
        | Findings::Http(_)
        | Findings::Dns(_)
        | Findings::Udp(_)
        | Findings::Port(_)
        | Findings::PortSweep(_)
        | Findings::Neighbor(_)
        | Findings::Observe(_) => Vec::new(),
    };
    std::iter::once(head).chain(rest).collect()
}

/// What no packet says.
fn systems(path: &[Vec<u32>]) -> Option<Ground> {
    if path.is_empty() {
        return None;
    }
    let show = |asn: &Vec<u32>| asn.iter().map(|number| format!("AS{number}")).collect::<Vec<_>>().join("/");
    let shown: Vec<String> = path.iter().map(show).collect();
    Some(Ground {
        statement: format!("by the files of the agent's owner the hops are in {}", shown.join(", ")),
        packets: Vec::new(),
    })
}

fn end(end: PathEnd, last_ttl: Option<u8>, log: &WireLog) -> Ground {
    let last = with_ttl(log, last_ttl.unwrap_or(0));
    let (statement, packets) = match end {
        PathEnd::Reached => ("the target answered", answered(log, &last)),
        PathEnd::Unreachable => ("a hop refused to forward", answered(log, &last)),
        PathEnd::GapLimit => ("the last hops in a row are silent", last),
        PathEnd::MaxTtl => ("the last hop asked is not the target", last),
        PathEnd::Looped => ("addresses come again, with others in between", last),
        PathEnd::Stopped => ("it was ended before it knew", Vec::new()),
    };
    Ground {
        statement: format!("the path ends here: {statement}"),
        packets,
    }
}

const fn state(state: HopState) -> &'static str {
    match state {
        HopState::Answered => "answers",
        HopState::Lossy => "loses some, or packets to it do",
        HopState::RateLimited => "answers so many in a time and no more",
        HopState::Silent => "is silent",
        HopState::Unsent => "was not asked",
    }
}

fn with_ttl(log: &WireLog, ttl: u8) -> Vec<u32> {
    with(log, |_, of| of == ttl)
}

/// Numbers of the packets that left, or did not, with such a length and time to live.
fn with(log: &WireLog, is: impl Fn(u32, u8) -> bool) -> Vec<u32> {
    let records = log.records.iter().filter_map(|record| match record {
        WireRecord::Sent(sent) => is(sent.bytes, sent.ttl).then_some(sent.packet),
        WireRecord::Unsent(unsent) => is(unsent.bytes, unsent.ttl).then_some(unsent.packet),
        WireRecord::Came(_) => None,
    });
    records.collect()
}

/// Those of the packets that something other than an exceeded time to live came for.
fn answered(log: &WireLog, packets: &[u32]) -> Vec<u32> {
    let mut came: Vec<u32> = log
        .records
        .iter()
        .filter_map(|record| match record {
            WireRecord::Came(came) => {
                let exceeded = matches!(came.answer, WireAnswer::IcmpError { error, .. } if crate::meaning::is_time_exceeded(came.from, error));
                (!exceeded && packets.contains(&came.packet)).then_some(came.packet)
            }
            WireRecord::Sent(_) | WireRecord::Unsent(_) => None,
        })
        .collect();
    came.dedup();
    came
}
