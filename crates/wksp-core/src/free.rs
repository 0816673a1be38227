//! Freeing: one allocation, or all that have a tag.

use wksp_treap::{Damage, Gaddr, GaddrRange, Link, PartitionIndex, Tag};

use crate::guard::Guard;
use crate::index::Index;
use crate::lock::Party;
use crate::partition::Allocation;
use crate::query::NotAllocated;
use crate::rebuild::RebuildError;

/// Why nothing was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FreeError {
    /// The address belongs to no allocation. Nothing was changed.
    #[error(transparent)]
    NotAllocated(#[from] NotAllocated),
    /// The index is damaged and cannot be rebuilt; the allocation may be freed or not.
    #[error(transparent)]
    Corrupt(#[from] RebuildError),
}

/// What [`Guard::free_tagged`] has freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// The number of allocations.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<P: Party> Guard<'_, '_, P> {
    /// Frees the allocation that covers `gaddr`, which may be any of its bytes.
    ///
    /// What is free on either side becomes one partition with it.
    /// Costs O(log n) in the number n of allocations.
    ///
    /// # Crash behaviour
    ///
    /// Taking the tag away is the commit point, and comes before anything else is changed.
    ///
    /// # Errors
    ///
    /// [`FreeError::NotAllocated`] changes nothing.
    #[doc(alias = "fd_wksp_free")]
    pub fn free(&mut self, gaddr: Gaddr) -> Result<Allocation, FreeError> {
        let (at, allocation) = self.find(gaddr).ok_or_else(|| self.not_allocated(gaddr))?;
        self.release(at)?;
        Ok(allocation)
    }

    /// Frees all allocations that have `tag`.
    ///
    /// Costs O(m) in the number m of records, and for each one freed as much as
    /// [`free`](Self::free).
    ///
    /// # Crash behaviour
    ///
    /// A process killed inside has freed those in the first records of the table and no others.
    ///
    /// # Errors
    ///
    /// [`RebuildError`] if the index is damaged and cannot be rebuilt; some may be freed then.
    #[doc(alias = "fd_wksp_tag_free")]
    pub fn free_tagged(&mut self, tag: Tag) -> Result<Freed, RebuildError> {
        let mut freed = Freed::default();
        let index = self.index();
        for (at, record) in index.table.iter() {
            if record.tag() != Some(tag) {
                continue;
            }
            let bytes = record.range().map_or(0, GaddrRange::bytes);
            self.release(at)?;
            freed.count = freed.count.saturating_add(1);
            freed.bytes = freed.bytes.saturating_add(bytes);
        }
        Ok(freed)
    }

    /// Takes the tag of a used record away and makes its partition a free one.
    fn release(&mut self, at: PartitionIndex) -> Result<(), RebuildError> {
        self.begin_change()?;
        if let Ok(record) = self.index().table.get(at) {
            record.commit_tag(None);
        }
        self.settle(|index| coalesce(index, at))
    }
}

/// Moves a partition that has just lost its tag to the free ones, as one with its free neighbours.
///
/// A neighbour's record stays, so that its place in the index changes as little as possible.
fn coalesce(index: Index<'_>, at: PartitionIndex) -> Result<(), Damage> {
    let record = index.table.get(at)?;
    let range = index.range(at, record)?;
    let below = free_neighbour(index, record.prev())?;
    let above = free_neighbour(index, record.next())?;
    index.hints.forget_at(range.lo());
    index.used().remove(at)?;
    let (mut lo, mut hi) = (range.lo().get(), range.hi().get());
    if let Some((neighbour, free)) = below {
        if free.hi() != range.lo() {
            return Err(Damage::BrokenLink { from: at, to: neighbour });
        }
        lo = free.lo().get();
    }
    if let Some((neighbour, free)) = above {
        if free.lo() != range.hi() {
            return Err(Damage::BrokenLink { from: at, to: neighbour });
        }
        hi = free.hi().get();
    }
    let Some((stays, free)) = below.or(above) else {
        return index.insert_free(at, range.bytes());
    };
    index.discard(at)?;
    if let (Some(_), Some((goes, free))) = (below, above) {
        index.remove_free(goes, free.bytes())?;
        index.discard(goes)?;
    }
    let whole = GaddrRange::new(lo, hi).ok_or(Damage::BadRange { index: stays, lo, hi })?;
    index.resize_free(stays, free.bytes(), whole)
}

/// A neighbour in the list and its range, if it is free.
fn free_neighbour(
    index: Index<'_>,
    link: Link,
) -> Result<Option<(PartitionIndex, GaddrRange)>, Damage> {
    let Some(at) = link else { return Ok(None) };
    let record = index.table.get(at)?;
    if record.tag().is_some() {
        return Ok(None);
    }
    Ok(Some((at, index.range(at, record)?)))
}
