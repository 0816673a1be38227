//! Chunks of zstd frames: each a zstd frame of its own, with its size and a checksum.
//!
//! A frame of a checkpoint is the bytes of its buffers end to end, cut into chunks of up to 2 MiB.
//! A chunk is two u32, the bytes it holds and the bytes it takes, and one zstd frame that has a
//! content size and a content checksum.

use zstd_safe::{CCtx, CParameter, DCtx, ResetDirective};

use crate::error::WriteError;

/// The most bytes in a chunk that a reader accepts.
pub(crate) const CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// The bytes before each zstd frame that say how long it and its content are.
pub(crate) const PREFIX_BYTES: usize = 8;

/// The most bytes that the zstd frame of `chunk` bytes may have.
pub(crate) fn frame_max(chunk: usize) -> usize {
    zstd_safe::compress_bound(chunk)
}

/// Compresses chunks.
pub(crate) struct Compressor(CCtx<'static>);

impl Compressor {
    pub(crate) fn new(level: i32) -> Result<Self, WriteError> {
        let mut context = CCtx::try_create().ok_or(WriteError::Compressor)?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::ChecksumFlag(true),
            CParameter::ContentSizeFlag(true),
        ] {
            context.set_parameter(parameter).map_err(|_| WriteError::Compressor)?;
        }
        Ok(Self(context))
    }

    /// Appends `content`, of 1 byte to 2 MiB, as a chunk.
    pub(crate) fn append(&mut self, content: &[u8], to: &mut Vec<u8>) -> Result<(), WriteError> {
        let start = to.len();
        let most = frame_max(content.len()).saturating_add(PREFIX_BYTES);
        to.try_reserve(most).map_err(|_| WriteError::Memory { bytes: most })?;
        to.resize(start.saturating_add(most), 0);
        let chunk = to.get_mut(start..).unwrap_or_default();
        let Some((prefix, frame)) = chunk.split_first_chunk_mut::<PREFIX_BYTES>() else {
            return Err(WriteError::Compressor);
        };
        let compressed = self.0.compress2(frame, content).map_err(|_| WriteError::Compressor)?;
        let sizes = [content.len(), compressed].map(|size| u32::try_from(size).unwrap_or_default());
        for (to, byte) in prefix.iter_mut().zip(sizes.into_iter().flat_map(u32::to_le_bytes)) {
            *to = byte;
        }
        to.truncate(start.saturating_add(PREFIX_BYTES).saturating_add(compressed));
        Ok(())
    }
}

/// The bytes that a chunk holds and takes.
pub(crate) const fn sizes(prefix: [u8; PREFIX_BYTES]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = prefix;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Decompresses chunks.
pub(crate) struct Decompressor {
    context: DCtx<'static>,
    content: Vec<u8>,
}

impl Decompressor {
    pub(crate) fn new() -> Result<Self, usize> {
        // What the library asks for on its own account.
        let context = DCtx::try_create().ok_or(128 * 1024_usize)?;
        Ok(Self { context, content: Vec::new() })
    }

    /// Makes room for a chunk of `bytes` bytes, at most 2 MiB.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), usize> {
        if self.content.len() < bytes {
            let more = bytes.saturating_sub(self.content.len());
            self.content.try_reserve_exact(more).map_err(|_| more)?;
            self.content.resize(bytes, 0);
        }
        Ok(())
    }

    /// Decompresses a zstd frame to exactly `bytes` bytes, for which there is room.
    ///
    /// `None` if that cannot be done, or if the frame is without checksum.
    pub(crate) fn decompress(&mut self, frame: &[u8], bytes: usize) -> Option<&[u8]> {
        const DESCRIPTOR_AT: usize = 4;
        const HAS_CHECKSUM: u8 = 1 << 2;
        if frame.get(DESCRIPTOR_AT)? & HAS_CHECKSUM == 0
            || zstd_safe::find_frame_compressed_size(frame).ok()? != frame.len()
            || zstd_safe::get_frame_content_size(frame).ok()?? != bytes as u64
        {
            return None;
        }
        let to = self.content.get_mut(..bytes)?;
        let found = self.context.decompress(to, frame);
        if found != Ok(bytes) {
            self.context.reset(ResetDirective::SessionOnly).ok()?;
            return None;
        }
        Some(to)
    }

    /// What was decompressed last.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }
}
