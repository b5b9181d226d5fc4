//! A book written down for the report, and read again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared_protocol::report::{WIRE_LOG_BYTES, WireAnswer, WireCame, WireLog, WireRecord, WireSent, WireUnsent};

use crate::Moment;
use crate::book::{Answer, Book, Came, Departure, Fate, IcmpError, Packet, Ports};

/// Why a log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLog {
    /// It is of a version that this one does not know.
    #[error("the log is of version {0}, which is not known here")]
    Version(u16),
    /// Records were left out.
    #[error("the log was cut to keep the report within its limit: the findings cannot be derived from it")]
    Cut,
    /// A record is about a packet that has none before it, or has it twice, or is no base64.
    #[error("record {0} of the log cannot be read")]
    Record(usize),
}

impl Book {
    /// Writes the book down, in the order in which things happened.
    pub fn log(&self) -> WireLog {
        let mut records: Vec<(u64, WireRecord)> = Vec::new();
        for (number, packet) in (0_u32..).zip(&self.packets) {
            records.extend(packet.fate_record(number));
            records.extend(packet.answers.iter().map(|came| (came.at_us, WireRecord::Came(came.record(number)))));
        }
        // The sort is stable: what shares an instant stays behind the packet it belongs to.
        records.sort_by_key(|(at_us, _)| *at_us);
        let mut room = WIRE_LOG_BYTES - HEAD_BYTES;
        let mut cut = false;
        let kept: Vec<WireRecord> = records
            .into_iter()
            .map_while(|(_, record)| {
                let bytes = serde_json::to_string(&record).map_or(usize::MAX, |text| text.len().saturating_add(1));
                let left = room.checked_sub(bytes);
                cut |= left.is_none();
                room = left?;
                Some(record)
            })
            .collect();
        WireLog {
            version: VERSION,
            source: self.source,
            agent_drops: self.agent_drops,
            records: kept,
            stopped: self.stopped,
            cut,
        }
    }

    /// Reads a log.
    ///
    /// # Errors
    /// [`BadLog`] where it is of another version, cut, or inconsistent.
    pub fn read(log: &WireLog) -> Result<Self, BadLog> {
        if log.version != VERSION {
            return Err(BadLog::Version(log.version));
        }
        if log.cut {
            return Err(BadLog::Cut);
        }
        let mut book = Self::new(Moment::default(), log.source);
        book.stopped = log.stopped;
        book.agent_drops = log.agent_drops;
        let mut found: Vec<Option<Packet>> = Vec::new();
        for (place, record) in log.records.iter().enumerate() {
            take(&mut found, record, log.records.len()).ok_or(BadLog::Record(place))?;
        }
        // A packet whose end was not known leaves no record, and nothing is derived from it.
        book.packets = found.into_iter().map(|packet| packet.unwrap_or_else(Packet::unknown)).collect();
        Ok(book)
    }
}

fn take(found: &mut Vec<Option<Packet>>, record: &WireRecord, most: usize) -> Option<()> {
    if !is_possible(record) {
        return None;
    }
    match record {
        WireRecord::Sent(sent) => {
            let fate = Fate::Left(Departure {
                at_us: sent.at_us,
                kernel_ns: sent.kernel_ns,
                stepped_ns: sent.stepped_ns,
                ports: Ports {
                    source: sent.source_port,
                    destination: sent.destination_port,
                },
            });
            place(found, sent.packet, most, Packet::new((sent.ttl, sent.round, sent.bytes), fate))
        }
        WireRecord::Unsent(unsent) => {
            let fate = Fate::Unsent {
                at_us: unsent.at_us,
                errno: unsent.errno,
            };
            place(found, unsent.packet, most, Packet::new((unsent.ttl, unsent.round, unsent.bytes), fate))
        }
        WireRecord::Came(came) => {
            let packet = found.get_mut(usize::try_from(came.packet).ok()?)?.as_mut()?;
            packet.answers.push(Came::read(came)?);
            Some(())
        }
    }
}

/// Whether such a packet can have been: no run is longer than some minutes, no packet of IP than 65,535 bytes.
fn is_possible(record: &WireRecord) -> bool {
    let (at_us, bytes, round) = match record {
        WireRecord::Sent(sent) => (sent.at_us, sent.bytes, sent.round),
        WireRecord::Unsent(unsent) => (unsent.at_us, unsent.bytes, unsent.round),
        WireRecord::Came(came) => (came.at_us, 0, 0),
    };
    at_us <= AT_US_MAX && bytes <= BYTES_MAX && round <= ROUND_MAX
}

/// Packets are numbered as they are planned, and may leave in another order; no number is far beyond the count of records.
fn place(found: &mut Vec<Option<Packet>>, number: u32, most: usize, packet: Packet) -> Option<()> {
    let number = usize::try_from(number).ok().filter(|number| *number < most.saturating_add(UNKNOWN_MAX))?;
    if found.len() <= number {
        found.resize(number + 1, None);
    }
    let slot = found.get_mut(number)?;
    if slot.is_some() {
        return None;
    }
    *slot = Some(packet);
    Some(())
}

