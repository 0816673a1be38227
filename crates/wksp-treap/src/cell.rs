//! The fields of records and headers: plain loads and stores that other processes may race with.
//!
//! Every access is atomic and Relaxed, so a race is a stale or torn view of the index but never
//! undefined behaviour, and the machine code is that of an ordinary field.
//! What orders the accesses of different processes is the lock word, which is not one of these.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use crate::index::{Link, NIL, PartitionIndex};

/// A `u64` in shared memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Cell64(AtomicU64);

impl Cell64 {
    /// Makes a cell that holds `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Loads the value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stores `value`.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
        crate::crash_points::passed();
    }

    /// Stores `value` if it is not what the cell holds.
    #[inline]
    pub fn change(&self, value: u64) {
        if self.get() != value {
            self.set(value);
        }
    }

    /// Stores `value` after every store before it in the program and before every one behind it.
    ///
    /// This is what makes a store a commit point: a process that is killed leaves all stores up to
    /// some place in the program and none behind it.
    // A processor completes the stores of a killed process in program order, or at least all of
    // them; only the compiler could move one across, which the fences forbid.
    #[inline]
    pub fn commit(&self, value: u64) {
        compiler_fence(Ordering::SeqCst);
        self.set(value);
        compiler_fence(Ordering::SeqCst);
    }
}

/// A `u32` in shared memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Cell32(AtomicU32);

impl Cell32 {
    /// Makes a cell that holds `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Loads the value.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stores `value`.
    #[inline]
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
        crate::crash_points::passed();
    }
}

/// A [`Link`] in shared memory.
#[derive(Debug)]
#[repr(transparent)]
pub struct LinkCell(Cell32);

impl LinkCell {
    /// Makes a cell that holds `link`.
    #[must_use]
    pub const fn new(link: Link) -> Self {
        Self(Cell32::new(match link {
            Some(index) => index.get(),
            None => NIL,
        }))
    }

    /// Loads the link.
    #[inline]
    pub fn get(&self) -> Link {
        PartitionIndex::new(self.0.get())
    }

    /// Loads the link in its stored form.
    #[inline]
    pub(crate) fn stored(&self) -> u32 {
        self.0.get()
    }

    /// Stores `link`.
    #[inline]
    pub fn set(&self, link: Link) {
        self.0.set(link.map_or(NIL, PartitionIndex::get));
    }

    /// Stores `link` if it is not what the cell holds.
    #[inline]
    pub fn change(&self, link: Link) {
        let stored = link.map_or(NIL, PartitionIndex::get);
        if self.0.get() != stored {
            self.0.set(stored);
        }
    }

    /// Whether the link leads to `index`.
    #[inline]
    pub fn leads_to(&self, index: PartitionIndex) -> bool {
        self.0.get() == index.get()
    }
}

impl Default for LinkCell {
    fn default() -> Self {
        Self::new(None)
    }
}
