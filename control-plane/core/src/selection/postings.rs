//! What the agents of one tenant have in common: for each label, value and place the set of their slots.

use std::borrow::Cow;
use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::{AgentCard, Conditions};

/// The agents of one tenant.
#[derive(Debug, Default)]
pub(super) struct Postings {
    all: RoaringBitmap,
    names: HashMap<String, u32>,
    labels: HashMap<String, Label>,
    regions: HashMap<String, RoaringBitmap>,
    zones: HashMap<String, RoaringBitmap>,
    networks: HashMap<String, RoaringBitmap>,
}

#[derive(Debug, Default)]
struct Label {
    present: RoaringBitmap,
    values: HashMap<String, RoaringBitmap>,
}

impl Postings {
    /// The slots of all of them.
    pub(super) const fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    pub(super) fn insert(&mut self, slot: u32, card: &AgentCard) {
        self.all.insert(slot);
        self.names.insert(card.name.clone(), slot);
        for (key, value) in &card.labels {
            let label = self.labels.entry(key.clone()).or_default();
            label.present.insert(slot);
            label.values.entry(value.clone()).or_default().insert(slot);
        }
        for (places, word) in self.places(card) {
            places.entry(word).or_default().insert(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u32, card: &AgentCard) {
        self.all.remove(slot);
        // Another agent may have been given the name since.
        if self.names.get(&card.name) == Some(&slot) {
            self.names.remove(&card.name);
        }
        for (key, value) in &card.labels {
            if let Some(label) = self.labels.get_mut(key) {
                label.present.remove(slot);
                forget(&mut label.values, value, slot);
                if label.present.is_empty() {
                    self.labels.remove(key);
                }
            }
        }
        for (places, word) in self.places(card) {
            forget(places, &word, slot);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn named(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The slots of the agents for which every condition holds; none where a condition names what no agent has.
    pub(super) fn fitting(&self, conditions: &Conditions<'_>) -> Option<RoaringBitmap> {
        let mut sets: Vec<Cow<'_, RoaringBitmap>> = Vec::new();
        for (key, value) in conditions.labels.into_iter().flatten() {
            sets.push(Cow::Borrowed(self.labels.get(key)?.values.get(value)?));
        }
        for key in conditions.labels_present {
            sets.push(Cow::Borrowed(&self.labels.get(key)?.present));
        }
        for (key, values) in conditions.labels_in.into_iter().flatten() {
            let known = self.labels.get(key)?;
            let mut any = RoaringBitmap::new();
            for set in values.iter().filter_map(|value| known.values.get(value)) {
                any |= set;
            }
            sets.push(Cow::Owned(any));
        }
        if let Some(region) = conditions.region {
            sets.push(Cow::Borrowed(self.regions.get(region)?));
        }
        if let Some(zone) = conditions.zone {
            sets.push(Cow::Borrowed(self.zones.get(zone)?));
        }
        if let Some(wanted) = conditions.network {
            sets.push(Cow::Borrowed(self.networks.get(network(wanted).as_ref())?));
        }
        // The smallest first: each further intersection costs no more than that.
        sets.sort_unstable_by_key(|set| set.len());
        let mut sets = sets.into_iter();
        let mut fitting = sets.next().map_or_else(|| self.all.clone(), Cow::into_owned);
        for set in sets {
            fitting &= set.as_ref();
        }
        Some(fitting)
    }

    fn places(&mut self, card: &AgentCard) -> impl Iterator<Item = (&mut HashMap<String, RoaringBitmap>, String)> {
        let network = card.network.as_deref().map(|word| network(word).into_owned());
        [
            (&mut self.regions, card.region.clone()),
            (&mut self.zones, card.zone.clone()),
            (&mut self.networks, network),
        ]
        .into_iter()
        .filter_map(|(places, word)| Some((places, word?)))
    }
}

/// One spelling of each network: `64500`, `as64500` and `AS64500` are the same AS number; anything else is a name.
pub(super) fn network(text: &str) -> Cow<'_, str> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    match digits.parse::<u32>() {
        Ok(number) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Cow::Owned(format!("AS{number}")),
        Ok(_) | Err(_) => Cow::Borrowed(text),
    }
}

fn forget(sets: &mut HashMap<String, RoaringBitmap>, word: &str, slot: u32) {
    if let Some(set) = sets.get_mut(word) {
        set.remove(slot);
        if set.is_empty() {
            sets.remove(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_as_number_has_many_spellings_and_a_name_one() {
        for spelling in ["64500", "AS64500", "as64500", "AS064500"] {
            assert_eq!(network(spelling), "AS64500");
        }
        for name in ["isp-a", "AS", "AS-64500", "+64500", "AS4294967296", "ASx"] {
            assert_eq!(network(name), name);
        }
    }
}
