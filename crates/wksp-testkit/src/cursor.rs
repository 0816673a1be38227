//! A position in a file that only moves forwards and never leaves it.

use crate::checkpoint::{Problem, ReadError};

#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    file: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at `offset`, which may lie outside the file; then every read fails.
    pub(crate) const fn at(file: &'a [u8], offset: usize) -> Self {
        Self { file, offset }
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) const fn error(&self, problem: Problem) -> ReadError {
        ReadError { offset: self.offset, problem }
    }

    pub(crate) fn peek(&self) -> Result<u8, ReadError> {
        self.file.get(self.offset).copied().ok_or(self.error(Problem::UnexpectedEnd))
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Result<&'a [u8], ReadError> {
        let end = usize::try_from(bytes).ok().and_then(|bytes| self.offset.checked_add(bytes));
        let taken = end.and_then(|end| Some((end, self.file.get(self.offset..end)?)));
        let (end, taken) = taken.ok_or(self.error(Problem::UnexpectedEnd))?;
        self.offset = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let short = self.error(Problem::UnexpectedEnd);
        self.take(N as u64)?.first_chunk().copied().ok_or(short)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}
