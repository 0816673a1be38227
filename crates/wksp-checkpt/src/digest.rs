//! The digest of a checkpoint, and the places where existing readers let it lie.
//!
//! It is the CRC-32 of the checkpoint, which tells damage, not malice.
//! In v1 it stands behind the final tag, in a v2 file at the end of the user info, and in a v2
//! stream or with zstd, where nothing can be patched, in volumes without allocations, one for each
//! bit.
//! A file with a digest in the user info has a second volume without groups, to say so.

use std::ops::Range;

use crc32fast::Hasher;

use crate::control::Control;
use crate::error::{Problem, ReadError};
use crate::provenance::INFO_MAX;
use crate::source::ReadAt;

/// The digest in the user info: a text with digits that count as '0' in the digest.
const MARK_START: &[u8] = b" [wksp-digest crc32:";
const MARK_DIGITS: usize = 8;
const MARK_END: &[u8] = b":wksp-digest]";
const MARK_BYTES: usize = MARK_START.len() + MARK_DIGITS + MARK_END.len();

/// The digest behind a v1 stream: this, the digest, and its complement.
const TRAILER_MAGIC: [u8; 8] = *b"WKSPCRC1";
pub(crate) const TRAILER_BYTES: usize = 16;

/// The digest in volumes: these bits, then those of the digest, lowest first.
const VOLUME_MAGIC: u32 = u32::from_le_bytes(*b"wksp");
pub(crate) const VOLUME_BITS: usize = 64;

/// What protects a checkpoint against damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// Nothing: damage of the data of allocations cannot be told.
    None,
    /// A digest of the checkpoint.
    Digest(u32),
    /// A checksum in each compressed chunk, which does not say that it is the right chunk.
    Chunks,
}

/// Where a digest is, and which bytes it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: u32,
    /// The digest is of the bytes before this offset.
    pub(crate) covered_bytes: u64,
    /// Where digits lie that count as '0'.
    pub(crate) digits_at: Option<u64>,
}

/// Appends a mark without digest to the user info, of which the end is cut off if need be.
pub(crate) fn mark(user_info: &[u8]) -> Vec<u8> {
    let kept = user_info.len().min(INFO_MAX.saturating_sub(MARK_BYTES));
    let mut marked = user_info.get(..kept).unwrap_or_default().to_vec();
    marked.extend_from_slice(MARK_START);
    marked.extend_from_slice(&[b'0'; MARK_DIGITS]);
    marked.extend_from_slice(MARK_END);
    marked
}

/// How many bytes before the end of the user info, with its final 0, the digits begin.
pub(crate) const DIGITS_BEFORE_END: u64 = (MARK_DIGITS + MARK_END.len() + 1) as u64;

/// The digits of a digest.
pub(crate) fn digits(digest: u32) -> [u8; MARK_DIGITS] {
    const HEXADECIMAL: [u8; 16] = *b"0123456789abcdef";
    let mut digits = [0; MARK_DIGITS];
    let mut rest = digest;
    for digit in digits.iter_mut().rev() {
        *digit = HEXADECIMAL.get((rest & 15) as usize).copied().unwrap_or_default();
        rest >>= 4;
    }
    digits
}

/// Splits the user info as stored into the user's text and the digest.
///
/// An error if what stands there was a mark once: most of it is still there.
pub(crate) fn unmark(user_info: &[u8]) -> Result<(&[u8], Option<u32>), Problem> {
    let Some(start) = user_info.len().checked_sub(MARK_BYTES) else {
        return Ok((user_info, None));
    };
    let (text, mark) = user_info.split_at_checked(start).unwrap_or((user_info, &[]));
    let expected = MARK_START.iter().map(Some);
    let expected =
        expected.chain(std::iter::repeat_n(None, MARK_DIGITS)).chain(MARK_END.iter().map(Some));
    let same = mark.iter().zip(expected).filter(|(found, expected)| Some(*found) == *expected);
    let same = same.count().saturating_add(MARK_DIGITS);
    let digits = mark.get(MARK_START.len()..MARK_START.len().saturating_add(MARK_DIGITS));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digest = digits
        .filter(|digits| digits.iter().all(is_digit))
        .and_then(|digits| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
    match digest {
        Some(digest) if same == MARK_BYTES => Ok((text, Some(digest))),
        _ if same > MARK_BYTES / 2 => Err(Problem::DigestMark),
        _ => Ok((user_info, None)),
    }
}

/// What stands behind a v1 stream.
pub(crate) fn trailer(digest: u32) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    let words = [digest, !digest].into_iter().flat_map(u32::to_le_bytes);
    for (to, byte) in trailer.iter_mut().zip(TRAILER_MAGIC.into_iter().chain(words)) {
        *to = byte;
    }
    trailer
}

/// Reads what stands behind a v1 stream.
pub(crate) fn of_trailer(found: &[u8]) -> Result<Option<u32>, Problem> {
    if found.is_empty() {
        return Ok(None);
    }
    let digest = found.get(TRAILER_MAGIC.len()..).and_then(|words| words.first_chunk().copied());
    match digest.map(u32::from_le_bytes) {
        Some(digest) if found == trailer(digest) => Ok(Some(digest)),
        _ => Err(Problem::TrailingBytes),
    }
}

