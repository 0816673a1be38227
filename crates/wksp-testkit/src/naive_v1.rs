//! Reads the v1 checkpoint stream.

use crate::checkpoint::{Checkpoint, Collector, Metadata, Problem, ReadError};
use crate::cursor::Cursor;
use crate::image::{Used, region_name};

const MAGIC: u64 = 0xF17E_DA2C_3731_C591;
const STYLE: u64 = 1;

/// Longest name and longest of the six short strings.
const SHORT_BYTES: u64 = 39;
/// Longest build info and user info.
const INFO_BYTES: u64 = 16383;

/// Reads a v1 checkpoint from the first byte of `file`.
///
/// Bytes behind the final tag are not looked at; [`Checkpoint::end`] tells where they start.
///
/// # Errors
///
/// The first byte at which the stream stops being a valid v1 checkpoint.
pub fn read(file: &[u8]) -> Result<Checkpoint, ReadError> {
    let mut cursor = Cursor::at(file, 0);
    expect(&mut cursor, MAGIC, Problem::Magic)?;
    expect(&mut cursor, STYLE, Problem::Style)?;
    let before_seed = cursor.clone();
    let seed = svw(&mut cursor)?;
    let seed = u32::try_from(seed).map_err(|_| before_seed.error(Problem::Seed(seed)))?;
    let part_max = svw(&mut cursor)?;
    let data_max = svw(&mut cursor)?;
    let mut collector =
        Collector::new(part_max, data_max).map_err(|problem| cursor.error(problem))?;
    let ids = metadata_ids(&mut cursor)?;
    let before_name = cursor.clone();
    let name =
        name(&string(&mut cursor, SHORT_BYTES)?).ok_or_else(|| before_name.error(Problem::Name))?;
    let metadata = Metadata {
        app: string(&mut cursor, SHORT_BYTES)?,
        thread: string(&mut cursor, SHORT_BYTES)?,
        host: string(&mut cursor, SHORT_BYTES)?,
        cpu: string(&mut cursor, SHORT_BYTES)?,
        group: string(&mut cursor, SHORT_BYTES)?,
        user: string(&mut cursor, SHORT_BYTES)?,
        build_info: string(&mut cursor, INFO_BYTES)?,
        user_info: string(&mut cursor, INFO_BYTES)?,
        ..ids
    };
    loop {
        let start = cursor.clone();
        let tag = svw(&mut cursor)?;
        if tag == 0 {
            break;
        }
        let lo = svw(&mut cursor)?;
        let bytes = svw(&mut cursor)?;
        let used = Used { lo, hi: lo.saturating_add(bytes), tag };
        let bytes = collector.admit(used).map_err(|problem| start.error(problem))?;
        collector.fill(lo, cursor.take(bytes)?.to_vec());
    }
    let allocations = collector.into_allocations();
    let end = cursor.offset();
    Ok(Checkpoint { name, seed, part_max, data_max, metadata, allocations, end })
}

fn expect(
    cursor: &mut Cursor<'_>,
    expected: u64,
    problem: impl Fn(u64) -> Problem,
) -> Result<(), ReadError> {
    let start = cursor.clone();
    match svw(cursor)? {
        found if found == expected => Ok(()),
        found => Err(start.error(problem(found))),
    }
}

fn metadata_ids(cursor: &mut Cursor<'_>) -> Result<Metadata, ReadError> {
    Ok(Metadata {
        wall_clock_ns: svw(cursor)?.cast_signed(),
        app_id: svw(cursor)?,
        thread_id: svw(cursor)?,
        host_id: svw(cursor)?,
        cpu_id: svw(cursor)?,
        group_id: svw(cursor)?,
        tid: svw(cursor)?,
        user_id: svw(cursor)?,
        ..Metadata::default()
    })
}

