//! Stacks with names, folded: equal ones together, those with most first, within the room that a report has.

use std::collections::{BTreeMap, BTreeSet};

use shared_protocol::report::{HotFunction, StackUnit, StacksSeen, TaskStack};

use super::Extent;
use super::names::UNKNOWN;

/// Stacks being folded.
#[derive(Debug, Default)]
pub(super) struct Fold {
    numbers: BTreeMap<String, u32>,
    stacks: BTreeMap<(u32, Option<String>, Vec<u32>), u64>,
}

impl Fold {
    /// Adds a stack, the outermost function first. Neighbouring frames of which nothing is known are one: how many there are says nothing, and a
    /// picture of them is a tower.
    pub(super) fn add(&mut self, pid: u32, command: Option<String>, names: impl Iterator<Item = String>, value: u64) {
        let mut frames: Vec<u32> = Vec::new();
        for name in names {
            let is_known = name != UNKNOWN;
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let frame = *self.numbers.entry(name).or_insert(next);
            if is_known || frames.last() != Some(&frame) {
                frames.push(frame);
            }
        }
        *self.stacks.entry((pid, command, frames)).or_default() += value;
    }

    /// What is told of them.
    pub(super) fn told(self, unit: StackUnit, top: usize, extent: Extent) -> StacksSeen {
        let total: u64 = self.stacks.values().sum();
        let mut names = vec![String::new(); self.numbers.len()];
        for (name, number) in self.numbers {
            if let Some(place) = usize::try_from(number).ok().and_then(|number| names.get_mut(number)) {
                *place = name;
            }
        }
        let mut seen = StacksSeen {
            unit,
            hz: None,
            total,
            idle: None,
            hottest: hottest(&self.stacks, &names, top),
            functions: Vec::new(),
            stacks: Vec::new(),
            others: total,
        };
        if extent == Extent::Everything {
            keep(&mut seen, self.stacks, &names);
        }
        seen
    }
}

type Stacks = BTreeMap<(u32, Option<String>, Vec<u32>), u64>;

fn hottest(stacks: &Stacks, names: &[String], top: usize) -> Vec<HotFunction> {
    let mut spent: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for ((_, _, frames), value) in stacks {
        if let Some(innermost) = frames.last() {
            spent.entry(*innermost).or_default().0 += value;
        }
        // What calls itself counts once.
        for frame in frames.iter().copied().collect::<BTreeSet<u32>>() {
            spent.entry(frame).or_default().1 += value;
        }
    }
    let mut hottest: Vec<(u32, (u64, u64))> = spent.into_iter().collect();
    hottest.sort_by_key(|(frame, spent)| (std::cmp::Reverse(*spent), *frame));
    let hottest = hottest.into_iter().take(top).map(|(frame, (own, within))| HotFunction {
        function: name(names, frame).to_owned(),
        own,
        within,
    });
    hottest.collect()
}

/// As many stacks as there is room for, and the names that these are made of.
fn keep(seen: &mut StacksSeen, stacks: Stacks, names: &[String]) {
    let mut stacks: Vec<_> = stacks.into_iter().collect();
    stacks.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| one.cmp(other)));
    let mut kept: BTreeMap<u32, u32> = BTreeMap::new();
    let mut room = ROOM_BYTES;
    for ((pid, command, frames), value) in stacks {
        let fresh: BTreeSet<u32> = frames.iter().filter(|frame| !kept.contains_key(frame)).copied().collect();
        let words: usize = fresh.iter().map(|frame| name(names, *frame).len() + NAME_BYTES).sum();
        let needed = words + STACK_BYTES + frames.len() * FRAME_BYTES;
        let Some(left) = room.checked_sub(needed) else { break };
        room = left;
        for frame in fresh {
            kept.insert(frame, u32::try_from(seen.functions.len()).unwrap_or(u32::MAX));
            seen.functions.push(name(names, frame).to_owned());
        }
        seen.others -= value;
        seen.stacks.push(TaskStack {
            command,
            pid,
            value,
            frames: frames.iter().filter_map(|frame| kept.get(frame).copied()).collect(),
        });
    }
}

fn name(names: &[String], number: u32) -> &str {
    usize::try_from(number).ok().and_then(|number| names.get(number)).map_or("", String::as_str)
}

/// Room for stacks in a report, about half of what an observer may say in one go.
const ROOM_BYTES: usize = 128 * 1_024;
/// What each takes beside its text and its frames, at most, as JSON.
const STACK_BYTES: usize = 110;
const NAME_BYTES: usize = 3;
const FRAME_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn add(fold: &mut Fold, pid: u32, names: &str, value: u64) {
        fold.add(pid, Some("task".to_owned()), names.split(' ').map(str::to_owned), value);
    }

    #[test]
    fn equal_stacks_are_one_and_what_calls_itself_counts_once() {
        let mut fold = Fold::default();
        add(&mut fold, 1, "main work work", 3);
        add(&mut fold, 1, "main work work", 4);
        add(&mut fold, 2, "main", 2);
        let seen = fold.told(StackUnit::Samples, 10, Extent::Everything);
        assert_eq!((seen.total, seen.others, seen.stacks.len()), (9, 0, 2));
        let told: Vec<_> = seen.hottest.iter().map(|one| (one.function.as_str(), one.own, one.within)).collect();
        assert_eq!(told, [("work", 7, 7), ("main", 2, 9)]);
        let first = &seen.stacks[0];
        let names: Vec<_> = first
            .frames
            .iter()
            .map(|frame| seen.functions[usize::try_from(*frame).unwrap()].as_str())
            .collect();
        assert_eq!((first.pid, first.value, names), (1, 7, vec!["main", "work", "work"]));
    }

    #[test]
    fn neighbours_of_which_nothing_is_known_are_one_frame() {
        let mut fold = Fold::default();
        add(&mut fold, 1, "[unknown] [unknown] main [unknown] [unknown] [unknown] work work", 3);
        add(&mut fold, 1, "[unknown] main [unknown] work work", 4);
        let seen = fold.told(StackUnit::Samples, 10, Extent::Everything);
        assert_eq!((seen.stacks.len(), seen.stacks[0].value), (1, 7));
        let names: Vec<_> = seen.stacks[0]
            .frames
            .iter()
            .map(|frame| seen.functions[usize::try_from(*frame).unwrap()].as_str())
            .collect();
        assert_eq!(names, ["[unknown]", "main", "[unknown]", "work", "work"]);
    }

    #[test]
    fn a_report_stays_within_its_room_and_the_rest_is_counted() {
        let mut fold = Fold::default();
        for number in 0..5_000_u32 {
            let names = (0..127).map(|depth| format!("a_function_with_a_rather_long_name_{}", number * 7 + depth));
            fold.add(u32::MAX - number, Some("a_long_command_".to_owned()), names, u64::from(number) + 1);
        }
        let seen = fold.told(StackUnit::Microseconds, 100, Extent::Everything);
        let text = serde_json::to_string(&seen).unwrap();
        assert!((64 * 1_024..200 * 1_024).contains(&text.len()), "{} bytes", text.len());
        let told: u64 = seen.stacks.iter().map(|stack| stack.value).sum();
        assert!(seen.others > 0 && !seen.stacks.is_empty());
        assert_eq!((told + seen.others, seen.total), (seen.total, 5_000 * 5_001 / 2));
        assert_eq!(seen.stacks[0].value, 5_000);
    }
}
