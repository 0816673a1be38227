//! Bytes of a workspace on their way to or from a file, without a copy in between.
//!
//! # Safety
//!
//! A [`SharedBytes`] or [`SharedSpace`] is made of a workspace and a range that was checked to lie
//! within its data, so its pointer is valid for its bytes while the workspace is borrowed.
//! The pointers go to the kernel only: read(2) and write(2) may race with other processes that use
//! the same memory, as those of any two processes may; no reference to the bytes is ever made.
#![expect(unsafe_code, reason = "system calls on pointers; see the paragraph above")]

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use wksp_core::{Gaddr, GaddrRange, Party, Workspace};

/// How many bytes a copy is made of at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// The data of a workspace, whatever its party.
pub(crate) trait Data: Sync {
    /// Copies bytes out, `None` if they do not all lie within the data.
    fn copy_out(&self, gaddr: Gaddr, to: &mut [u8]) -> Option<()>;

    /// Copies bytes in, `None` if they do not all lie within the data.
    fn copy_in(&self, gaddr: Gaddr, from: &[u8]) -> Option<()>;

    /// The address of the first of `bytes` bytes, `None` if they do not all lie within the data.
    fn pointer(&self, gaddr: Gaddr, bytes: usize) -> Option<NonNull<u8>>;
}

impl<P: Party + Sync> Data for Workspace<'_, P> {
    fn copy_out(&self, gaddr: Gaddr, to: &mut [u8]) -> Option<()> {
        Workspace::copy_out(self, gaddr, to).ok()
    }

    fn copy_in(&self, gaddr: Gaddr, from: &[u8]) -> Option<()> {
        Workspace::copy_in(self, gaddr, from).ok()
    }

    fn pointer(&self, gaddr: Gaddr, bytes: usize) -> Option<NonNull<u8>> {
        let hi = gaddr.checked_add(bytes as u64)?;
        let range = GaddrRange::new(gaddr.get(), hi.get())?;
        self.geometry().data().encloses(range).then_some(())?;
        Workspace::pointer(self, gaddr)
    }
}

/// Bytes of a workspace that are to be written somewhere.
///
/// Others may change them at any moment: two looks at the same byte can differ.
#[derive(Clone, Copy)]
pub struct SharedBytes<'a> {
    data: &'a dyn Data,
    lo: Gaddr,
    start: NonNull<u8>,
    bytes: usize,
}

/// Bytes of a workspace that are to be read from somewhere.
pub struct SharedSpace<'a> {
    data: &'a dyn Data,
    lo: Gaddr,
    start: NonNull<u8>,
    bytes: usize,
}

impl fmt::Debug for SharedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} from {})", self.bytes, self.lo)
    }
}

impl fmt::Debug for SharedSpace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSpace({} from {})", self.bytes, self.lo)
    }
}

impl<'a> SharedBytes<'a> {
    /// The bytes from `lo` on, `None` if they do not all lie within the data.
    pub(crate) fn new(data: &'a dyn Data, lo: Gaddr, bytes: usize) -> Option<Self> {
        Some(Self { data, lo, start: data.pointer(lo, bytes)?, bytes })
    }

    /// How many they are, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Copies them to `each` in blocks of 64 KiB at most.
    ///
    /// # Errors
    ///
    /// The first one of `each`.
    pub fn for_each_block(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut block = zeros(self.bytes.min(BLOCK_BYTES))?;
        let mut done = 0;
        while let Some(left) = self.bytes.checked_sub(done).filter(|&left| left > 0) {
            let block = block.get_mut(..left.min(BLOCK_BYTES)).unwrap_or_default();
            let copied =
                self.lo.checked_add(done as u64).and_then(|lo| self.data.copy_out(lo, block));
            copied.ok_or(io::ErrorKind::InvalidInput)?;
            each(block)?;
            done = done.saturating_add(block.len());
        }
        Ok(())
    }

