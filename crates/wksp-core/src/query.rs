//! Looking up: the allocation of an address, the allocations of a tag, all partitions; and giving
//! an allocation another tag.

use wksp_treap::{Found, Gaddr, GaddrRange, PartitionIndex, Tag};

use crate::guard::{Guard, LockError, Salvage};
use crate::index::Index;
use crate::lock::{Party, Stranger};
use crate::observe::Before;
use crate::partition::{Allocation, Partitions};
use crate::workspace::Workspace;

/// An address belongs to no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAllocated {
    /// It is not an address of the data at all.
    #[error("{gaddr} is outside the data {data} of the workspace")]
    Outside {
        /// The address.
        gaddr: Gaddr,
        /// The addresses of the data.
        data: GaddrRange,
    },
    /// It lies in a free partition: never allocated, or freed.
    #[error("{gaddr} belongs to no allocation: it is free, or was freed")]
    Free {
        /// The address.
        gaddr: Gaddr,
    },
}

/// Why an allocation was not changed. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The address belongs to no allocation.
    #[error(transparent)]
    NotAllocated(#[from] NotAllocated),
    /// The calling process does not hold the lock: it is a fork of the one that does.
    #[error(transparent)]
    Stranger(#[from] Stranger),
}

impl<P: Party> Guard<'_, '_, P> {
    /// The allocation that covers `gaddr`, which may be any of its bytes.
    ///
    /// Writes nothing and costs O(log n) in the number n of allocations.
    /// Where the index is damaged it costs O(m) in the number m of records, and is right as well:
    /// it looks at the records themselves.
    #[must_use]
    pub fn allocation(&self, gaddr: Gaddr) -> Option<Allocation> {
        self.find(gaddr).map(|(_, allocation)| allocation)
    }

    /// The tag of the allocation that covers `gaddr`.
    ///
    /// Costs as much as [`allocation`](Self::allocation).
    #[must_use]
    #[doc(alias = "fd_wksp_tag")]
    pub fn tag(&self, gaddr: Gaddr) -> Option<Tag> {
        self.allocation(gaddr).map(|allocation| allocation.tag)
    }

    /// Gives the allocation that covers `gaddr` another tag, and returns it as it was.
    ///
    /// # Crash behaviour
    ///
    /// A single store: the allocation has one tag or the other.
    ///
    /// # Errors
    ///
    /// [`EditError`] changes nothing.
    pub fn set_tag(&mut self, gaddr: Gaddr, tag: Tag) -> Result<Allocation, EditError> {
        let (at, allocation) = self.find(gaddr).ok_or_else(|| self.not_allocated(gaddr))?;
        self.held().check_inside()?;
        // No link changes, so there is nothing to rebuild if this is the last that happens.
        self.index().header.raise_cycle_tag();
        if let Ok(record) = self.index().table.get(at) {
            record.commit_tag(Some(tag));
        }
        Ok(allocation)
    }

    /// The allocation with `tag` at the lowest address.
    ///
    /// Costs O(m) in the number m of records.
    #[must_use]
    #[doc(alias = "fd_wksp_tag_query")]
    pub fn lowest_tagged(&self, tag: Tag) -> Option<Allocation> {
        lowest_tagged(self.index(), tag)
    }

    /// All partitions in ascending order of address, free ones too.
    ///
    /// A damaged list ends with the damage.
    #[must_use]
    pub fn partitions(&self) -> Partitions<'_> {
        Partitions::new(self.index())
    }

    /// The record and value of the allocation that covers `gaddr`.
    pub(crate) fn find(&self, gaddr: Gaddr) -> Option<(PartitionIndex, Allocation)> {
        find(self.index(), gaddr)
    }

    pub(crate) fn not_allocated(&self, gaddr: Gaddr) -> NotAllocated {
        let data = self.index().data;
        if data.contains(gaddr) {
            NotAllocated::Free { gaddr }
        } else {
            NotAllocated::Outside { gaddr, data }
        }
    }
}

impl<P: Party> Salvage<'_, '_, P> {
    /// All records that have a tag and a possible range, in the order of the table.
    ///
    /// They may overlap: this is what is there to be saved, not a sound state.
    pub fn allocations(&self) -> impl Iterator<Item = Allocation> {
        allocations(self.workspace().index()).map(|(_, allocation)| allocation)
    }
}

