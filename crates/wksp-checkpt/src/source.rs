//! What a checkpoint is read from.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use crate::shared::SharedSpace;

/// Something of known length that bytes are read from anywhere, by several threads at once: a file,
/// a buffer, an object in a store.
pub trait ReadAt: Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from knowing.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `to` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from doing so, [`io::ErrorKind::UnexpectedEof`] behind the end.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()>;

    /// Fills bytes of a workspace with those from `offset` on.
    ///
    /// What has a file descriptor can do so without a copy.
    ///
    /// # Errors
    ///
    /// As of [`read_at`](Self::read_at).
    fn read_shared_at(&self, offset: u64, mut to: SharedSpace<'_>) -> io::Result<()> {
        to.fill_blocks(|done, block| self.read_at(offset.saturating_add(done as u64), block))
    }
}

fn slice_at(bytes: &[u8], offset: u64, to: &mut [u8]) -> io::Result<()> {
    let place = usize::try_from(offset).ok().and_then(|start| {
        let end = start.checked_add(to.len())?;
        bytes.get(start..end)
    });
    to.copy_from_slice(place.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

impl ReadAt for &[u8] {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        slice_at(self, offset, to)
    }
}

impl ReadAt for Vec<u8> {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        slice_at(self, offset, to)
    }
}

impl ReadAt for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(to, offset)
    }

    fn read_shared_at(&self, offset: u64, mut to: SharedSpace<'_>) -> io::Result<()> {
        to.read_from_at(self.as_fd(), offset)
    }
}

/// The bytes of a source from the first one on, as a stream.
#[derive(Debug)]
pub struct FromStart<'s, R: ?Sized> {
    source: &'s R,
    offset: u64,
}

impl<'s, R: ReadAt + ?Sized> FromStart<'s, R> {
    /// Begins at the first byte.
    pub const fn new(source: &'s R) -> Self {
        Self { source, offset: 0 }
    }
}

impl<R: ReadAt + ?Sized> Read for FromStart<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.source.bytes()?.saturating_sub(self.offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(to.len());
        self.source.read_at(self.offset, to.get_mut(..count).unwrap_or_default())?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}
