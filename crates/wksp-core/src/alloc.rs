//! Allocating.

use wksp_treap::{Damage, Gaddr, GaddrRange, PartitionIndex, Tag};

use crate::guard::Guard;
use crate::index::Index;
use crate::lock::Party;
use crate::rebuild::RebuildError;

/// An alignment in the global address space: a power of two.
///
/// A workspace that is mapped at a multiple of the page size gives the same alignment to pointers,
/// up to that page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Align(u64);

/// The number is no alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an alignment is a power of two, but {bytes} is none")]
pub struct BadAlign {
    /// The number, in bytes.
    pub bytes: u64,
}

impl Align {
    /// Any address will do.
    pub const BYTE: Self = Self(1);
    /// A cache line of 64 bytes.
    pub const CACHE_LINE: Self = Self(64);
    /// A page of 4096 bytes: what other programs mean by an alignment of 0.
    pub const PAGE: Self = Self(4096);

    /// Makes an alignment of a number of bytes.
    ///
    /// # Errors
    ///
    /// [`BadAlign`] if it is not a power of two.
    pub const fn new(bytes: u64) -> Result<Self, BadAlign> {
        if bytes.is_power_of_two() { Ok(Self(bytes)) } else { Err(BadAlign { bytes }) }
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first multiple from `gaddr` on.
    const fn round_up(self, gaddr: u64) -> Option<u64> {
        // It is a power of two, which the compiler cannot know: a division would cost more than
        // most of what an allocation takes.
        let below = self.0.wrapping_sub(1);
        match gaddr.checked_add(below) {
            Some(sum) => Some(sum & !below),
            None => None,
        }
    }
}

/// Why nothing was allocated. The workspace holds what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// An allocation of no bytes has no address.
    #[error("an allocation has at least 1 byte, but 0 were asked for")]
    ZeroSize,
    /// No free partition is large enough.
    #[error(
        "no room for {bytes} bytes at a multiple of {align}: the largest free partition has \
         {largest_free_bytes} bytes; free something, or use a larger workspace"
    )]
    NoSpace {
        /// The bytes asked for.
        bytes: u64,
        /// The alignment asked for, in bytes.
        align: u64,
        /// The size of the largest free partition in bytes, 0 if there is none.
        largest_free_bytes: u64,
    },
    /// There is room, but too few idle records to describe what would be left over.
    #[error(
        "there is room for {bytes} bytes, but what is left over needs {needed} records and only \
         {idle} are idle: free something, or format the workspace with more records"
    )]
    NoRecords {
        /// The bytes asked for.
        bytes: u64,
        /// How many records are needed beside the free partition's own: 1 or 2.
        needed: u32,
        /// How many there are.
        idle: u32,
    },
    /// The index is damaged and cannot be rebuilt.
    #[error(transparent)]
    Corrupt(#[from] RebuildError),
}

/// A place found for an allocation, as yet free.
struct Place {
    index: PartitionIndex,
    free: GaddrRange,
    taken: GaddrRange,
}

impl Place {
    /// Where `bytes` come to lie in a free partition, `None` if they do not fit.
    fn within(index: PartitionIndex, free: GaddrRange, align: Align, bytes: u64) -> Option<Self> {
        let lo = align.round_up(free.lo().get())?;
        let taken = GaddrRange::new(lo, lo.checked_add(bytes)?)?;
        free.encloses(taken).then_some(Self { index, free, taken })
    }

    /// The same with its end rounded up, as far as that is free.
    fn with_end_at(self, align: Align) -> Self {
        let free_hi = self.free.hi().get();
        let hi = align.round_up(self.taken.hi().get()).map_or(free_hi, |hi| hi.min(free_hi));
        let taken = GaddrRange::new(self.taken.lo().get(), hi).unwrap_or(self.taken);
        Self { taken, ..self }
    }

    fn before(&self) -> Option<GaddrRange> {
        GaddrRange::new(self.free.lo().get(), self.taken.lo().get())
    }

    fn behind(&self) -> Option<GaddrRange> {
        GaddrRange::new(self.taken.hi().get(), self.free.hi().get())
    }
}

impl<P: Party> Guard<'_, '_, P> {
    /// Allocates `bytes` from the smallest free partition that fits, aligned in the workspace.
    ///
    /// One fits that has room wherever it begins: for `bytes` and the alignment less one.
    /// If there is none, the largest one will do if they fit where it happens to begin.
    ///
    /// Takes up to two idle records for the leftovers on either side.
    /// The bytes are as whoever had them last left them.
    /// Costs O(log f) in the number f of distinct free sizes.
    ///
    /// # Crash behaviour
    ///
    /// Storing the tag is the commit point.
    /// A process killed before it has allocated nothing, one killed after it everything; either
    /// way only links can be stale, and the next holder of the lock rebuilds them.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoSpace`] names the largest free partition, so that a caller can tell full
    /// from fragmented. [`AllocError::NoRecords`]: bytes remain but the table is exhausted.
    /// Neither changes the workspace.
    #[doc(alias = "fd_wksp_alloc")]
    pub fn alloc(&mut self, align: Align, bytes: u64, tag: Tag) -> Result<Gaddr, AllocError> {
        self.alloc_range(align, bytes, Align::BYTE, tag).map(GaddrRange::lo)
    }

