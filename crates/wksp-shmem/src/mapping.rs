//! Memory of the kernel's: the bytes of a region, or bytes that only this process has.
//!
//! # Safety
//!
//! An [`Area`] is the only one who knows the address of its memory, and it unmaps that memory when
//! it is dropped. Four obligations bear the unsafe code:
//!
//! 1. The bytes [base, base + bytes) are mapped readable from construction to drop, and those of a
//!    [`Mapping`] writable as well.
//! 2. Those of a mapping are handed out as [`Memory`] only, which accesses them through atomics, and
//!    whose lifetime ends before the mapping's: by a borrow, or by [`MappedWorkspace`], which keeps
//!    the mapping alive and lends its workspace for no longer than itself.
//! 3. They come from the kernel, so they are initialised.
//! 4. Those of any other area are only ever read, through atomic loads: they are copied, or handed
//!    out as [`ReadOnlyMemory`], whose lifetime ends before the area's by a borrow; but those of the
//!    hints of a [`MappedWorkspace`] are atomic words, which that alone has and keeps as long as
//!    itself.
//!
//! What a mapping cannot prevent is that someone makes the file of a region shorter: an access
//! beyond the new end is then answered with SIGBUS. A region's file is never made shorter by this
//! crate nor by the C programs, and its size is checked once more after it has been mapped.
#![expect(unsafe_code, reason = "mmap, and the lifetimes of what it returns; see above")]

use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use nix::libc::{c_void, off_t};
use nix::sys::mman::{
    MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap,
};
use wksp_core::{Memory, Misaligned, ReadOnlyMemory, Workspace};

use crate::process::ProcessParty;

/// Less memory of our own than this is not worth a page of this size.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Bytes mapped for as long as this lives, to be read at least.
#[derive(Debug)]
pub(crate) struct Area {
    base: NonNull<c_void>,
    bytes: NonZeroUsize,
}

/// Memory mapped for as long as this lives, to be read and written.
#[derive(Debug)]
pub(crate) struct Mapping(Area);

