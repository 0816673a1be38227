//! Reading the buffers of a frame, of which the caller knows the sizes.

use crate::error::{Problem, ReadError};
use crate::input::{Input, array};
use crate::layout::{COMMAND_BYTES, Command};
use crate::style::FrameStyle;
use crate::{lz4, zstd};

/// How many raw bytes are passed on at a time.
const RAW_BYTES: usize = 65_536;

/// What a thread needs to read frames; its memory is had again and again.
pub(crate) struct Codec {
    kind: Kind,
}

enum Kind {
    Raw,
    Lz4(lz4::Decompressor),
    Zstd(Zstd),
}

/// A zstd frame between two buffers: the chunk at hand, and how much of it is left.
struct Zstd {
    decompressor: zstd::Decompressor,
    from: usize,
    to: usize,
    compressed: u64,
}

impl Codec {
    pub(crate) fn new(style: FrameStyle) -> Result<Self, ReadError> {
        let memory = |bytes| ReadError::Memory { bytes };
        let kind = match style {
            FrameStyle::Raw => Kind::Raw,
            FrameStyle::Lz4 => Kind::Lz4(lz4::Decompressor::new().map_err(memory)?),
            FrameStyle::Zstd => Kind::Zstd(Zstd {
                decompressor: zstd::Decompressor::new().map_err(memory)?,
                from: 0,
                to: 0,
                compressed: 0,
            }),
        };
        Ok(Self { kind })
    }

    /// The codec of a thread, made when it is needed first.
    pub(crate) fn get_or_new(
        slot: &mut Option<Self>,
        style: FrameStyle,
    ) -> Result<&mut Self, ReadError> {
        let codec = match slot.take() {
            Some(codec) => codec,
            None => Self::new(style)?,
        };
        Ok(slot.insert(codec))
    }
}

/// One frame.
pub(crate) struct Frame<'f> {
    input: &'f mut dyn Input,
    codec: &'f mut Codec,
}

impl<'f> Frame<'f> {
    /// Begins where the input is.
    pub(crate) const fn new(input: &'f mut dyn Input, codec: &'f mut Codec) -> Self {
        match &mut codec.kind {
            Kind::Raw => {}
            Kind::Lz4(decompressor) => decompressor.reset(),
            Kind::Zstd(zstd) => (zstd.from, zstd.to) = (0, 0),
        }
        Self { input, codec }
    }

    pub(crate) fn position(&self) -> u64 {
        self.input.position()
    }

    /// Passes the next buffer to `each` in pieces.
    pub(crate) fn each(
        &mut self,
        bytes: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut left = bytes;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = match &mut self.codec.kind {
                Kind::Raw => self.input.take(wanted.min(RAW_BYTES))?,
                Kind::Lz4(decompressor) => {
                    let offset = self.input.position();
                    let bytes = wanted.min(lz4::CHUNK_BYTES);
                    let compressed = lz4_prefix(self.input, bytes)?;
                    let block = self.input.take(compressed)?;
                    decompressor
                        .decompress(block, bytes)
                        .ok_or_else(|| Problem::Chunk.at(offset))?
                }
                Kind::Zstd(zstd) => {
                    if zstd.from == zstd.to {
                        zstd.next(self.input)?;
                    }
                    zstd.take(wanted)
                }
            };
            left = left.saturating_sub(piece.len() as u64);
            each(piece)?;
        }
        Ok(())
    }

    /// Passes over buffers at the end of the frame, and returns how many bytes they are stored in.
    ///
    /// Behind that nothing can be read from an LZ4 frame.
    pub(crate) fn skip(&mut self, bytes: u64) -> Result<u64, ReadError> {
        let (mut left, mut stored) = (bytes, 0_u64);
        match &mut self.codec.kind {
            Kind::Raw => {
                self.input.skip(bytes)?;
                stored = bytes;
            }
            Kind::Lz4(_) => {
                while left > 0 {
                    let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(lz4::CHUNK_BYTES);
                    let compressed = lz4_prefix(self.input, chunk)? as u64;
                    self.input.skip(compressed)?;
                    stored =
                        stored.saturating_add(compressed).saturating_add(lz4::PREFIX_BYTES as u64);
                    left = left.saturating_sub(chunk as u64);
                }
            }
            Kind::Zstd(zstd) => {
                while left > 0 {
                    if zstd.from == zstd.to {
                        zstd.next(self.input)?;
                    }
                    let wanted = usize::try_from(left).unwrap_or(usize::MAX);
                    let (whole, compressed) = (zstd.to as u64, zstd.compressed);
                    let count = zstd.take(wanted).len() as u64;
                    let share = compressed.saturating_mul(count).checked_div(whole).unwrap_or(0);
                    stored = stored.saturating_add(share);
                    left = left.saturating_sub(count);
                }
            }
        }
        Ok(stored)
    }

    /// Fills `to` with the next buffer.
    pub(crate) fn buffer(&mut self, to: &mut [u8]) -> Result<(), ReadError> {
        let mut done = 0_usize;
        let bytes = to.len() as u64;
        self.each(bytes, |piece| {
            let end = done.saturating_add(piece.len());
            if let Some(place) = to.get_mut(done..end) {
                place.copy_from_slice(piece);
            }
            done = end;
            Ok(())
        })
    }

    /// The next buffer as a command.
    pub(crate) fn command(&mut self) -> Result<Command, ReadError> {
        let offset = self.input.position();
        let mut bytes = [0; COMMAND_BYTES];
        self.buffer(&mut bytes)?;
        Command::of_bytes(bytes).map_err(|problem| problem.at(offset))
    }

    /// Checks that the frame ends here, and returns where that is.
    pub(crate) fn end(self) -> Result<u64, ReadError> {
        let position = self.input.position();
        match &self.codec.kind {
            Kind::Zstd(zstd) if zstd.from != zstd.to => Err(Problem::FrameEnd.at(position)),
            _ => Ok(position),
        }
    }
}

