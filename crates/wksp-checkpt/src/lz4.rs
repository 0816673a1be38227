//! Chunks of LZ4 frames: blocks of at most 64 KiB that may refer back to the 64 KiB before them.
//!
//! The library is called directly, since what wraps it copies the 64 KiB behind every chunk, even
//! one of ten bytes.
//!
//! # Safety
//!
//! Three functions of the library are called, under the conditions of its header lz4.h:
//!
//! 1. Source and destination are valid for the sizes that are passed with them, which fit an `int`,
//!    and do not overlap.
//! 2. The stream comes from `LZ4_createStream` and is freed once. What it was given is readable and
//!    unchanged as long as it can refer to it: 64 KiB back. [`Compressor`] owns those bytes, and
//!    makes a new stream before it moves or overwrites any of them.
//! 3. The dictionary is valid for its size. That it ends where the destination begins is allowed,
//!    and is the fastest way.
#![expect(unsafe_code, reason = "the library is written in C; see the paragraph above")]

use std::ffi::{c_char, c_int};
use std::ptr::NonNull;
use std::slice;

use lz4_sys::{LZ4_createStream, LZ4_freeStream, LZ4StreamEncode};

use crate::error::WriteError;

unsafe extern "C" {
    // As in lz4.h of version 1.10; the crate does not declare them.
    fn LZ4_compress_fast_continue(
        stream: *mut LZ4StreamEncode,
        source: *const c_char,
        destination: *mut c_char,
        source_bytes: c_int,
        destination_bytes: c_int,
        acceleration: c_int,
    ) -> c_int;
    fn LZ4_decompress_safe_usingDict(
        source: *const c_char,
        destination: *mut c_char,
        source_bytes: c_int,
        destination_bytes: c_int,
        dictionary: *const c_char,
        dictionary_bytes: c_int,
    ) -> c_int;
}

/// The most bytes in a chunk.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// The bytes before each block that say how long it is.
pub(crate) const PREFIX_BYTES: usize = 3;
/// How far back a block may refer.
const WINDOW_BYTES: usize = 64 * 1024;
/// 1 compresses best; what is larger is faster.
const ACCELERATION: c_int = 1;

/// The most bytes that a block of `chunk` bytes may have.
pub(crate) const fn block_max(chunk: usize) -> usize {
    chunk.saturating_add(chunk / 255).saturating_add(16)
}

/// A stream of the library's, freed on drop.
struct Stream(NonNull<LZ4StreamEncode>);

// SAFETY: a stream belongs to whoever holds it, and to no thread.
unsafe impl Send for Stream {}

impl Stream {
    fn new() -> Option<Self> {
        // SAFETY: no condition.
        NonNull::new(unsafe { LZ4_createStream() }).map(Self)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: obligation 2; this is the one time.
        unsafe { LZ4_freeStream(self.0.as_ptr()) };
    }
}

/// Compresses chunks, each with the ones before it as history.
#[derive(Default)]
pub(crate) struct Compressor {
    stream: Option<Stream>,
    /// What has been compressed, up to `end`, and room for what is to come.
    content: Vec<u8>,
    end: usize,
}

impl Compressor {
    /// Forgets the history, and makes room for chunks of `bytes` bytes in total.
    ///
    /// What the chunks are compressed to depends on them alone, not on what came before this call.
    pub(crate) fn begin(&mut self, bytes: usize) -> Result<(), WriteError> {
        self.stream = None;
        self.end = 0;
        if let Some(more) = bytes.checked_sub(self.content.len()) {
            self.content.try_reserve_exact(more).map_err(|_| WriteError::Memory { bytes })?;
            self.content.resize(bytes, 0);
        }
        self.stream = Some(Stream::new().ok_or(WriteError::Compressor)?);
        Ok(())
    }

