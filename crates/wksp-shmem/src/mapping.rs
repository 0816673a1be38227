//! Memory of the kernel's: the bytes of a region, or bytes that only this process has.
//!
//! # Safety
//!
//! A [`Mapping`] is the only one who knows the address of its memory, and it unmaps that memory when
//! it is dropped. Three obligations bear the unsafe code:
//!
//! 1. The bytes [base, base + bytes) are mapped readable and writable from construction to drop.
//! 2. They are handed out as [`Memory`] only, which accesses them through atomics, and whose
//!    lifetime ends before the mapping's: by a borrow, or by [`MappedWorkspace`], which keeps the
//!    mapping alive and lends its workspace for no longer than itself.
//! 3. They come from the kernel, so they are initialised.
//!
//! What a mapping cannot prevent is that someone makes the file of a region shorter: an access
//! beyond the new end is then answered with SIGBUS. A region's file is never made shorter by this
//! crate nor by the C programs, and its size is checked once more after it has been mapped.
#![expect(unsafe_code, reason = "mmap, and the lifetimes of what it returns; see above")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use nix::libc::c_void;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use wksp_core::{Memory, Misaligned, Workspace};

use crate::process::ProcessParty;

/// Memory mapped for as long as this lives.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<c_void>,
    bytes: NonZeroUsize,
}

// SAFETY: an address and a length; what they lead to is atomic by obligation 2.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` bytes of a region's file, shared with all who map it.
    ///
    /// They are left out of core dumps: they are as large as they like, and other people's.
    pub(crate) fn of_file(file: BorrowedFd<'_>, bytes: NonZeroUsize) -> io::Result<Self> {
        let rw = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory at a place of the kernel's choice overlaps nothing.
        let base = unsafe { mmap(None, bytes, rw, MapFlags::MAP_SHARED, file, 0) }?;
        let mapping = Self { base, bytes };
        mapping.keep_out_of_core_dumps();
        Ok(mapping)
    }

    /// Maps memory that no other process shares; a forked child gets a copy of its own.
    pub(crate) fn private(bytes: NonZeroUsize) -> io::Result<Self> {
        let rw = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory at a place of the kernel's choice overlaps nothing.
        let base = unsafe { mmap_anonymous(None, bytes, rw, MapFlags::MAP_PRIVATE) }?;
        Ok(Self { base, bytes })
    }

    fn keep_out_of_core_dumps(&self) {
        // SAFETY: the advice changes nothing but what a core dump holds. Failing is no harm.
        let _ = unsafe { madvise(self.base, self.bytes.get(), MmapAdvise::MADV_DONTDUMP) };
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// The number of bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.get()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's alone, and by obligation 2 nobody uses it any more.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}

/// A workspace together with the mapping that it lies in.
#[derive(Debug)]
pub(crate) struct MappedWorkspace {
    // Dropped in this order. The lifetime is that of the mapping; it is never shown to anyone.
    workspace: Workspace<'static, ProcessParty>,
    #[expect(dead_code, reason = "kept for its drop")]
    mapping: Arc<Mapping>,
}

impl MappedWorkspace {
    /// Makes a workspace of the memory of `mapping`.
    ///
    /// `make` has to work for every lifetime, so it can keep nothing of what it is given.
    pub(crate) fn new<E: From<Misaligned>>(
        mapping: Arc<Mapping>,
        make: impl for<'m> FnOnce(Memory<'m>) -> Result<Workspace<'m, ProcessParty>, E>,
    ) -> Result<Self, E> {
        // SAFETY: obligations 1, 3 and 2 are, in that order, the three of this function; the lifetime
        // is bounded by the mapping that is kept next to the result.
        let memory = unsafe { Memory::from_raw_parts(mapping.base.cast(), mapping.bytes.get()) };
        let workspace = make(memory?)?;
        Ok(Self { workspace, mapping })
    }

    /// The workspace, for no longer than this lives.
    pub(crate) const fn workspace(&self) -> &Workspace<'_, ProcessParty> {
        &self.workspace
    }
}
