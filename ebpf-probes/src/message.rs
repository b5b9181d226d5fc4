//! What a program wrote into a ring.

use aya::Pod;

/// Reads one message, which is as long as what it is taken for, or is something else.
pub(crate) fn message<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: the length was compared, any bits are a value (`Pod`), and nothing is assumed of where the bytes lie.
    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_exactly_as_long_is_taken_for_it() {
        assert_eq!(message::<u64>(&7_u64.to_ne_bytes()), Some(7));
        assert_eq!(message::<u64>(&[0; 7]), None);
        assert_eq!(message::<u64>(&[0; 9]), None);
        assert_eq!(message::<u64>(&[]), None);
        // Wherever it lies.
        let bytes = [9, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(message::<u64>(&bytes[1..]), Some(u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0])));
    }
}