    /// Has `fill` fill the next 1 ..= 65536 bytes, for which [`begin`](Self::begin) made room, and
    /// appends them as a chunk.
    pub(crate) fn append(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<()>,
        to: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let Self { stream: Some(stream), content, end } = self else {
            return Err(WriteError::Compressor);
        };
        let behind = end.checked_add(bytes).filter(|behind| bytes > 0 && *behind <= content.len());
        let (behind, chunk_bytes) =
            behind.zip(c_int::try_from(bytes).ok()).ok_or(WriteError::Compressor)?;
        // All pointers into the content come from this one, which is of all of it and outlives the
        // reference that is lent to `fill`: the library looks at what lies before the chunk.
        // SAFETY: `end` lies within `content`, as was just checked.
        let source = unsafe { content.as_mut_ptr().add(*end) };
        // SAFETY: `bytes` bytes from there on do as well, and are nobody else's meanwhile.
        fill(unsafe { slice::from_raw_parts_mut(source, bytes) }).ok_or(WriteError::Compressor)?;
        let start = to.len();
        let most = block_max(bytes).saturating_add(PREFIX_BYTES);
        to.try_reserve(most).map_err(|_| WriteError::Memory { bytes: most })?;
        to.extend_from_slice(&[0; PREFIX_BYTES]);
        let block = to.spare_capacity_mut();
        let block_bytes = c_int::try_from(block.len().min(most)).unwrap_or(0);
        // SAFETY: obligation 1: `source` is valid for the chunk, `block` for its length. Obligation 2
        // since `content` was last resized before the stream was made, and `end` has only grown.
        let compressed = unsafe {
            LZ4_compress_fast_continue(
                stream.0.as_ptr(),
                source.cast_const().cast(),
                block.as_mut_ptr().cast(),
                chunk_bytes,
                block_bytes,
                ACCELERATION,
            )
        };
        let compressed = usize::try_from(compressed).ok().filter(|&bytes| bytes > 0);
        let Some(compressed) = compressed else {
            // The stream counts the chunk as history all the same: it is of no more use.
            self.stream = None;
            return Err(WriteError::Compressor);
        };
        *end = behind;
        // SAFETY: the library has written so many bytes of the spare capacity.
        unsafe { to.set_len(to.len().saturating_add(compressed)) };
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
    /// Begins without history, in memory of 512 KiB that is had once.
    pub(crate) fn new() -> Result<Self, usize> {
        let bytes = 8 * CHUNK_BYTES;
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
        let start = self.end;
        let end = start.checked_add(bytes).filter(|&end| end <= self.buffer.len())?;
        let window = start.min(WINDOW_BYTES);
        let (block_bytes, to_bytes, window_bytes) = (
            c_int::try_from(block.len()).ok()?,
            c_int::try_from(bytes).ok()?,
            c_int::try_from(window).ok()?,
        );
        // One pointer to the whole buffer: where the dictionary ends at the destination the library
        // reads it through the latter.
        // SAFETY: `start` lies within the buffer.
        let to = unsafe { self.buffer.as_mut_ptr().add(start) };
        // SAFETY: and so do the bytes before it.
        let dictionary = unsafe { to.sub(window) };
        // SAFETY: obligations 1 and 3: `bytes` bytes from `start` on and `window` bytes before it lie
        // within the buffer.
        let found = unsafe {
            LZ4_decompress_safe_usingDict(
                block.as_ptr().cast(),
                to.cast(),
                block_bytes,
                to_bytes,
                dictionary.cast_const().cast(),
                window_bytes,
            )
        };
        if found != to_bytes {
            return None;
        }
        self.end = end;
        self.buffer.get(start..end)
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
        let mut compressor = Compressor::default();
        let mut decompressor = Decompressor::new().unwrap();
        let mut whole = Vec::new();
        let fill = |to: &mut [u8]| {
            to.copy_from_slice(&content);
            Some(())
        };
        compressor.begin(21 * content.len()).unwrap();
        for round in 0..20 {
            let mut chunk = Vec::new();
            compressor.append(content.len(), fill, &mut chunk).unwrap();
            assert!(round == 0 || chunk.len() < 1000, "no match with the chunk before");
            let block = &chunk[PREFIX_BYTES..];
            assert_eq!(decompressor.decompress(block, content.len()).unwrap(), content);
            whole.extend(chunk);
        }
        // What refers back over the start of a frame is none of it.
        let mut repeated = Vec::new();
        compressor.append(content.len(), fill, &mut repeated).unwrap();
        assert_eq!(
            decompressor.decompress(&repeated[PREFIX_BYTES..], content.len()).unwrap(),
            content
        );
        let empty = compressor.append(0, |_| Some(()), &mut Vec::new());
        assert!(matches!(empty, Err(WriteError::Compressor)), "a chunk has a byte at least");
        let full = compressor.append(1, |_| Some(()), &mut Vec::new());
        assert!(matches!(full, Err(WriteError::Compressor)), "no room was made for it");
        decompressor.reset();
        assert_eq!(decompressor.decompress(&repeated[PREFIX_BYTES..], content.len()), None);

        // The same again is the same, whatever the compressor did before.
        let mut again = Vec::new();
        compressor.begin(20 * content.len()).unwrap();
        for _ in 0..20 {
            compressor.append(content.len(), fill, &mut again).unwrap();
        }
        assert!(again == whole);
    }
}
