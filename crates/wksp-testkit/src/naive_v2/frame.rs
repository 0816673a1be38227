//! Takes buffers out of one frame.

use crate::checkpoint::{Problem, ReadError};
use crate::cursor::Cursor;
use crate::lz4_block::{WINDOW_BYTES, decompress};

use super::{Frame, FrameKind};

const CHUNK_BYTES: u64 = 65536;

/// How the buffers of a frame are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameStyle {
    /// Back to back.
    Raw,
    /// In chunks of at most 65536 bytes, each a linked LZ4 block behind its compressed size.
    Lz4,
}

impl FrameStyle {
    pub(super) fn from_number(number: u32) -> Result<Self, Problem> {
        match number {
            1 => Ok(Self::Raw),
            2 => Ok(Self::Lz4),
            _ => Err(Problem::FrameStyle(number)),
        }
    }
}

/// Reads the buffers of one frame in order; the caller knows their sizes.
pub(super) struct FrameReader<'a> {
    start: usize,
    cursor: Cursor<'a>,
    style: FrameStyle,
    /// The last bytes that the frame has yielded, for LZ4 blocks to refer to.
    window: Vec<u8>,
}

impl<'a> FrameReader<'a> {
    pub(super) fn at(file: &'a [u8], offset: usize, style: FrameStyle) -> Self {
        Self { start: offset, cursor: Cursor::at(file, offset), style, window: Vec::new() }
    }

    pub(super) fn error(&self, problem: Problem) -> ReadError {
        self.cursor.error(problem)
    }

    /// Returns the offset behind the last buffer taken.
    pub(super) fn end(&self) -> usize {
        self.cursor.offset()
    }

    /// Describes the frame, once its last buffer is taken.
    pub(super) fn describe(&self, kind: FrameKind) -> Frame {
        let size_bytes = self.end().saturating_sub(self.start);
        Frame { offset: self.start, size_bytes, kind }
    }

    pub(super) fn buffer(&mut self, bytes: u64) -> Result<Vec<u8>, ReadError> {
        match self.style {
            FrameStyle::Raw => Ok(self.cursor.take(bytes)?.to_vec()),
            FrameStyle::Lz4 => self.chunks(bytes),
        }
    }

    fn chunks(&mut self, bytes: u64) -> Result<Vec<u8>, ReadError> {
        let mut buffer = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let chunk = left.min(CHUNK_BYTES);
            buffer.extend(self.chunk(usize::try_from(chunk).unwrap_or(usize::MAX))?);
            left = left.saturating_sub(chunk);
        }
        Ok(buffer)
    }

    fn chunk(&mut self, size: usize) -> Result<Vec<u8>, ReadError> {
        let start = self.cursor.clone();
        let [low, middle, high] = self.cursor.array()?;
        let compressed = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let limit = size.saturating_add(size / 255).saturating_add(19);
        if compressed == 0 || compressed.saturating_add(3) > limit {
            return Err(start.error(Problem::ChunkSize(compressed)));
        }
        let block = self.cursor.take(compressed as u64)?;
        let chunk = decompress(block, &self.window, size)
            .map_err(|error| start.error(Problem::Lz4(error)))?;
        self.window.extend(&chunk);
        let stale = self.window.len().saturating_sub(WINDOW_BYTES);
        self.window.drain(..stale);
        Ok(chunk)
    }

    pub(super) fn words<const N: usize>(&mut self) -> Result<[u64; N], ReadError> {
        let buffer = self.buffer((N as u64).saturating_mul(8))?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(words_in(&buffer)) {
            *word = bytes;
        }
        Ok(words)
    }
}

/// Splits a buffer into little-endian words; a rest of less than 8 bytes is left out.
pub(super) fn words_in(buffer: &[u8]) -> impl Iterator<Item = u64> {
    let (words, _) = buffer.as_chunks();
    words.iter().map(|bytes| u64::from_le_bytes(*bytes))
}
