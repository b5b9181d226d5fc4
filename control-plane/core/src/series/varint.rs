//! Whole numbers in as few bytes as they need: seven bits a byte, lowest first; signed ones folded so that small ones stay small.

/// The bytes are not what they were written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

pub(super) fn write(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or(0));
}

pub(super) fn write_signed(bytes: &mut Vec<u8>, value: i64) {
    write(bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(super) fn read(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if shift == 63 && part > 1 {
            return Err(Damaged);
        }
        value |= part << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Damaged)
}

pub(super) fn read_signed(bytes: &mut &[u8]) -> Result<i64, Damaged> {
    let folded = read(bytes)?;
    Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_as_written() {
        for value in [0, 1, 63, 64, 127, 128, 300, u64::MAX / 2, u64::MAX] {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            assert_eq!(read(&mut bytes.as_slice()), Ok(value));
        }
        for value in [0, -1, 1, -64, 63, 64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            write_signed(&mut bytes, value);
            assert_eq!(read_signed(&mut bytes.as_slice()), Ok(value));
            assert_eq!(bytes.len() == 1, (-64..64).contains(&value));
        }
    }

    #[test]
    fn what_is_cut_or_endless_is_damaged() {
        assert_eq!(read(&mut [0x80].as_slice()), Err(Damaged));
        assert_eq!(read(&mut [0xff; 11].as_slice()), Err(Damaged));
        assert_eq!(read(&mut [].as_slice()), Err(Damaged));
    }
}