/// The bits for which volumes are written, in their order.
pub(crate) fn volume_bits(digest: u32) -> impl Iterator<Item = bool> {
    let word = u64::from(digest) << 32 | u64::from(VOLUME_MAGIC);
    (0..VOLUME_BITS).map(move |bit| word >> bit & 1 == 1)
}

/// The digest of which the bits are, `None` if they are not of one.
pub(crate) fn of_volume_bits(bits: impl Iterator<Item = bool>) -> Option<u32> {
    let (mut word, mut count) = (0_u64, 0_usize);
    for bit in bits.take(VOLUME_BITS) {
        word |= u64::from(bit) << count;
        count = count.saturating_add(1);
    }
    let [m0, m1, m2, m3, d0, d1, d2, d3] = word.to_le_bytes();
    (count == VOLUME_BITS && u32::from_le_bytes([m0, m1, m2, m3]) == VOLUME_MAGIC)
        .then(|| u32::from_le_bytes([d0, d1, d2, d3]))
}

/// How many bytes are read at a time; they should still be in the cache when they are used.
const BLOCK_BYTES: usize = 128 * 1024;

impl Found {
    /// Checks that the digits that count as '0' are those that were taken for the digest.
    pub(crate) fn check_digits(&self, source: &dyn ReadAt) -> Result<(), ReadError> {
        let Some(offset) = self.digits_at else { return Ok(()) };
        let mut stored = [0; MARK_DIGITS];
        source
            .read_at(offset, &mut stored)
            .map_err(|source| ReadError::Source { offset, source })?;
        if stored == digits(self.digest) { Ok(()) } else { Err(Problem::DigestMark.at(offset)) }
    }

    /// Hashes bytes of the source, which lie at `offset`, with the digits as '0'.
    pub(crate) fn hash(&self, offset: u64, bytes: &[u8], hasher: &mut Hasher) {
        let within = |at: u64| {
            usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len())
        };
        let digits = self.digits_at.map_or(bytes.len()..bytes.len(), |at| {
            within(at)..within(at.saturating_add(MARK_DIGITS as u64))
        });
        hasher.update(bytes.get(..digits.start).unwrap_or_default());
        hasher.update([b'0'; MARK_DIGITS].get(..digits.len()).unwrap_or_default());
        hasher.update(bytes.get(digits.end..).unwrap_or_default());
    }
}

/// Passes the bytes of a range of the source to `each` in blocks, each with its offset.
pub(crate) fn blocks(
    source: &dyn ReadAt,
    range: Range<u64>,
    control: &Control<'_>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let room = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES);
    let bytes = room(range.end.saturating_sub(range.start));
    let mut block = Vec::new();
    block.try_reserve_exact(bytes).map_err(|_| ReadError::Memory { bytes })?;
    block.resize(bytes, 0);
    let mut offset = range.start;
    while let Some(left) = range.end.checked_sub(offset).filter(|&left| left > 0) {
        control.check()?;
        let bytes = block.get_mut(..room(left)).unwrap_or_default();
        source.read_at(offset, bytes).map_err(|source| ReadError::Source { offset, source })?;
        each(offset, bytes)?;
        offset = offset.saturating_add(bytes.len() as u64);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "sizes in tests are small")]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_off_as_it_was_put_on() {
        for text in [&b""[..], b"words", &[b'x'; INFO_MAX]] {
            let mut marked = mark(text);
            assert!(marked.len() <= INFO_MAX);
            let at = marked.len() + 1 - DIGITS_BEFORE_END as usize;
            marked[at..at + MARK_DIGITS].copy_from_slice(&digits(0x0123_ABCF));
            let kept = text.len().min(INFO_MAX - MARK_BYTES);
            assert_eq!(unmark(&marked), Ok((&text[..kept], Some(0x0123_ABCF))));
            for bit in 0..8 * MARK_BYTES {
                let mut flipped = marked.clone();
                let at = marked.len() - MARK_BYTES + bit / 8;
                flipped[at] ^= 1 << (bit % 8);
                match unmark(&flipped) {
                    Err(Problem::DigestMark) => {}
                    found => assert_ne!(found.unwrap().1.unwrap(), 0x0123_ABCF),
                }
            }
        }
        assert_eq!(unmark(b"golden case"), Ok((&b"golden case"[..], None)));
        let longer = b"a text that is longer than a mark but is no mark at all";
        assert_eq!(unmark(longer), Ok((&longer[..], None)));
    }

    #[test]
    fn trailers_and_volumes_come_back() {
        assert_eq!(of_trailer(&trailer(0xDEAD_BEEF)), Ok(Some(0xDEAD_BEEF)));
        assert_eq!(of_trailer(b""), Ok(None));
        assert_eq!(of_trailer(b"\0"), Err(Problem::TrailingBytes));
        for bit in 0..8 * TRAILER_BYTES {
            let mut flipped = trailer(0xDEAD_BEEF);
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(of_trailer(&flipped), Err(Problem::TrailingBytes));
        }
        assert_eq!(of_volume_bits(volume_bits(0xDEAD_BEEF)), Some(0xDEAD_BEEF));
        assert_eq!(of_volume_bits(volume_bits(0).skip(1)), None);
        assert_eq!(of_volume_bits(std::iter::repeat(true)), None);
    }
}
