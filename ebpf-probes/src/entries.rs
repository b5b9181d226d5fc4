//! What a map holds, read while programs go on writing it.

use std::collections::BTreeMap;

use aya::maps::MapError;

use crate::error::ObserveError;

/// All entries of a map that has room for so many, in the order of their keys. One may be met twice while others are made: the later look counts.
pub(crate) fn entries<K: Ord, V>(met: impl Iterator<Item = Result<(K, V), MapError>>, room: usize) -> Result<Vec<(K, V)>, ObserveError> {
    let entries: Result<BTreeMap<K, V>, MapError> = met.take(2 * room).collect();
    Ok(entries?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_and_no_more_are_read_than_can_be_there() {
        let met = [(2, "old"), (1, "one"), (2, "new")].map(Ok);
        assert_eq!(entries(met.into_iter(), 2).unwrap(), [(1, "one"), (2, "new")]);
        assert_eq!(entries((0..).map(|key| Ok((key, ()))), 3).unwrap().len(), 6);
        assert!(entries([Ok((1, ())), Err(MapError::KeyNotFound)].into_iter(), 2).is_err());
    }
}
