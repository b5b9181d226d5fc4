//! What goes through interfaces: one entry for each, and one for each other end.

use aya::Pod;
use aya::maps::{HashMap, MapData, PerCpuHashMap};
use shared_protocol::report::{InterfaceSeen, InterfaceTraffic, Masked, Seen, Talker, Traffic as Told};

use crate::attach::Hook;
use crate::endpoint::{Endpoints, command};
use crate::entries::entries;
use crate::error::ObserveError;
use crate::interface::Interface;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;

/// What goes through interfaces being observed.
pub(crate) struct Traffic {
    programs: Programs,
    interfaces: PerCpuHashMap<MapData, Interface, Through>,
    talkers: HashMap<MapData, RawTalker, Both>,
    masked: Vec<Masked>,
    top: usize,
}

/// `struct traffic` of `programs/interface.bpf.c`: both ways, in and out.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// `struct through` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Through {
    name: [u8; 16],
    traffic: Both,
}

/// `struct talker` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RawTalker {
    interface: Interface,
    address: [u8; 16],
    family: u32,
    unused: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Both {}
// SAFETY: as above.
unsafe impl Pod for Through {}
// SAFETY: as above.
unsafe impl Pod for RawTalker {}

impl Traffic {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::INTERFACE, kernel, &ask.check_port, |_| {})?;
        let (interfaces, talkers) = (programs.take("interfaces")?, programs.take("talkers")?);
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            interfaces: PerCpuHashMap::try_from(interfaces)?,
            talkers: HashMap::try_from(talkers)?,
            programs,
            masked: ask.masked.to_vec(),
            top: ask.top,
        })
    }

    fn interfaces(&self) -> Result<Vec<(Interface, Through)>, ObserveError> {
        let entries = entries(self.interfaces.iter(), INTERFACES)?.into_iter();
        let mut interfaces: Vec<_> = entries
            .map(|(interface, counts)| (interface, counts.iter().fold(Through::default(), added)))
            .collect();
        interfaces.sort_by_key(|(_, through)| std::cmp::Reverse(through.traffic.moved()));
        Ok(interfaces)
    }

    fn talkers(&self) -> Result<Vec<(RawTalker, Both)>, ObserveError> {
        let mut talkers = entries(self.talkers.iter(), TALKERS)?;
        talkers.sort_by_key(|(_, traffic)| std::cmp::Reverse(traffic.moved()));
        talkers.truncate(self.top);
        Ok(talkers)
    }
}

impl Observer for Traffic {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let interfaces = self.interfaces()?;
        let name = |interface: Interface| {
            let found = interfaces.iter().find(|(known, _)| *known == interface);
            interface.told(found.map(|(_, through)| command(&through.name)).unwrap_or_default())
        };
        let total = interfaces.iter().fold(Both::default(), |all, (_, through)| all.and(&through.traffic));
        let talkers = self.talkers()?;
        Ok(Seen::Interface(InterfaceSeen {
            total: total.told(),
            talkers: talkers
                .iter()
                .map(|(talker, traffic)| Talker {
                    address: talker.ends().remote(&self.masked).ip(),
                    interface: name(talker.interface),
                    traffic: traffic.told(),
                })
                .collect(),
            interfaces: interfaces
                .iter()
                .take(self.top)
                .map(|(interface, through)| InterfaceTraffic {
                    interface: name(*interface),
                    traffic: through.traffic.told(),
                })
                .collect(),
        }))
    }
}

impl Both {
    const fn moved(&self) -> u64 {
        let [received, sent] = self.bytes;
        received + sent
    }

    const fn and(self, other: &Self) -> Self {
        let ([received, sent], [more_received, more_sent]) = (self.packets, other.packets);
        let ([received_bytes, sent_bytes], [more_received_bytes, more_sent_bytes]) = (self.bytes, other.bytes);
        Self {
            packets: [received + more_received, sent + more_sent],
            bytes: [received_bytes + more_received_bytes, sent_bytes + more_sent_bytes],
        }
    }

    const fn told(&self) -> Told {
        let ([received_packets, sent_packets], [received_bytes, sent_bytes]) = (self.packets, self.bytes);
        Told {
            received_packets,
            received_bytes,
            sent_packets,
            sent_bytes,
        }
    }
}

impl RawTalker {
    fn ends(&self) -> Endpoints {
        Endpoints {
            remote: self.address,
            family: u16::try_from(self.family).unwrap_or_default(),
            ..Endpoints::default()
        }
    }
}

/// The counts of all processors; the name is written by one of them.
fn added(all: Through, one: &Through) -> Through {
    Through {
        name: if one.name == [0; 16] { all.name } else { one.name },
        traffic: all.traffic.and(&one.traffic),
    }
}

pub(crate) const HOOKS: [Hook; 2] = [
    Hook {
        tracepoint: "netif_receive_skb",
        typed: "traffic_in",
        plain: "traffic_in_plain",
        without: None,
    },
    Hook {
        tracepoint: "net_dev_start_xmit",
        typed: "traffic_out",
        plain: "traffic_out_plain",
        without: None,
    },
];

/// Entries of the map `interfaces`.
const INTERFACES: usize = 256;
/// Entries of the map `talkers`.
const TALKERS: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = object::INTERFACE.bytes;
        assert_same_layout!(object, "traffic", Both { packets, bytes });
        assert_same_layout!(object, "through", Through { name, traffic });
        assert_same_layout!(
            object,
            "talker",
            RawTalker {
                interface,
                address,
                family,
                unused
            }
        );
    }
}
