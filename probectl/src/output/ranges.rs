//! Numbers in ascending order, those in a row as a range.

/// `0-2 5 7-8`, with this between them.
pub(crate) fn ranges(numbers: impl IntoIterator<Item = u32>, between: &str) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let shown: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    shown.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges([], " "), "");
        assert_eq!(ranges([4], " "), "4");
        assert_eq!(ranges([0, 1, 2, 5, 7, 8], ","), "0-2,5,7-8");
    }
}
