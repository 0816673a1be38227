//! What a checkpoint is written to.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use crate::shared::SharedBytes;

/// Something that bytes are appended to: a pipe, a growing buffer, an upload in parts.
pub trait Append {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from doing so; the checkpoint is given up then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Appends bytes of a workspace.
    ///
    /// What has a file descriptor can do so without a copy.
    ///
    /// # Errors
    ///
    /// As of [`append`](Self::append).
    fn append_shared(&mut self, bytes: SharedBytes<'_>) -> io::Result<()> {
        bytes.for_each_block(|block| self.append(block))
    }
}

/// Something that bytes are written into anywhere, by several threads at once: a file.
///
/// It begins empty; every byte of a checkpoint is written, and some of them twice.
pub trait WriteAt: Sync {
    /// Writes all of `bytes` from `offset` on.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from doing so; the checkpoint is given up then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes bytes of a workspace from `offset` on.
    ///
    /// What has a file descriptor can do so without a copy.
    ///
    /// # Errors
    ///
    /// As of [`write_at`](Self::write_at).
    fn write_shared_at(&self, offset: u64, bytes: SharedBytes<'_>) -> io::Result<()> {
        let mut at = offset;
        bytes.for_each_block(|block| {
            self.write_at(at, block)?;
            at = at.saturating_add(block.len() as u64);
            Ok(())
        })
    }
}

/// Where a checkpoint goes.
pub enum Sink<'s> {
    /// To the end of something that only grows.
    Append(&'s mut (dyn Append + Send)),
    /// To places of something that can be written anywhere.
    WriteAt(&'s dyn WriteAt),
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append(_) => "Sink::Append",
            Self::WriteAt(_) => "Sink::WriteAt",
        })
    }
}

impl<'s, A: Append + Send> From<&'s mut A> for Sink<'s> {
    fn from(sink: &'s mut A) -> Self {
        Self::Append(sink)
    }
}

impl<'s, W: WriteAt> From<&'s W> for Sink<'s> {
    fn from(sink: &'s W) -> Self {
        Self::WriteAt(sink)
    }
}

impl Append for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.try_reserve(bytes.len())?;
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A file or pipe, at its own position.
impl Append for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn append_shared(&mut self, bytes: SharedBytes<'_>) -> io::Result<()> {
        bytes.write_to(self.as_fd())
    }
}

impl WriteAt for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn write_shared_at(&self, offset: u64, bytes: SharedBytes<'_>) -> io::Result<()> {
        bytes.write_to_at(self.as_fd(), offset)
    }
}

/// Any writer as something to append to, with a copy.
#[derive(Debug)]
pub struct Writer<W>(pub W);

impl<W: Write> Append for Writer<W> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
}

/// A file in memory, that several threads can write into.
#[derive(Debug, Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryFile {
    /// The bytes written, with 0 where none were.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriteAt for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = end.checked_sub(file.len()) {
            file.try_reserve(more)?;
            file.resize(end, 0);
        }
        let place = file.get_mut(start..end).ok_or(io::ErrorKind::FileTooLarge)?;
        place.copy_from_slice(bytes);
        Ok(())
    }
}