    /// Allocates at least `bytes`, and says which addresses the allocation covers.
    ///
    /// The end is rounded up to a multiple of the alignment or of 64, whichever is smaller, where
    /// that is free: those bytes would otherwise be of no use to anyone and cost a record.
    /// All else is as of [`alloc`](Self::alloc).
    ///
    /// # Errors
    ///
    /// As of [`alloc`](Self::alloc).
    #[doc(alias = "fd_wksp_alloc_at_least")]
    pub fn alloc_at_least(
        &mut self,
        align: Align,
        bytes: u64,
        tag: Tag,
    ) -> Result<GaddrRange, AllocError> {
        self.alloc_range(align, bytes, align.min(Align::CACHE_LINE), tag)
    }

    fn alloc_range(
        &mut self,
        align: Align,
        bytes: u64,
        end_align: Align,
        tag: Tag,
    ) -> Result<GaddrRange, AllocError> {
        if bytes == 0 {
            return Err(AllocError::ZeroSize);
        }
        self.change(|index| {
            let Some(place) = find_place(index, align, bytes)? else {
                check_that_full(index)?;
                let largest_free_bytes = largest_free(index)?.map_or(0, |(_, free)| free.bytes());
                let align = align.get();
                return Ok(Err(AllocError::NoSpace { bytes, align, largest_free_bytes }));
            };
            let place = place.with_end_at(end_align);
            let needed = match (place.before(), place.behind()) {
                (None, None) => 0,
                (Some(_), Some(_)) => 2,
                _ => 1,
            };
            let idle = index.idle_up_to(needed)?;
            if idle < needed {
                return Ok(Err(AllocError::NoRecords { bytes, needed, idle }));
            }
            take(index, &place, tag)?;
            Ok(Ok(place.taken))
        })?
    }
}

/// Finds the smallest free partition that holds `bytes` wherever it begins, or else the largest
/// one if they fit there.
fn find_place(index: Index<'_>, align: Align, bytes: u64) -> Result<Option<Place>, Damage> {
    let slack = align.get().saturating_sub(1);
    let sure_bytes = bytes.saturating_add(slack);
    let free = match index.smallest_free(sure_bytes)? {
        Some(at) => Some((at, index.gap(at)?)),
        None => largest_free(index)?,
    };
    Ok(free.and_then(|(at, free)| Place::within(at, free, align, bytes)))
}

/// Checks that there is no free partition if the treap has none, since its root may be damaged.
///
/// Costs O(m) in the number m of records, but only in a workspace that is full to the last byte.
fn check_that_full(index: Index<'_>) -> Result<(), Damage> {
    if index.header.free_root.get().is_some() {
        return Ok(());
    }
    let lost =
        index.table.iter().find(|(_, record)| record.tag().is_none() && record.range().is_some());
    lost.map_or(Ok(()), |(expected, _)| Err(Damage::WrongRoot { expected }))
}

/// A largest free partition.
fn largest_free(index: Index<'_>) -> Result<Option<(PartitionIndex, GaddrRange)>, Damage> {
    let Some(at) = index.free().largest()? else { return Ok(None) };
    Ok(Some((at, index.gap(at)?)))
}

/// Makes a place an allocation.
///
/// The free partition's record stays with what is left over behind it, or else before it, so that
/// its place in the index changes as little as possible.
fn take(index: Index<'_>, place: &Place, tag: Tag) -> Result<(), Damage> {
    let (free, bytes) = (place.index, place.free.bytes());
    let record = index.table.get(free)?;
    // No two neighbours are free, so these are the used ones around.
    let (below, above) = (record.prev(), record.next());
    let at = match (place.before(), place.behind()) {
        (None, None) => {
            index.remove_free(free, bytes)?;
            free
        }
        (None, Some(behind)) => {
            index.resize_free(free, bytes, behind)?;
            index.add(place.taken, below, Some(free))?
        }
        (Some(before), None) => {
            index.resize_free(free, bytes, before)?;
            index.add(place.taken, Some(free), above)?
        }
        (Some(before), Some(behind)) => {
            index.resize_free(free, bytes, behind)?;
            let at = index.add(place.taken, below, Some(free))?;
            let leftover = index.add(before, below, Some(at))?;
            index.insert_free(leftover, before.bytes())?;
            at
        }
    };
    index.used().insert_between(at, below, above)?;
    index.table.get(at)?.commit_tag(Some(tag));
    index.hints.remember_at(place.taken.lo(), at);
    Ok(())
}
