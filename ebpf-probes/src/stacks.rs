//! Stacks of tasks with what was counted for each (`programs/stacks.h`): read, given names, and told.

mod fold;
mod mappings;
mod names;

use std::collections::{BTreeMap, BTreeSet};

use aya::Pod;
use aya::maps::{HashMap, MapData, MapError};
use shared_protocol::report::{Masked, StackUnit, StacksSeen};

use crate::endpoint::command;
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::observing::Ask;
use crate::programs::Programs;

use fold::Fold;
use mappings::Mappings;
use names::{Frame, Names};

/// The stacks of an observation.
pub(crate) struct Stacks {
    by_number: HashMap<MapData, u64, [u64; FRAMES]>,
    places: HashMap<MapData, Place, Spent>,
    known: BTreeMap<u64, Vec<u64>>,
    mappings: Mappings,
    names: Names,
    unit: StackUnit,
    commands: Commands,
    top: usize,
    looks: u32,
}

/// Whether commands may be told, and with them what they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commands {
    Told,
    Hidden,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The functions that took most.
    Hottest,
    /// The stacks as well.
    Everything,
}

/// `struct place` of `programs/stacks.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kernel_stack: u64,
    user_stack: u64,
    pid: u32,
    unused: u32,
    command: [u8; 16],
}

/// `struct spent` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spent {
    times: u64,
    total_ns: u64,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Place {}
// SAFETY: as above.
unsafe impl Pod for Spent {}

impl Stacks {
    pub(crate) fn new(programs: &mut Programs, kernel: &Kernel, ask: &Ask<'_>, unit: StackUnit) -> Result<Self, ObserveError> {
        let (stacks, places) = (programs.take("stacks")?, programs.take("places")?);
        Ok(Self {
            by_number: HashMap::try_from(stacks)?,
            places: HashMap::try_from(places)?,
            known: BTreeMap::new(),
            mappings: Mappings::new(programs, kernel)?,
            names: Names::new(programs, kernel)?,
            unit,
            commands: if ask.masked.contains(&Masked::Commands) {
                Commands::Hidden
            } else {
                Commands::Told
            },
            top: ask.top,
            looks: 0,
        })
    }

    /// Asks for the mappings of processes while they are there. Not each time: whoever asks goes through all of the host's.
    pub(crate) fn gather(&mut self, programs: &mut Programs) {
        self.looks = self.looks.wrapping_add(1);
        if !self.looks.is_multiple_of(LOOKS) || self.commands == Commands::Hidden {
            return;
        }
        let processes: BTreeSet<u32> = self.places.keys().take(2 * PLACES).flatten().map(|place| place.pid).collect();
        self.mappings.ask(programs, &processes);
    }

    /// What was seen up to now.
    pub(crate) fn seen(&mut self, programs: &mut Programs, extent: Extent) -> Result<StacksSeen, ObserveError> {
        let places = entries(self.places.iter(), PLACES)?;
        if self.commands == Commands::Told {
            let processes = places.iter().map(|(place, _)| place.pid).collect();
            self.mappings.ask(programs, &processes);
        }
        let mut counted = Vec::with_capacity(places.len());
        for (place, spent) in places {
            let value = match self.unit {
                StackUnit::Samples => spent.times,
                StackUnit::Microseconds => spent.total_ns / 1_000,
            };
            counted.push((place, self.frames(&place)?, value));
        }
        let all = counted.iter().flat_map(|(_, frames, _)| frames).copied().collect();
        self.names.find(programs, self.mappings.modules(), &all);
        let mut fold = Fold::default();
        for (place, frames, value) in &counted {
            let command = (self.commands == Commands::Told).then(|| command(&place.command));
            let mut names: Vec<String> = frames.iter().map(|frame| self.names.of(self.mappings.modules(), *frame)).collect();
            match self.unit {
                StackUnit::Samples => {}
                StackUnit::Microseconds => names::leave_scheduler(&mut names),
            }
            fold.add(place.pid, command, names.into_iter(), *value);
        }
        Ok(fold.told(self.unit, self.top, extent))
    }

    /// Whether nothing at all was seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.keys().next().is_none()
    }

    /// The frames of both stacks, the outermost first.
    fn frames(&mut self, place: &Place) -> Result<Vec<Frame>, ObserveError> {
        let mut frames: Vec<Frame> = Vec::new();
        match (self.addresses(place.user_stack)?, self.commands) {
            (Stack::Addresses(addresses), Commands::Told) => {
                let found = addresses.iter().map(|address| self.mappings.frame(place.pid, *address));
                frames.extend(found.rev());
            }
            (Stack::Addresses(_), Commands::Hidden) => frames.push(Frame::Hidden),
            (Stack::None, _) => {}
            (Stack::Lost, _) => frames.push(Frame::Lost),
            (Stack::Unread, _) => frames.push(Frame::Unread),
        }
        match self.addresses(place.kernel_stack)? {
            Stack::Addresses(addresses) => frames.extend(addresses.iter().rev().map(|address| Frame::Kernel(*address))),
            Stack::None => {}
            Stack::Lost => frames.push(Frame::Lost),
            Stack::Unread => frames.push(Frame::Unread),
        }
        if frames.is_empty() {
            frames.push(Frame::Unknown);
        }
        Ok(frames)
    }

    /// The addresses of a stack, the innermost first: within the instruction that called, not behind it.
    fn addresses(&mut self, stack: u64) -> Result<Stack, ObserveError> {
        match stack {
            NO_STACK => return Ok(Stack::None),
            LOST_STACK => return Ok(Stack::Lost),
            UNREAD_STACK => return Ok(Stack::Unread),
            _ => {}
        }
        if let Some(known) = self.known.get(&stack) {
            return Ok(Stack::Addresses(known.clone()));
        }
        let read = match self.by_number.get(&stack, 0) {
            Ok(read) => read,
            Err(MapError::KeyNotFound) => return Ok(Stack::Lost),
            Err(error) => return Err(error.into()),
        };
        let frames = read.iter().take_while(|address| **address != 0).enumerate();
        let within = |(depth, address): (usize, &u64)| if depth == 0 { *address } else { address.saturating_sub(1) };
        let addresses: Vec<u64> = frames.map(within).collect();
        self.known.insert(stack, addresses.clone());
        Ok(Stack::Addresses(addresses))
    }
}

/// A stack as it could be read.
enum Stack {
    Addresses(Vec<u64>),
    /// There is none, as of a task of the kernel's own.
    None,
    /// There was one, and no room for it.
    Lost,
    /// There was one, and nobody looked.
    Unread,
}

/// `NO_STACK`, `LOST_STACK`, `UNREAD_STACK` and `FRAMES` of the programs.
const NO_STACK: u64 = 0;
const LOST_STACK: u64 = 1;
const UNREAD_STACK: u64 = 2;
const FRAMES: usize = 127;
/// Entries of the map `places`.
const PLACES: usize = 8_192;
/// Looks from one time that mappings are asked for to the next.
const LOOKS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::object;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = object::PROFILE.bytes;
        assert_same_layout!(
            object,
            "place",
            Place {
                kernel_stack,
                user_stack,
                pid,
                unused,
                command
            }
        );
        assert_same_layout!(object, "spent", Spent { times, total_ns });
    }
}
