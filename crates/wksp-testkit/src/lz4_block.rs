//! Decompresses one LZ4 block that may refer back to bytes before it, byte by byte.

use std::fmt;

/// Bytes before a block that it may refer to.
pub const WINDOW_BYTES: usize = 1 << 16;

/// Bytes at the end of a block that are literals always.
const LAST_LITERALS: usize = 5;
/// Distance that the start of every match keeps from the end of the block.
const MATCH_MARGIN: usize = 12;
const MIN_MATCH: usize = 4;

/// Why a block cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lz4Error {
    /// The block ends inside a sequence.
    Truncated,
    /// A run leads beyond the size of the uncompressed bytes.
    TooLong,
    /// A match refers to bytes before the window, or to itself.
    Distance {
        /// Distance that the match asks for.
        found: usize,
        /// Bytes there are to refer to.
        available: usize,
    },
    /// A match reaches into the end of the block, where the format allows literals only.
    EndOfBlock,
    /// The block ends before all uncompressed bytes are there.
    TooShort,
}

impl fmt::Display for Lz4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("block ends inside a sequence"),
            Self::TooLong => f.write_str("block yields too many bytes"),
            Self::Distance { found, available } => {
                write!(f, "match refers {found} bytes back, there are {available}")
            }
            Self::EndOfBlock => f.write_str("match reaches into the end of the block"),
            Self::TooShort => f.write_str("block yields too few bytes"),
        }
    }
}

impl std::error::Error for Lz4Error {}

/// Decompresses `block` to exactly `size` bytes, with `window` as the bytes before them.
///
/// Only the last [`WINDOW_BYTES`] of the window count.
/// The rules for the end of a block are enforced, as the reference decoder does: the last sequence
/// has literals only, the last 5 bytes are literals and no match starts in the last 12.
///
/// # Errors
///
/// The block breaks the LZ4 block format or has another size.
pub fn decompress(block: &[u8], window: &[u8], size: usize) -> Result<Vec<u8>, Lz4Error> {
    let history = window.get(window.len().saturating_sub(WINDOW_BYTES)..).unwrap_or(window);
    let mut bytes = history.to_vec();
    let target = history.len().saturating_add(size);
    let mut input = block.iter().copied();
    loop {
        let token = input.next().ok_or(Lz4Error::Truncated)?;
        for _ in 0..run_length(token >> 4, &mut input, size)? {
            if bytes.len() == target {
                return Err(Lz4Error::TooLong);
            }
            bytes.push(input.next().ok_or(Lz4Error::Truncated)?);
        }
        let Some(low) = input.next() else { break };
        let high = input.next().ok_or(Lz4Error::Truncated)?;
        let distance = usize::from(u16::from_le_bytes([low, high]));
        let length = run_length(token & 15, &mut input, size)?.saturating_add(MIN_MATCH);
        let start = bytes.len();
        if start.saturating_add(MATCH_MARGIN) > target
            || start.saturating_add(length).saturating_add(LAST_LITERALS) > target
        {
            return Err(Lz4Error::EndOfBlock);
        }
        for _ in 0..length {
            let source = bytes.len().checked_sub(distance).filter(|_| distance != 0);
            let byte = source.and_then(|source| bytes.get(source).copied());
            let available = start.min(WINDOW_BYTES);
            bytes.push(byte.ok_or(Lz4Error::Distance { found: distance, available })?);
        }
    }
    if bytes.len() != target {
        return Err(Lz4Error::TooShort);
    }
    Ok(bytes.split_off(history.len()))
}

fn run_length(
    nibble: u8,
    input: &mut impl Iterator<Item = u8>,
    limit: usize,
) -> Result<usize, Lz4Error> {
    let mut length = usize::from(nibble);
    if nibble < 15 {
        return Ok(length);
    }
    loop {
        let more = input.next().ok_or(Lz4Error::Truncated)?;
        length = length.saturating_add(usize::from(more));
        if length > limit {
            return Err(Lz4Error::TooLong);
        }
        if more < u8::MAX {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lz4Error, decompress};

    #[test]
    fn literals_and_matches_into_the_window() {
        assert_eq!(decompress(b"\x30abc", b"", 3).unwrap(), b"abc");
        assert_eq!(decompress(b"\x00", b"", 0).unwrap(), b"");
        // 2 literals, 5 bytes from 4 back (two in the window), 5 literals.
        let block = b"\x21ab\x04\x00\x5012345";
        assert_eq!(decompress(block, b"xyz", 12).unwrap_err(), Lz4Error::EndOfBlock);
        let block = b"\x21ab\x04\x00\x70-123456";
        assert_eq!(decompress(block, b"xyz", 14).unwrap(), b"abyzaby-123456");
        assert_eq!(
            decompress(block, b"z", 14).unwrap_err(),
            Lz4Error::Distance { found: 4, available: 3 }
        );
    }

    #[test]
    fn long_runs_and_overlapping_matches() {
        // 1 literal, a match of 4 + 15 + 255 + 1 bytes from 1 back, 5 literals.
        let block = b"\x1Fa\x01\x00\xFF\x01\x5012345";
        let bytes = decompress(block, b"", 281).unwrap();
        assert!(bytes[..276].iter().all(|&byte| byte == b'a'));
        assert_eq!(bytes[276..], *b"12345");
        assert_eq!(decompress(block, b"", 282).unwrap_err(), Lz4Error::TooShort);
        assert_eq!(decompress(block, b"", 280).unwrap_err(), Lz4Error::EndOfBlock);
    }

    #[test]
    fn malformed_blocks() {
        assert_eq!(decompress(b"", b"", 0).unwrap_err(), Lz4Error::Truncated);
        assert_eq!(decompress(b"\x30ab", b"", 3).unwrap_err(), Lz4Error::Truncated);
        assert_eq!(decompress(b"\x30abc", b"", 2).unwrap_err(), Lz4Error::TooLong);
        assert_eq!(decompress(b"\x30abc", b"", 4).unwrap_err(), Lz4Error::TooShort);
        assert_eq!(decompress(b"\xF0\xFF", b"", 3).unwrap_err(), Lz4Error::TooLong);
        let zero_distance = b"\x10a\x00\x00\x80abcdefgh";
        assert_eq!(
            decompress(zero_distance, b"", 13).unwrap_err(),
            Lz4Error::Distance { found: 0, available: 1 }
        );
    }
}