// SAFETY: an address and a length; what they lead to is atomic by obligations 2 and 4.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// Maps `bytes` bytes of a region's file from `offset` on, to be read and never written.
    ///
    /// They are left out of core dumps: they are as large as they like, and other people's.
    pub(crate) fn to_read(
        file: BorrowedFd<'_>,
        offset: u64,
        bytes: NonZeroUsize,
    ) -> io::Result<Self> {
        Self::of_file(file, offset, bytes, ProtFlags::PROT_READ)
    }

    fn of_file(
        file: BorrowedFd<'_>,
        offset: u64,
        bytes: NonZeroUsize,
        protection: ProtFlags,
    ) -> io::Result<Self> {
        let offset = off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: new memory at a place of the kernel's choice overlaps nothing.
        let base = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, file, offset) }?;
        let area = Self { base, bytes };
        area.keep_out_of_core_dumps();
        Ok(area)
    }

    fn keep_out_of_core_dumps(&self) {
        // SAFETY: the advice changes nothing but what a core dump holds. Failing is no harm.
        let _ = unsafe { madvise(self.base, self.bytes.get(), MmapAdvise::MADV_DONTDUMP) };
    }

    /// Maps words of this process's own, zeros that take up memory as they are used.
    ///
    /// `None` if that cannot be, or there are none.
    fn for_words(count: usize) -> Option<Self> {
        let bytes = NonZeroUsize::new(count.checked_mul(size_of::<u64>())?)?;
        let Mapping(area) = Mapping::private(bytes).ok()?;
        area.keep_out_of_core_dumps();
        Some(area)
    }

    /// Lets core dumps hold the bytes.
    pub(crate) fn put_into_core_dumps(&self) -> io::Result<()> {
        // SAFETY: the advice changes nothing but what a core dump holds.
        Ok(unsafe { madvise(self.base, self.bytes.get(), MmapAdvise::MADV_DODUMP) }?)
    }

    /// Keeps the bytes in memory as long as they are mapped.
    pub(crate) fn lock(&self) -> io::Result<()> {
        // SAFETY: the bytes are mapped by obligation 1, and none of them changes.
        Ok(unsafe { mlock(self.base, self.bytes.get()) }?)
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// The address of the first byte, to read from.
    pub(crate) const fn pointer(&self) -> *const u8 {
        self.base.as_ptr().cast_const().cast()
    }

    /// The number of bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// The bytes, to be read by whoever looks at the workspace in them.
    pub(crate) fn memory_to_read(&self) -> Result<ReadOnlyMemory<'_>, Misaligned> {
        // SAFETY: obligations 1, 3 and 4 are, in that order, the three of this function; the borrow
        // bounds the lifetime.
        unsafe { ReadOnlyMemory::from_raw_parts(self.base.cast(), self.bytes.get()) }
    }

    /// Copies the bytes from `offset` on, each of them as it is at some moment; `None` if there are
    /// not as many.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) -> Option<()> {
        let mut from = self.at(offset, to.len())?;
        for byte in to {
            // SAFETY: `at` has checked that the byte is within the area, so it is readable by
            // obligation 1 and initialised by 3; a relaxed load of it is atomic, as 4 asks, and is
            // defined for memory that cannot be written as well.
            let atomic = unsafe { &*from.cast::<AtomicU8>() };
            *byte = atomic.load(Ordering::Relaxed);
            from = from.wrapping_add(1);
        }
        Some(())
    }

    /// Loads the eight bytes from `offset` on at once, and whatever was stored before them not
    /// earlier; `None` if there are not as many or their address is no multiple of eight.
    pub(crate) fn load(&self, offset: usize) -> Option<u64> {
        let from = self.at(offset, size_of::<u64>())?.cast::<AtomicU64>();
        if !from.is_aligned() {
            return None;
        }
        // SAFETY: as in `copy_out`, and the address is aligned.
        let value = unsafe { &*from }.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        Some(value)
    }

    /// The address of the byte at `offset`, if that and the next ones are within the area.
    fn at(&self, offset: usize, bytes: usize) -> Option<*const u8> {
        let end = offset.checked_add(bytes)?;
        (end <= self.bytes()).then(|| self.pointer().wrapping_add(offset))
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the memory is this area's alone, and by obligations 2 and 4 nobody uses it any more.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}

impl Mapping {
    /// Maps the first `bytes` bytes of a region's file, shared with all who map it.
    ///
    /// They are left out of core dumps, as those of [`Area::to_read`].
    pub(crate) fn of_file(file: BorrowedFd<'_>, bytes: NonZeroUsize) -> io::Result<Self> {
        let rw = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        Area::of_file(file, 0, bytes, rw).map(Self)
    }

    /// Maps memory that no other process shares; a forked child gets a copy of its own.
    ///
    /// The kernel provides pages as they are used, huge ones where it can.
    pub(crate) fn private(bytes: NonZeroUsize) -> io::Result<Self> {
        let rw = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // Nothing is set aside for it, since much of it may never be used.
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: new memory at a place of the kernel's choice overlaps nothing.
        let base = unsafe { mmap_anonymous(None, bytes, rw, flags) }?;
        let area = Area { base, bytes };
        if bytes.get() >= HUGE_PAGE_BYTES {
            // SAFETY: the advice changes nothing but the size of pages. Failing is no harm.
            let _ = unsafe { madvise(area.base, area.bytes(), MmapAdvise::MADV_HUGEPAGE) };
        }
        Ok(Self(area))
    }
}

impl Deref for Mapping {
    type Target = Area;

    fn deref(&self) -> &Area {
        &self.0
    }
}

/// A workspace together with the mapping that it lies in.
#[derive(Debug)]
pub(crate) struct MappedWorkspace {
    // Dropped in this order. The lifetime is that of the mapping; it is never shown to anyone.
    workspace: Workspace<'static, ProcessParty>,
    #[expect(dead_code, reason = "kept for its drop")]
    hints: Option<Area>,
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
        let mut workspace = make(memory?)?;
        let count = workspace.hint_words();
        let hints = Area::for_words(count);
        if let Some(hints) = &hints {
            let words = hints.base.cast().as_ptr();
            // SAFETY: they are mapped writable, zeros, and as aligned as a page. By obligation 4
            // nobody else has them, and they are kept as long as the workspace.
            workspace = workspace.with_hints(unsafe { slice::from_raw_parts(words, count) });
        }
        Ok(Self { workspace, hints, mapping })
    }

    /// The workspace, for no longer than this lives.
    pub(crate) const fn workspace(&self) -> &Workspace<'_, ProcessParty> {
        &self.workspace
    }
}