fn string(cursor: &mut Cursor<'_>, limit: u64) -> Result<Vec<u8>, ReadError> {
    let start = cursor.clone();
    let length = svw(cursor)?;
    if length > limit {
        return Err(start.error(Problem::StringLength(length)));
    }
    let bytes = cursor.take(length)?;
    if bytes.contains(&0) {
        return Err(start.error(Problem::StringNul));
    }
    Ok(bytes.to_vec())
}

fn name(bytes: &[u8]) -> Option<String> {
    let mut field = [0; 40];
    field.get_mut(..bytes.len())?.copy_from_slice(bytes);
    region_name(&field)
}

/// One row of the table of widths: how many bits the marks at either end of the integer take.
struct Width {
    bytes: u64,
    low_bits: u32,
    high_bits: u32,
    high_mark: u128,
}

/// Reads one SVW integer of any well-formed width, the shortest or not.
fn svw(cursor: &mut Cursor<'_>) -> Result<u64, ReadError> {
    let start = cursor.clone();
    let first = cursor.peek()?;
    let (bytes, low_bits, high_bits, high_mark) = match first & 0b1111 {
        low if low & 0b1 == 0 => (1, 1, 1, 0b0),
        low if low & 0b111 == 0b001 => (2, 3, 3, 0b100),
        low if low & 0b111 == 0b101 => (3, 3, 3, 0b101),
        0b0011 => (4, 4, 4, 0b1100),
        0b1011 => (5, 4, 4, 0b1101),
        0b0111 => (8, 4, 4, 0b1110),
        _ => (9, 4, 4, 0b1111),
    };
    let width = Width { bytes, low_bits, high_bits, high_mark };
    let mut word = [0; 16];
    for (into, from) in word.iter_mut().zip(cursor.take(width.bytes)?) {
        *into = *from;
    }
    value(u128::from_le_bytes(word), &width).ok_or_else(|| start.error(Problem::Svw))
}

fn value(word: u128, width: &Width) -> Option<u64> {
    let bits = u32::try_from(width.bytes.checked_mul(8)?).ok()?;
    let below_mark = bits.checked_sub(width.high_bits)?;
    if word.checked_shr(below_mark)? != width.high_mark {
        return None;
    }
    let mark = width.high_mark.checked_shl(below_mark)?;
    u64::try_from((word ^ mark).checked_shr(width.low_bits)?).ok()
}

#[cfg(test)]
mod tests {
    use super::svw;
    use crate::checkpoint::Problem;
    use crate::cursor::Cursor;

    /// The table of the format: bytes, exclusive bound, marks, shift.
    const TABLE: [(usize, u128, u128, u32); 7] = [
        (1, 1 << 6, 0, 1),
        (2, 1 << 10, 0x8001, 3),
        (3, 1 << 18, 0x00A0_0005, 3),
        (4, 1 << 24, 0xC000_0003, 4),
        (5, 1 << 32, 0x00D0_0000_000B, 4),
        (8, 1 << 56, 0xE000_0000_0000_0007, 4),
        (9, 1 << 64, 0x00F0_0000_0000_0000_000F, 4),
    ];

    #[test]
    fn every_width_is_read_shortest_or_not() {
        for (bytes, bound, marks, shift) in TABLE {
            for value in [0, 1, 2, bound / 3, bound / 2, bound - 1] {
                let word = (marks | value << shift).to_le_bytes();
                let mut cursor = Cursor::at(&word, 0);
                assert_eq!(u128::from(svw(&mut cursor).unwrap()), value, "{bytes} bytes");
                assert_eq!(cursor.offset(), bytes);
                let mut cursor = Cursor::at(&word[..bytes - 1], 0);
                assert_eq!(svw(&mut cursor).unwrap_err().problem, Problem::UnexpectedEnd);
            }
        }
    }

    #[test]
    fn ends_that_contradict_each_other_are_refused() {
        for word in [&[0x80][..], &[0x01, 0x00], &[0x01, 0xFF], &[0x03, 0, 0, 0xD0]] {
            let mut cursor = Cursor::at(word, 0);
            assert_eq!(svw(&mut cursor).unwrap_err().problem, Problem::Svw);
        }
    }
}
