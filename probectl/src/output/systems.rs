//! Autonomous systems as people write them. Which ones the hops are in is the word of files of the agent's owner.

use std::collections::BTreeMap;

use shared_protocol::report::HopAddress;

use super::Cell;

/// Those that announce one address: `AS64500`, or `AS64500/AS64501` where several do.
pub(crate) fn shown(asn: &[u32]) -> Option<String> {
    let all: Vec<String> = asn.iter().map(|number| format!("AS{number}")).collect();
    (!all.is_empty()).then(|| all.join("/"))
}

/// Those of all addresses that answer for a hop.
pub(crate) fn of_hop(addresses: &[HopAddress]) -> Cell {
    let mut all: Vec<String> = addresses.iter().filter_map(|found| shown(&found.asn)).collect();
    all.dedup();
    Cell::of((!all.is_empty()).then(|| all.join(",")))
}

/// Those along a path: `AS64500 AS64501/AS64502`.
pub(crate) fn path(as_path: &[Vec<u32>]) -> Cell {
    let all: Vec<String> = as_path.iter().filter_map(|asn| shown(asn)).collect();
    Cell::of((!all.is_empty()).then(|| all.join(" ")))
}

/// A line about those along a path, with their names, where any is known.
pub(crate) fn line<'a>(as_path: &[Vec<u32>], hops: impl Iterator<Item = &'a HopAddress>) -> Option<String> {
    let names: BTreeMap<&[u32], &str> = hops.filter_map(|found| Some((found.asn.as_slice(), found.as_name.as_deref()?))).collect();
    let all: Vec<String> = as_path
        .iter()
        .filter_map(|asn| {
            let name = names.get(asn.as_slice()).map(|name| format!(" {name}")).unwrap_or_default();
            Some(format!("{}{name}", shown(asn)?))
        })
        .collect();
    (!all.is_empty()).then(|| format!("systems on the way: {}", all.join(", ")))
}

/// A table for people without the column [`COLUMN`], where nobody has anything in it.
pub(crate) fn only_if_known(columns: &[&'static str], rows: Vec<Vec<Cell>>) -> (Vec<&'static str>, Vec<Vec<Cell>>) {
    let place = columns.iter().position(|column| *column == COLUMN).unwrap_or(columns.len());
    let is_empty = rows.iter().all(|row| matches!(row.get(place), None | Some(Cell::Absent)));
    if !is_empty {
        return (columns.to_vec(), rows);
    }
    let without = |row: Vec<Cell>| row.into_iter().enumerate().filter(|(at, _)| *at != place).map(|(_, cell)| cell).collect();
    let columns = columns.iter().copied().filter(|column| *column != COLUMN).collect();
    (columns, rows.into_iter().map(without).collect())
}

/// The column of hops that has them.
pub(crate) const COLUMN: &str = "as";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_written_as_people_write_them() {
        let hop = |asn: &[u32], name: Option<&str>| -> HopAddress {
            serde_json::from_value(serde_json::json!({"address": "192.0.2.1", "answers": 1, "asn": asn, "as_name": name})).unwrap()
        };
        let hops = [hop(&[64_500], Some("Example")), hop(&[64_500], None), hop(&[64_501, 64_502], None)];
        assert_eq!(of_hop(&hops).shown(), "AS64500,AS64501/AS64502");
        assert_eq!(of_hop(&[hop(&[], None)]).shown(), "-");
        let as_path = [vec![64_500], vec![64_501, 64_502]];
        assert_eq!(path(&as_path).bare(), "AS64500 AS64501/AS64502");
        assert_eq!(path(&[]).bare(), "");
        assert_eq!(line(&as_path, hops.iter()).unwrap(), "systems on the way: AS64500 Example, AS64501/AS64502");
        assert_eq!(line(&[], hops.iter()), None);
    }

    #[test]
    fn a_column_in_which_nobody_has_anything_is_left_out_for_people() {
        let row = |system: Cell| vec![Cell::from("1"), system, Cell::from("x")];
        let columns = ["hop", COLUMN, "note"];
        let (names, rows) = only_if_known(&columns, vec![row(Cell::Absent), row("AS1".into())]);
        assert_eq!((names.len(), rows[0].len()), (3, 3));
        let (names, rows) = only_if_known(&columns, vec![row(Cell::Absent), row(Cell::Absent)]);
        assert_eq!((names, rows[1][1].shown()), (vec!["hop", "note"], "x".to_owned()));
    }
}
