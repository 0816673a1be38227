//! Chunks of LZ4 frames: blocks of at most 64 KiB that may refer back to the 64 KiB before them.

use lzzzz::lz4;

use crate::error::WriteError;

/// The most bytes in a chunk.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// The bytes before each block that say how long it is.
pub(crate) const PREFIX_BYTES: usize = 3;
/// How far back a block may refer.
const WINDOW_BYTES: usize = 64 * 1024;
/// The faster of the two ways to find matches that the library offers; larger is faster and worse.
const ACCELERATION: i32 = 1;

/// The most bytes that a block of `chunk` bytes may have.
pub(crate) const fn block_max(chunk: usize) -> usize {
    chunk.saturating_add(chunk / 255).saturating_add(16)
}

/// Compresses chunks, each with the ones before it as history.
pub(crate) struct Compressor(lz4::Compressor<'static>);

impl Compressor {
    /// Begins without history.
    pub(crate) fn new() -> Result<Self, WriteError> {
        lz4::Compressor::new().map(Self).map_err(|_| WriteError::Compressor)
    }

    /// Appends `chunk`, of 1 ..= 65536 bytes, as a chunk.
    pub(crate) fn append(&mut self, chunk: &[u8], to: &mut Vec<u8>) -> Result<(), WriteError> {
        let start = to.len();
        let most = block_max(chunk.len()).saturating_add(PREFIX_BYTES);
        to.try_reserve(most).map_err(|_| WriteError::Memory { bytes: most })?;
        to.extend_from_slice(&[0; PREFIX_BYTES]);
        let compressed = self.0.next_to_vec(chunk, to, ACCELERATION);
        let compressed = compressed.map_err(|_| WriteError::Compressor)?;
        set_prefix(to, start, compressed);
        Ok(())
    }
}

/// Appends `chunk`, of 1 ..= 65536 bytes, as a chunk that holds its bytes literally.
pub(crate) fn append_literal(chunk: &[u8], to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[0; PREFIX_BYTES]);
    match chunk.len().checked_sub(15) {
        None => to.push(u8::try_from(chunk.len()).unwrap_or_default() << 4),
        Some(rest) => {
            to.push(15 << 4);
            to.extend(std::iter::repeat_n(255, rest / 255));
            to.push(u8::try_from(rest % 255).unwrap_or_default());
        }
    }
    to.extend_from_slice(chunk);
    let compressed = to.len().saturating_sub(start).saturating_sub(PREFIX_BYTES);
    set_prefix(to, start, compressed);
}

fn set_prefix(to: &mut [u8], start: usize, compressed: usize) {
    let length = compressed.to_le_bytes();
    for (to, byte) in to.iter_mut().skip(start).zip(length).take(PREFIX_BYTES) {
        *to = byte;
    }
}

/// Decompresses the chunks of a frame one after the other.
#[derive(Debug)]
pub(crate) struct Decompressor {
    /// What was decompressed last, up to `end`.
    buffer: Vec<u8>,
    end: usize,
}

impl Decompressor {
    /// Begins without history, in memory of 256 KiB that is had once.
    pub(crate) fn new() -> Result<Self, usize> {
        let bytes = 4 * CHUNK_BYTES;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(bytes).map_err(|_| bytes)?;
        buffer.resize(bytes, 0);
        Ok(Self { buffer, end: 0 })
    }

    /// Forgets the history.
    pub(crate) const fn reset(&mut self) {
        self.end = 0;
    }

    /// Decompresses a block to exactly `bytes` bytes, at most 65536, `None` if that cannot be done.
    pub(crate) fn decompress(&mut self, block: &[u8], bytes: usize) -> Option<&[u8]> {
        if self.end.checked_add(bytes)? > self.buffer.len() {
            let from = self.end.checked_sub(WINDOW_BYTES)?;
            self.buffer.copy_within(from..self.end, 0);
            self.end = WINDOW_BYTES;
        }
        let (history, rest) = self.buffer.split_at_mut_checked(self.end)?;
        let window = history.get(history.len().saturating_sub(WINDOW_BYTES)..)?;
        let to = rest.get_mut(..bytes)?;
        let found = lz4::decompress_with_dict(block, to, window).ok()?;
        if found != bytes {
            return None;
        }
        self.end = self.end.checked_add(bytes)?;
        rest.get(..bytes)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "any bytes will do")]
mod tests {
    use super::*;

    #[test]
    fn literal_chunks_of_every_length_decompress() {
        let content: Vec<u8> = (0..CHUNK_BYTES).map(|at| (at * 7 / 3) as u8).collect();
        for bytes in [1, 14, 15, 16, 269, 270, 271, 525, 65535, 65536] {
            let mut chunk = Vec::new();
            append_literal(&content[..bytes], &mut chunk);
            assert!(chunk.len() - PREFIX_BYTES <= block_max(bytes));
            assert!(chunk.ends_with(&content[..bytes]));
            let mut decompressor = Decompressor::new().unwrap();
            let block = &chunk[PREFIX_BYTES..];
            assert_eq!(decompressor.decompress(block, bytes).unwrap(), &content[..bytes]);
        }
    }

    #[test]
    fn chunks_refer_back_over_the_whole_window() {
        // The farthest match is 65535 bytes back, so chunks of that size repeat each other.
        let content: Vec<u8> = (0..65_535_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        let mut compressor = Compressor::new().unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        for round in 0..20 {
            let mut chunk = Vec::new();
            compressor.append(&content, &mut chunk).unwrap();
            assert!(round == 0 || chunk.len() < 1000, "no match with the chunk before");
            let block = &chunk[PREFIX_BYTES..];
            assert_eq!(decompressor.decompress(block, content.len()).unwrap(), content);
        }
        decompressor.reset();
        let mut chunk = Vec::new();
        compressor.append(&content, &mut chunk).unwrap();
        assert_eq!(decompressor.decompress(&chunk[PREFIX_BYTES..], content.len()), None);
    }
}