impl Packet {
    const fn new((ttl, round, bytes): (u8, u32, u32), fate: Fate) -> Self {
        Self {
            ttl,
            round,
            bytes,
            fate,
            answers: Vec::new(),
        }
    }

    const fn unknown() -> Self {
        Self::new((0, 0, 0), Fate::Waiting)
    }

    fn fate_record(&self, packet: u32) -> Option<(u64, WireRecord)> {
        let (ttl, round, bytes) = (self.ttl, self.round, self.bytes);
        match self.fate {
            Fate::Waiting => None,
            Fate::Left(departure) => {
                let sent = WireSent {
                    packet,
                    at_us: departure.at_us,
                    kernel_ns: departure.kernel_ns,
                    stepped_ns: departure.stepped_ns,
                    ttl,
                    round,
                    bytes,
                    source_port: departure.ports.source,
                    destination_port: departure.ports.destination,
                };
                Some((departure.at_us, WireRecord::Sent(sent)))
            }
            Fate::Unsent { at_us, errno } => {
                let unsent = WireUnsent {
                    packet,
                    at_us,
                    ttl,
                    round,
                    bytes,
                    errno,
                };
                Some((at_us, WireRecord::Unsent(unsent)))
            }
        }
    }
}

impl Came {
    fn record(&self, packet: u32) -> WireCame {
        WireCame {
            packet,
            at_us: self.at_us,
            kernel_ns: self.kernel_ns,
            stepped_ns: self.stepped_ns,
            ttl: self.ttl,
            from: self.from,
            answer: match &self.answer {
                Answer::EchoReply => WireAnswer::EchoReply,
                Answer::Datagram => WireAnswer::Datagram,
                Answer::SynAck => WireAnswer::SynAck,
                Answer::Reset => WireAnswer::Reset,
                Answer::Error(error) => WireAnswer::IcmpError {
                    error: error.kind,
                    mtu: error.mtu,
                    quoted: STANDARD.encode(&error.quoted),
                    extensions: STANDARD.encode(&error.extensions),
                },
            },
        }
    }

    fn read(record: &WireCame) -> Option<Self> {
        Some(Self {
            at_us: record.at_us,
            kernel_ns: record.kernel_ns,
            stepped_ns: record.stepped_ns,
            ttl: record.ttl,
            from: record.from,
            answer: match &record.answer {
                WireAnswer::EchoReply => Answer::EchoReply,
                WireAnswer::Datagram => Answer::Datagram,
                WireAnswer::SynAck => Answer::SynAck,
                WireAnswer::Reset => Answer::Reset,
                WireAnswer::IcmpError {
                    error,
                    mtu,
                    quoted,
                    extensions,
                } => Answer::Error(IcmpError {
                    kind: *error,
                    mtu: *mtu,
                    quoted: STANDARD.decode(quoted).ok()?,
                    extensions: STANDARD.decode(extensions).ok()?,
                }),
            },
        })
    }
}

const VERSION: u16 = 1;
/// A day: far longer than any run.
const AT_US_MAX: u64 = 86_400_000_000;
/// Longest packet of IP.
const BYTES_MAX: u32 = 65_535;
/// More rounds than any probe has.
const ROUND_MAX: u32 = 10_000;
/// Room for what stands around the records.
const HEAD_BYTES: usize = 256;
/// Packets whose end was not known when the run ended: each run has at most one on its way to the kernel.
const UNKNOWN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use shared_protocol::codec;
    use shared_protocol::spec::ProbeSpec;
    use test_fuzz::{Reading, Target};

    use super::*;
    use crate::explain;

    #[test]
    fn job_19_fuzz_kept_packets() {
        let target = Target::new("kept_packets", include_str!("../corpus/kept_packets.txt")).of_json();
        let specs = ["traceroute", "mtr", "pmtu"].map(|probe| ProbeSpec::parse(&format!(r#"{{"probe":"{probe}","target":"10.0.1.2","raw":true}}"#)).unwrap());
        target.survives(|bytes| {
            let Ok(report) = codec::decode_report(&String::from_utf8_lossy(bytes)) else {
                return Reading::Refused;
            };
            let Some(Ok(book)) = report.raw.as_ref().map(Book::read) else {
                return Reading::Refused;
            };
            // A log that answers packets before they left is written in an order that is not read again.
            let written = book.log();
            if let Ok(again) = Book::read(&written) {
                assert_eq!(again.log(), written, "what was read is written as itself");
            }
            let derived = specs.iter().filter_map(|spec| {
                let once = explain::derive(spec, &report).ok()?;
                assert_eq!(explain::derive(spec, &report).as_ref(), Ok(&once), "the same bytes give the same");
                Some(())
            });
            Reading::of(derived.count() > 0)
        });
    }
}
