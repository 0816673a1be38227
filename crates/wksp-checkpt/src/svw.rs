//! Integers of symmetric variable width, of which the v1 format is made.

/// The most bytes that an integer takes.
pub(crate) const BYTES_MAX: usize = 9;

/// A width: how many bytes, and the marks in the low bits of the first and the high of the last.
struct Width {
    bytes: u32,
    low_bits: u32,
    low_mark: u128,
    high_bits: u32,
    high_mark: u128,
}

const fn width(bytes: u32, (low_bits, low_mark): (u32, u128), high: (u32, u128)) -> Width {
    Width { bytes, low_bits, low_mark, high_bits: high.0, high_mark: high.1 }
}

/// All widths, narrowest first.
const WIDTHS: [Width; 7] = [
    width(1, (1, 0b0), (1, 0b0)),
    width(2, (3, 0b001), (3, 0b100)),
    width(3, (3, 0b101), (3, 0b101)),
    width(4, (4, 0b0011), (4, 0b1100)),
    width(5, (4, 0b1011), (4, 0b1101)),
    width(8, (4, 0b0111), (4, 0b1110)),
    width(9, (4, 0b1111), (4, 0b1111)),
];

impl Width {
    #[expect(clippy::arithmetic_side_effects, reason = "the table has 1 to 9 bytes, 2 to 8 marks")]
    const fn value_bits(&self) -> u32 {
        8 * self.bytes - self.low_bits - self.high_bits
    }

    #[expect(clippy::arithmetic_side_effects, reason = "the table has 1 to 9 bytes, 1 to 4 marks")]
    const fn high_shift(&self) -> u32 {
        8 * self.bytes - self.high_bits
    }

    const fn mask(&self) -> u128 {
        !(u128::MAX << self.value_bits())
    }
}

/// Appends the shortest encoding of `value`.
pub(crate) fn encode(value: u64, to: &mut Vec<u8>) {
    let value = u128::from(value);
    let Some(width) = WIDTHS.iter().find(|width| value <= width.mask()) else { return };
    let word = width.high_mark << width.high_shift() | value << width.low_bits | width.low_mark;
    to.extend(word.to_le_bytes().iter().take(width.bytes as usize));
}

/// How many bytes an integer has that begins with `first`.
pub(crate) fn width_of(first: u8) -> usize {
    let is = |width: &&Width| {
        let mask = !(u128::MAX << width.low_bits);
        u128::from(first) & mask == width.low_mark
    };
    WIDTHS.iter().find(is).map_or(BYTES_MAX, |width| width.bytes as usize)
}

/// The value of an encoding of any width, `None` if its two ends contradict each other.
pub(crate) fn decode(bytes: &[u8]) -> Option<u64> {
    let mut word = [0; 16];
    word.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let word = u128::from_le_bytes(word);
    let width = WIDTHS.iter().find(|width| width.bytes as usize == bytes.len())?;
    let low_mask = !(u128::MAX << width.low_bits);
    if word & low_mask != width.low_mark || word >> width.high_shift() != width.high_mark {
        return None;
    }
    u64::try_from(word >> width.low_bits & width.mask()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_format_comes_out() {
        for (value, bytes, word) in [
            (0, 1, 0_u128),
            (63, 1, 63 << 1),
            (64, 2, 0x8001 | 64 << 3),
            ((1 << 10) - 1, 2, 0x8001 | 0x3FF << 3),
            (1 << 10, 3, 0x00A0_0005 | 1 << 13),
            (1 << 18, 4, 0xC000_0003 | 1 << 22),
            (1 << 24, 5, 0x00D0_0000_000B | 1 << 28),
            (1 << 32, 8, 0xE000_0000_0000_0007 | 1 << 36),
            (1 << 56, 9, 0x00F0_0000_0000_0000_000F | 1 << 60),
            (u64::MAX, 9, 0x00F0_0000_0000_0000_000F | u128::from(u64::MAX) << 4),
        ] {
            let mut encoded = Vec::new();
            encode(value, &mut encoded);
            assert_eq!(encoded, word.to_le_bytes()[..bytes], "{value}");
            assert_eq!(width_of(encoded[0]), bytes);
            assert_eq!(decode(&encoded), Some(value));
        }
    }

    #[test]
    fn any_well_formed_width_is_read_and_no_other() {
        assert_eq!(decode(&0x8001_u16.to_le_bytes()), Some(0));
        assert_eq!(decode(&(0xC000_0003_u32 | 5 << 4).to_le_bytes()), Some(5));
        for bytes in [&[0x80][..], &[0x01, 0x00], &[0x01, 0xFF], &[0x03, 0, 0, 0xD0], &[], &[7; 6]]
        {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }
}
