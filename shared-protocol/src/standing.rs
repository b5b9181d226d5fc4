//! Standing work: what an agent goes on doing, window after window, until it is told otherwise, also while it is disconnected.
//!
//! The control plane says what is wanted of an agent as items with a revision each ([`Configure`]); the agent keeps them in a [`Book`] and
//! says after each change what it holds and how that fares ([`Configured`], and again in `hello`). What differs is sent anew
//! ([`difference`]), so that a reconnect sends only what changed and nothing that went astray stays so. Both rules stand here, because they
//! have to fit each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::end::RefuseReason;
use crate::id::StandingId;
use crate::limits::STANDING_ITEMS;
use crate::tier::ProbeLimits;

/// One piece of standing work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingItem {
    /// What it is.
    pub id: StandingId,
    /// Counts its changes, from 1.
    pub revision: u32,
    /// Tells two texts of one revision apart, as after a tier was changed; the agent only keeps it.
    pub mark: String,
    /// What is done in each window, which lasts as long as it says. Kept as it came: one that this agent cannot read is refused alone.
    pub spec: Value,
    /// What the tenant's tier allows the probe. Absent where nothing is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProbeLimits>,
}

/// What changed of an agent's standing work: first what goes, then what comes or is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Configure {
    /// What is wanted from here on, in the place of what the agent has of the same id.
    pub items: Vec<StandingItem>,
    /// What is not wanted any more; what the agent does not have means nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<StandingId>,
}

/// All that an agent holds, and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Configured {
    /// Everything it holds.
    pub items: Vec<StandingHeld>,
}

/// One piece of standing work in an agent's hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingHeld {
    /// What it is.
    pub id: StandingId,
    /// The revision that the agent has.
    pub revision: u32,
    /// The mark that came with it.
    pub mark: String,
    /// How it fares.
    pub state: StandingState,
    /// Why it is not done, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RefuseReason>,
    /// One sentence for people, where something is not as it should be; names the policy's rule where it was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Windows whose reports the agent could not keep, since it first got the work.
    #[serde(default)]
    pub lost: u64,
}

/// How a piece of standing work fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingState {
    /// Its first window has not begun.
    Waiting,
    /// Window follows window.
    Running,
    /// It runs, but its last window lacks something or could not be made.
    Degraded,
    /// The agent will not do it.
    Refused,
    /// The agent, or its host, cannot do it.
    Unsupported,
}

/// Which standing work a report is a window of; the window begins when its probe did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingWindow {
    /// The work.
    pub id: StandingId,
    /// Its revision in this window.
    pub revision: u32,
    /// Windows lost before this one, since the agent first got the work.
    #[serde(default)]
    pub lost: u64,
}

/// What an agent was told to do until it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    items: BTreeMap<StandingId, StandingItem>,
}

/// What a change means for what runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// These end, or end as they were.
    pub ended: Vec<StandingId>,
    /// These begin, or begin anew.
    pub begun: Vec<StandingId>,
}

impl Book {
    /// A book with what was in it before; of more than there may be the last are left out.
    pub fn of(items: impl IntoIterator<Item = StandingItem>) -> Self {
        let mut book = Self::default();
        book.apply(Configure {
            items: items.into_iter().collect(),
            removed: Vec::new(),
        });
        book
    }

    /// Takes a change. An older revision than the one held changes nothing, nor does what is held already, nor an item for which there is
    /// no room.
    pub fn apply(&mut self, configure: Configure) -> Changes {
        let mut changes = Changes::default();
        for id in configure.removed {
            if self.items.remove(&id).is_some() {
                changes.ended.push(id);
            }
        }
        for item in configure.items {
            let id = item.id;
            match self.items.get(&id) {
                Some(held) if held.revision > item.revision || *held == item => continue,
                Some(_) => changes.ended.push(id),
                None if self.items.len() >= STANDING_ITEMS => continue,
                None => {}
            }
            self.items.insert(id, item);
            changes.begun.push(id);
        }
        changes
    }

    /// What it holds, by id.
    pub fn items(&self) -> impl Iterator<Item = &StandingItem> {
        self.items.values()
    }

    /// One piece of it.
    pub fn get(&self, id: StandingId) -> Option<&StandingItem> {
        self.items.get(&id)
    }
}

/// What has to be said to an agent that holds this, so that it has what is wanted. One that is ahead, because the control plane was put
/// back to an earlier state, loses what it has first.
pub fn difference(wanted: &[StandingItem], held: &[StandingHeld]) -> Configure {
    let of = |id: StandingId| held.iter().find(|held| held.id == id);
    let is_there = |item: &StandingItem| of(item.id).is_some_and(|held| held.revision == item.revision && held.mark == item.mark);
    let is_behind = |held: &StandingHeld| match wanted.iter().find(|item| item.id == held.id) {
        Some(item) => held.revision > item.revision,
        None => true,
    };
    Configure {
        items: wanted.iter().filter(|item| !is_there(item)).cloned().collect(),
        removed: held.iter().filter(|held| is_behind(held)).map(|held| held.id).collect(),
    }
}