impl<P: Party> Workspace<'_, P> {
    /// The allocation that covers `gaddr`, as of some moment during the call.
    ///
    /// # Concurrency
    ///
    /// Takes no lock as long as nobody has it or changes the index during the call; then it costs a
    /// few loads where this handle remembers the address, and else as much as
    /// [`Guard::allocation`]. If somebody does, it takes the lock like everybody else.
    ///
    /// # Errors
    ///
    /// As of [`lock`](Self::lock), and only if the lock was needed.
    #[inline]
    pub fn allocation(&self, gaddr: Gaddr) -> Result<Option<Allocation>, LockError> {
        match self.glance(gaddr) {
            Some(found) => Ok(found),
            None => self.lock().map(|guard| guard.allocation(gaddr)),
        }
    }

    /// The tag of the allocation that covers `gaddr`, as of some moment during the call.
    ///
    /// # Errors
    ///
    /// As of [`allocation`](Self::allocation).
    #[inline]
    #[doc(alias = "fd_wksp_tag")]
    pub fn tag(&self, gaddr: Gaddr) -> Result<Option<Tag>, LockError> {
        Ok(self.allocation(gaddr)?.map(|allocation| allocation.tag))
    }

    /// What [`allocation`](Self::allocation) returns, `None` if it takes the lock to be certain.
    #[inline]
    fn glance(&self, gaddr: Gaddr) -> Option<Option<Allocation>> {
        let index = self.index();
        let before = Before::look(index.header);
        if before.holder.is_some() {
            return None;
        }
        let found = search(index, gaddr)?;
        before.doubt(index.header).is_none().then(|| found.map(|(_, allocation)| allocation))
    }
}

/// The record and value of the allocation that covers `gaddr`.
pub(crate) fn find(index: Index<'_>, gaddr: Gaddr) -> Option<(PartitionIndex, Allocation)> {
    search(index, gaddr).unwrap_or_else(|| {
        // Damage on the way: ask the records themselves.
        allocations(index).find(|(_, allocation)| allocation.range.contains(gaddr))
    })
}

/// The same as far as the index tells, `None` if it is damaged or being changed.
#[inline]
fn search(index: Index<'_>, gaddr: Gaddr) -> Option<Option<(PartitionIndex, Allocation)>> {
    let covering = |at| allocation_at(index, at).filter(|found| found.range.contains(gaddr));
    if let Some(at) = index.hints.at(gaddr)
        && let Some(allocation) = covering(at)
    {
        return Some(Some((at, allocation)));
    }
    descend(index, gaddr)
}

/// What [`search`] returns, without a hint.
fn descend(index: Index<'_>, gaddr: Gaddr) -> Option<Option<(PartitionIndex, Allocation)>> {
    if !index.data.contains(gaddr) {
        return Some(None);
    }
    match index.used().find(gaddr).ok()? {
        Found::At(at) => {
            let allocation = allocation_at(index, at)?;
            index.hints.remember_at(allocation.range.lo(), at);
            allocation.range.contains(gaddr).then_some(Some((at, allocation)))
        }
        Found::Between { below, .. } => index.is_gap(below, gaddr).then_some(None),
    }
}

/// The allocation with `tag` at the lowest address.
pub(crate) fn lowest_tagged(index: Index<'_>, tag: Tag) -> Option<Allocation> {
    allocations(index)
        .filter(|(_, allocation)| allocation.tag == tag)
        .map(|(_, allocation)| allocation)
        .min_by_key(|allocation| allocation.range.lo())
}

/// The allocations as the records have them, in the order of the table.
pub(crate) fn allocations(index: Index<'_>) -> impl Iterator<Item = (PartitionIndex, Allocation)> {
    index.table.indices().filter_map(move |at| Some((at, allocation_at(index, at)?)))
}

/// The allocation of a record, `None` if it has no tag or an impossible range.
fn allocation_at(index: Index<'_>, at: PartitionIndex) -> Option<Allocation> {
    let record = index.table.get(at).ok()?;
    let tag = record.tag()?;
    Some(Allocation { range: index.range(at, record).ok()?, tag })
}
