//! What a program in another language does: it maps a region and shows that to nobody.
//!
//! # Safety
//!
//! 1. The mapping is there as long as the value that names its address.
//! 2. Its bytes are only accessed as one atomic word that lies within it.
#![expect(unsafe_code, reason = "mmap; see the paragraph above")]

use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Where the lock word is in a workspace, in bytes.
const OWNER_OFFSET: usize = 112;

/// The lock word of a workspace, mapped as long as this is there.
pub(crate) struct ForeignWord {
    start: NonNull<u8>,
    bytes: NonZeroUsize,
}

impl ForeignWord {
    pub(crate) fn of(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let bytes = usize::try_from(file.metadata().unwrap().len()).unwrap();
        assert!(bytes >= OWNER_OFFSET + size_of::<u64>());
        let bytes = NonZeroUsize::new(bytes).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a place of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, &file, 0) };
        Self { start: start.unwrap().cast(), bytes }
    }

    pub(crate) fn word(&self) -> &AtomicU64 {
        // SAFETY: obligation 1, and `of` has seen to 2.
        let word = unsafe { self.start.byte_add(OWNER_OFFSET) };
        // SAFETY: as above; the kernel maps whole pages, so it is aligned.
        unsafe { word.cast().as_ref() }
    }
}

impl Drop for ForeignWord {
    fn drop(&mut self) {
        // SAFETY: obligation 1: nobody has the address any more.
        unsafe { munmap(self.start.cast(), self.bytes.get()) }.unwrap();
    }
}