impl Configure {
    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty() && self.removed.is_empty()
    }
}

impl StandingHeld {
    /// An item that an agent just got.
    pub fn waiting(item: &StandingItem) -> Self {
        Self {
            id: item.id,
            revision: item.revision,
            mark: item.mark.clone(),
            state: StandingState::Waiting,
            reason: None,
            message: None,
            lost: 0,
        }
    }
}

impl StandingState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Degraded, Self::Refused, Self::Unsupported];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::time::UnixMicros;

    fn id(number: u8) -> StandingId {
        StandingId::new(UnixMicros::from_micros(1_000), [number; 10])
    }

    fn item(number: u8, revision: u32, mark: &str) -> StandingItem {
        StandingItem {
            id: id(number),
            revision,
            mark: mark.to_owned(),
            spec: json!({"probe": "observe", "observation": "drops", "mark": mark}),
            limits: None,
        }
    }

    fn items(of: &[(u8, u32, &str)]) -> Configure {
        Configure {
            items: of.iter().map(|(number, revision, mark)| item(*number, *revision, mark)).collect(),
            removed: Vec::new(),
        }
    }

    fn held(book: &Book) -> Vec<StandingHeld> {
        book.items().map(StandingHeld::waiting).collect()
    }

    #[test]
    fn stw_02_an_older_revision_changes_nothing_and_the_same_with_another_text_counts() {
        let mut book = Book::default();
        assert_eq!(book.apply(items(&[(1, 2, "b")])).begun, [id(1)]);
        assert_eq!(book.apply(items(&[(1, 1, "a")])), Changes::default(), "it came out of order");
        assert_eq!(book.apply(items(&[(1, 2, "b")])), Changes::default(), "it is held already");
        let changes = book.apply(items(&[(1, 2, "c")]));
        assert_eq!((changes.ended, changes.begun), (vec![id(1)], vec![id(1)]), "the tier's limits changed");
        assert_eq!(book.get(id(1)).unwrap().mark, "c");
    }

    #[test]
    fn stw_03_what_is_not_there_is_removed_without_harm_and_what_has_no_room_is_left_out() {
        let mut book = Book::default();
        let mut all = items(&[]);
        let most = u8::try_from(STANDING_ITEMS).unwrap();
        all.items.extend((0..most).map(|number| item(number, 1, "a")));
        all.removed.push(id(200));
        assert_eq!(book.apply(all).begun.len(), STANDING_ITEMS);
        assert_eq!(book.apply(items(&[(most, 1, "a")])), Changes::default());
        assert_eq!(book.get(id(most)), None);
        // One that goes makes room for another in the same change.
        let mut change = items(&[(most, 1, "a")]);
        change.removed.push(id(0));
        let changes = book.apply(change);
        assert_eq!((changes.ended, changes.begun), (vec![id(0)], vec![id(most)]));
    }

    #[test]
    fn an_agent_that_is_ahead_of_a_restored_control_plane_takes_its_older_revision() {
        let mut book = Book::of([item(1, 5, "new")]);
        let wanted = [item(1, 3, "old")];
        let change = difference(&wanted, &held(&book));
        assert_eq!((change.items.len(), change.removed.as_slice()), (1, [id(1)].as_slice()));
        book.apply(change);
        assert_eq!(book.get(id(1)), Some(&wanted[0]));
        assert!(difference(&wanted, &held(&book)).is_empty());
    }

    proptest! {
        /// Whatever an agent missed, or heard twice or out of order: once what it holds is compared, it holds what is wanted.
        #[test]
        fn stw_01_one_comparison_mends_whatever_was_lost_on_the_way(
            heard in prop::collection::vec((0_u8..6, 1_u32..4, 0_u8..3, any::<bool>()), 0..24),
            wanted in prop::collection::btree_map(0_u8..6, (1_u32..4, 0_u8..3), 0..6),
        ) {
            let marks = ["a", "b", "c"];
            let mut book = Book::default();
            for (number, revision, mark, removed) in heard {
                let mut change = items(&[]);
                if removed {
                    change.removed.push(id(number));
                } else {
                    change.items.push(item(number, revision, marks[usize::from(mark)]));
                }
                book.apply(change);
            }
            let wanted: Vec<StandingItem> = wanted.into_iter().map(|(number, (revision, mark))| item(number, revision, marks[usize::from(mark)])).collect();
            let first = difference(&wanted, &held(&book));
            let unchanged = wanted.iter().filter(|item| book.get(item.id) == Some(item)).count();
            prop_assert_eq!(first.items.len(), wanted.len() - unchanged, "only what differs is sent");
            book.apply(first);
            prop_assert!(book.items().eq(wanted.iter()));
            prop_assert!(difference(&wanted, &held(&book)).is_empty());
        }
    }
}
