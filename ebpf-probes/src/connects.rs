//! Tries to connect: one entry of a map for each under way, one message of a ring for each that came to something.

use std::cmp::Reverse;
use std::collections::VecDeque;

use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use shared_protocol::report::{DialTotals, DialsSeen, Masked, Seen};

mod raw;

use raw::{COUNTS, RawDial};

use crate::attach::Hook;
use crate::endpoint::Filter;
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::message::message;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;

/// Tries to connect being observed.
pub(crate) struct Connects {
    programs: Programs,
    under_way: HashMap<MapData, u64, RawDial>,
    counts: PerCpuArray<MapData, u64>,
    told: RingBuf<MapData>,
    masked: Vec<Masked>,
    top: usize,
    /// The last to end first.
    ended: VecDeque<RawDial>,
}

impl Connects {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address);
        let only_pid = ask.pid.unwrap_or(0);
        let mut programs = Programs::open(object::CONNECTS, kernel, &ask.check_port, |loader| {
            filter.set(loader);
            loader.override_global("only_pid", &only_pid, true);
        })?;
        let (under_way, counts, told) = (programs.take("under_way")?, programs.take("counts")?, programs.take("told")?);
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            programs,
            under_way: HashMap::try_from(under_way)?,
            counts: PerCpuArray::try_from(counts)?,
            told: RingBuf::try_from(told)?,
            masked: ask.masked.to_vec(),
            top: ask.top,
            ended: VecDeque::new(),
        })
    }

    /// Numbers over all, whether the ring had room for them or not. What began is read last, so that nothing ends before it has begun.
    fn totals(&self) -> Result<DialTotals, ObserveError> {
        let mut counts = [0_u64; COUNTS];
        for (place, count) in (0..).zip(&mut counts) {
            *count = self.counts.get(&place, 0)?.iter().sum();
        }
        let [established, refused, timed_out, unreachable, given_up, failed, dials] = counts;
        let ended = established + refused + timed_out + unreachable + given_up + failed;
        Ok(DialTotals {
            dials,
            established,
            refused,
            timed_out,
            unreachable,
            given_up,
            failed,
            under_way: dials.saturating_sub(ended),
        })
    }
}

impl Observer for Connects {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn gather(&mut self) -> Look {
        while let Some(item) = self.told.next() {
            if let Some(dial) = message::<RawDial>(&item) {
                self.ended.truncate(self.top.saturating_sub(1));
                self.ended.push_front(dial);
            }
        }
        Look::Soon
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let under_way = entries(self.under_way.iter(), ENTRIES)?.into_iter().map(|(_, dial)| dial);
        self.gather();
        Ok(Seen::Connects(DialsSeen {
            totals: self.totals()?,
            dials: latest(under_way.chain(self.ended.iter().copied()), self.top)
                .iter()
                .map(|dial| dial.told(&self.masked))
                .collect(),
        }))
    }
}

/// Those that began or ended last. One that ended while somebody looked may be there as it was before, too.
fn latest(dials: impl Iterator<Item = RawDial>, top: usize) -> Vec<RawDial> {
    let mut dials: Vec<RawDial> = dials.collect();
    dials.sort_by_key(|dial| (Reverse(dial.began_ns.max(dial.ended_ns)), dial.began_ns));
    let mut told: Vec<RawDial> = Vec::with_capacity(top.min(dials.len()));
    for dial in dials {
        if told.len() == top {
            break;
        }
        if !told.iter().any(|known| known.is_same_try(&dial)) {
            told.push(dial);
        }
    }
    told
}

pub(crate) const HOOKS: [Hook; 1] = [Hook {
    tracepoint: "inet_sock_set_state",
    typed: "dialled",
    plain: "dialled_plain",
    without: None,
}];

/// Entries of the map `under_way`.
const ENTRIES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_told_once_each_and_what_came_of_them_where_something_did() {
        let dial = |began_ns, ended_ns, pid| RawDial {
            began_ns,
            ended_ns,
            pid,
            ..RawDial::default()
        };
        let all = [dial(9, 0, 1), dial(5, 0, 2), dial(5, 12, 2), dial(1, 3, 3), dial(10, 11, 4)];
        let times = |top| {
            let told = latest(all.into_iter(), top);
            told.into_iter().map(|dial| (dial.began_ns, dial.ended_ns)).collect::<Vec<_>>()
        };
        assert_eq!(times(9), [(5, 12), (10, 11), (9, 0), (1, 3)]);
        assert_eq!(times(2), [(5, 12), (10, 11)]);
        assert_eq!(times(0), []);
    }
}