/// Reads the size of the block of a chunk of `bytes` bytes.
fn lz4_prefix(input: &mut dyn Input, bytes: usize) -> Result<usize, ReadError> {
    let offset = input.position();
    let [low, middle, high] = array::<{ lz4::PREFIX_BYTES }>(input)?;
    let compressed = u32::from_le_bytes([low, middle, high, 0]);
    match usize::try_from(compressed) {
        Ok(size @ 1..) if size <= lz4::block_max(bytes) => Ok(size),
        _ => {
            let compressed = u64::from(compressed);
            Err(Problem::ChunkSize { bytes: bytes as u64, compressed }.at(offset))
        }
    }
}

impl Zstd {
    /// Decompresses the next chunk.
    fn next(&mut self, input: &mut dyn Input) -> Result<(), ReadError> {
        let offset = input.position();
        let (bytes, compressed) = zstd::sizes(array(input)?);
        let wrong = || {
            let (bytes, compressed) = (u64::from(bytes), u64::from(compressed));
            Problem::ChunkSize { bytes, compressed }.at(offset)
        };
        let content = usize::try_from(bytes).map_err(|_| wrong())?;
        let taken = usize::try_from(compressed).map_err(|_| wrong())?;
        if content == 0 || content > zstd::CHUNK_BYTES || taken > zstd::frame_max(content) {
            return Err(wrong());
        }
        let frame = input.take(taken)?;
        self.decompressor.reserve(content).map_err(|bytes| ReadError::Memory { bytes })?;
        self.decompressor.decompress(frame, content).ok_or_else(|| Problem::Chunk.at(offset))?;
        let prefix = zstd::PREFIX_BYTES as u64;
        (self.from, self.to) = (0, content);
        self.compressed = u64::from(compressed).saturating_add(prefix);
        Ok(())
    }

    fn take(&mut self, wanted: usize) -> &[u8] {
        let from = self.from;
        self.from = from.saturating_add(wanted).min(self.to);
        self.decompressor.content().get(from..self.from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Stream;

    fn chunk(content: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::new();
        zstd::Compressor::new(1).unwrap().append(content, &mut chunk).unwrap();
        chunk
    }

    #[test]
    fn a_zstd_frame_ends_with_a_chunk() {
        let chunks = [chunk(&[1; 100]), chunk(&[2; 100])].concat();
        // Up to where it is read by one and passed over by another, and where it then ends.
        for (read, passed, end) in [
            (0, 0, Some(0)),
            (100, 0, Some(chunks.len() / 2)),
            (0, 100, Some(chunks.len() / 2)),
            (130, 70, Some(chunks.len())),
            (99, 0, None),
            (0, 101, None),
            (150, 49, None),
        ] {
            let mut codec = Codec::new(FrameStyle::Zstd).unwrap();
            let mut bytes = &chunks[..];
            let mut input = Stream::new(&mut bytes, None);
            let mut frame = Frame::new(&mut input, &mut codec);
            let mut content = vec![0; read];
            frame.buffer(&mut content).unwrap();
            let expected = (0..read).map(|at| if at < 100 { 1 } else { 2 });
            assert!(content.into_iter().eq(expected));
            frame.skip(passed as u64).unwrap();
            match (frame.end(), end) {
                (Ok(found), Some(end)) => assert_eq!(found, end as u64),
                (Err(ReadError::Malformed { problem: Problem::FrameEnd, .. }), None) => {}
                (found, _) => panic!("{found:?} after {read} and {passed}"),
            }
        }
    }

    #[test]
    fn a_zstd_chunk_has_a_size_that_is_allowed() {
        let read = |mut bytes: &[u8]| {
            let mut codec = Codec::new(FrameStyle::Zstd).unwrap();
            let mut input = Stream::new(&mut bytes, None);
            let mut frame = Frame::new(&mut input, &mut codec);
            frame.skip(1)
        };
        let wrong = |found| match found {
            Err(ReadError::Malformed { problem: Problem::ChunkSize { bytes, .. }, .. }) => bytes,
            found => panic!("{found:?}"),
        };
        let largest = zstd::CHUNK_BYTES;
        read(&chunk(&vec![0; largest])).unwrap();
        assert_eq!(wrong(read(&chunk(&vec![0; largest + 1]))), largest as u64 + 1);
        assert_eq!(wrong(read(&chunk(&[]))), 0);
        let mut taken = chunk(&[7; 10]);
        taken[4..8].copy_from_slice(&1_000_000_u32.to_le_bytes());
        assert_eq!(wrong(read(&taken)), 10);
    }
}
