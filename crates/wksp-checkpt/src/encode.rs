//! Turning contents into the bytes of a checkpoint.

use crate::content::Run;
use crate::error::WriteError;
use crate::shared::Data;
use crate::style::Style;
use crate::{lz4, zstd};

/// What a thread needs to encode units; its memory is had again and again.
pub(crate) struct Encoder {
    style: Style,
    content: Vec<u8>,
    lz4: lz4::Compressor,
    zstd: Option<zstd::Compressor>,
}

impl Encoder {
    pub(crate) fn new(style: Style) -> Result<Self, WriteError> {
        let zstd = match style {
            Style::Zstd { level } => Some(zstd::Compressor::new(level)?),
            _ => None,
        };
        Ok(Self { style, content: Vec::new(), lz4: lz4::Compressor::default(), zstd })
    }

    /// How many bytes of content a unit should have; it may have 64 KiB more.
    ///
    /// The kernel is faster with few large writes, and an LZ4 unit begins without history, so that
    /// should be seldom.
    /// A zstd unit is one chunk; the library is fastest with small ones, and its tables stay small
    /// on every level.
    pub(crate) const fn unit_bytes(style: Style) -> usize {
        match style {
            Style::Zstd { .. } => 64 * 1024,
            _ => 1024 * 1024,
        }
    }

    /// Appends a unit, of which the runs have `bytes` bytes.
    ///
    /// LZ4 blocks refer back within the unit only, so that units can be encoded at the same time
    /// from data that someone else changes meanwhile.
    pub(crate) fn unit(
        &mut self,
        data: &dyn Data,
        runs: impl Iterator<Item = Run>,
        bytes: usize,
        to: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        match (self.style, &mut self.zstd) {
            (Style::Zstd { .. }, Some(zstd)) => {
                self.content.clear();
                reserve(&mut self.content, bytes)?;
                copy(data, runs, &mut self.content)?;
                zstd.append(&self.content, to)
            }
            (Style::Lz4, _) => {
                self.lz4.begin(bytes)?;
                reserve(to, lz4::block_max(bytes))?;
                for run in runs {
                    match run {
                        Run::Inline(inline) => {
                            let inline = inline.as_bytes();
                            self.lz4.append(inline.len(), |chunk| fill(chunk, inline), to)?;
                        }
                        Run::Data(lo, bytes) => {
                            let mut done = 0;
                            while let Some(left) = bytes.checked_sub(done).filter(|&left| left > 0)
                            {
                                let count = left.min(lz4::CHUNK_BYTES);
                                let lo = lo.checked_add(done as u64);
                                let fill = |chunk: &mut [u8]| data.copy_out(lo?, chunk);
                                self.lz4.append(count, fill, to)?;
                                done = done.saturating_add(count);
                            }
                        }
                    }
                }
                Ok(())
            }
            _ => {
                reserve(to, bytes)?;
                copy(data, runs, to)
            }
        }
    }

    /// The frame that has `buffers`, with the bytes of the last one literally in it if asked for.
    pub(crate) fn frame(
        &mut self,
        buffers: &[&[u8]],
        literally: bool,
    ) -> Result<Vec<u8>, WriteError> {
        let mut frame = Vec::new();
        match (self.style, &mut self.zstd) {
            (Style::Zstd { .. }, Some(zstd)) => {
                for chunk in buffers.concat().chunks(zstd::CHUNK_BYTES) {
                    zstd.append(chunk, &mut frame)?;
                }
            }
            (Style::Lz4, _) => {
                self.lz4.begin(buffers.iter().map(|buffer| buffer.len()).sum())?;
                for chunk in buffers.iter().flat_map(|buffer| buffer.chunks(lz4::CHUNK_BYTES)) {
                    if literally {
                        lz4::append_literal(chunk, &mut frame);
                    } else {
                        self.lz4.append(chunk.len(), |to| fill(to, chunk), &mut frame)?;
                    }
                }
            }
            _ => frame = buffers.concat(),
        }
        Ok(frame)
    }
}

/// Makes room for `bytes` more bytes.
fn reserve(to: &mut Vec<u8>, bytes: usize) -> Result<(), WriteError> {
    to.try_reserve(bytes).map_err(|_| WriteError::Memory { bytes })
}

fn fill(to: &mut [u8], from: &[u8]) -> Option<()> {
    (to.len() == from.len()).then(|| to.copy_from_slice(from))
}

/// Appends what the runs hold, for which there is room.
fn copy(
    data: &dyn Data,
    runs: impl Iterator<Item = Run>,
    to: &mut Vec<u8>,
) -> Result<(), WriteError> {
    for run in runs {
        match run {
            Run::Inline(inline) => to.extend_from_slice(inline.as_bytes()),
            Run::Data(lo, bytes) => {
                let start = to.len();
                to.resize(start.saturating_add(bytes), 0);
                let place = to.get_mut(start..).unwrap_or_default();
                // The run was checked when it was listed, so this cannot be.
                data.copy_out(lo, place).ok_or(WriteError::Compressor)?;
            }
        }
    }
    Ok(())
}
