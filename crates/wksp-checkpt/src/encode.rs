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
    zstd: Option<zstd::Compressor>,
}

impl Encoder {
    pub(crate) fn new(style: Style) -> Result<Self, WriteError> {
        let zstd = match style {
            Style::Zstd { level } => Some(zstd::Compressor::new(level)?),
            _ => None,
        };
        Ok(Self { style, content: Vec::new(), zstd })
    }

    /// How many bytes of content a unit should have.
    ///
    /// A zstd unit is one chunk, and small enough for the tables of the highest levels to stay
    /// within a few MiB.
    pub(crate) const fn unit_bytes(style: Style) -> usize {
        match style {
            Style::Zstd { .. } => 192 * 1024,
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
                let mut compressor = lz4::Compressor::new()?;
                for run in runs {
                    match run {
                        Run::Inline(inline) => compressor.append(inline.as_bytes(), to)?,
                        Run::Data(lo, bytes) => {
                            let mut done = 0;
                            while let Some(left) = bytes.checked_sub(done).filter(|&left| left > 0)
                            {
                                let count = left.min(lz4::CHUNK_BYTES);
                                self.content.clear();
                                reserve(&mut self.content, count)?;
                                self.content.resize(count, 0);
                                let lo = lo.checked_add(done as u64);
                                lo.and_then(|lo| data.copy_out(lo, &mut self.content))
                                    .ok_or(WriteError::Compressor)?;
                                compressor.append(&self.content, to)?;
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
                let mut compressor = lz4::Compressor::new()?;
                for chunk in buffers.iter().flat_map(|buffer| buffer.chunks(lz4::CHUNK_BYTES)) {
                    if literally {
                        lz4::append_literal(chunk, &mut frame);
                    } else {
                        compressor.append(chunk, &mut frame)?;
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