    /// Writes them to a file or pipe at its own position, with write(2) and no copy.
    ///
    /// # Errors
    ///
    /// Those of the system call; some bytes may be written then.
    pub fn write_to(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        whole(self.bytes, io::ErrorKind::WriteZero, |done, left| {
            let from = self.start.as_ptr().wrapping_add(done);
            // SAFETY: of the checked bytes, `done` of which are written, `left` remain.
            unsafe { libc::write(file.as_raw_fd(), from.cast(), left) }
        })
    }

    /// Writes them into a file at `offset`, with pwrite(2) and no copy.
    ///
    /// # Errors
    ///
    /// Those of the system call; some bytes may be written then.
    pub fn write_to_at(&self, file: BorrowedFd<'_>, offset: u64) -> io::Result<()> {
        whole(self.bytes, io::ErrorKind::WriteZero, |done, left| {
            let from = self.start.as_ptr().wrapping_add(done);
            let Some(at) = file_offset(offset, done) else { return TOO_FAR };
            // SAFETY: of the checked bytes, `done` of which are written, `left` remain.
            unsafe { libc::pwrite(file.as_raw_fd(), from.cast(), left, at) }
        })
    }
}

impl<'a> SharedSpace<'a> {
    /// The bytes from `lo` on, `None` if they do not all lie within the data.
    pub(crate) fn new(data: &'a dyn Data, lo: Gaddr, bytes: usize) -> Option<Self> {
        Some(Self { data, lo, start: data.pointer(lo, bytes)?, bytes })
    }

    /// How many they are, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Has `fill` fill blocks of 64 KiB at most, one after the other, and copies them in.
    ///
    /// # Errors
    ///
    /// The first one of `fill`.
    pub fn fill_blocks(
        &mut self,
        mut fill: impl FnMut(usize, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut block = zeros(self.bytes.min(BLOCK_BYTES))?;
        let mut done = 0;
        while let Some(left) = self.bytes.checked_sub(done).filter(|&left| left > 0) {
            let block = block.get_mut(..left.min(BLOCK_BYTES)).unwrap_or_default();
            fill(done, block)?;
            let copied =
                self.lo.checked_add(done as u64).and_then(|lo| self.data.copy_in(lo, block));
            copied.ok_or(io::ErrorKind::InvalidInput)?;
            done = done.saturating_add(block.len());
        }
        Ok(())
    }

    /// Reads them from a file at `offset`, with pread(2) and no copy.
    ///
    /// # Errors
    ///
    /// Those of the system call; some bytes may be read then.
    pub fn read_from_at(&mut self, file: BorrowedFd<'_>, offset: u64) -> io::Result<()> {
        whole(self.bytes, io::ErrorKind::UnexpectedEof, |done, left| {
            let to = self.start.as_ptr().wrapping_add(done);
            let Some(at) = file_offset(offset, done) else { return TOO_FAR };
            // SAFETY: of the checked bytes, `done` of which are read, `left` remain.
            unsafe { libc::pread(file.as_raw_fd(), to.cast(), left, at) }
        })
    }
}

fn zeros(bytes: usize) -> io::Result<Vec<u8>> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(bytes)?;
    zeros.resize(bytes, 0);
    Ok(zeros)
}

/// What a call that would go beyond all files returns; errno is then of no call at all.
const TOO_FAR: isize = -2;

fn file_offset(offset: u64, done: usize) -> Option<libc::off_t> {
    libc::off_t::try_from(offset.checked_add(done as u64)?).ok()
}

/// Repeats a call that transfers bytes until all are done.
fn whole(
    bytes: usize,
    at_end: io::ErrorKind,
    mut call: impl FnMut(usize, usize) -> isize,
) -> io::Result<()> {
    let mut done = 0;
    while let Some(left) = bytes.checked_sub(done).filter(|&left| left > 0) {
        let returned = call(done, left);
        match usize::try_from(returned) {
            Ok(0) => return Err(at_end.into()),
            Err(_) if returned == TOO_FAR => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(transferred) => done = done.saturating_add(transferred),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
