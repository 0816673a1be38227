//! Looking at a workspace without its lock, in memory that may be mapped only to be read.
//!
//! What is seen may be in the middle of a change. Whether it was is told as by a sequence lock: by
//! the lock word and `cycle_tag`, looked at before and after. Two things pair with each other.
//!
//! * Who raises the tag, holding the lock, does it between two Release fences. So one who has seen
//!   the new tag, and then looks at the lock word behind an Acquire fence, sees that it is held or
//!   what it was after that; and one who has seen any store of the change, and then looks at the tag
//!   behind an Acquire fence, sees the new tag or a later one. The first look is therefore at the tag
//!   and then at the lock word.
//! * Who gives the lock back does so with Release. So one who sees it free behind a change sees the
//!   tag that the change has left. The second look is therefore at the lock word and then at the tag,
//!   and does not depend on whether the tag was raised before the first store of a change, as this
//!   crate does, or before the lock was given back, as others may.
//!
//! All loads are Relaxed and followed by fences: only such loads are defined for memory that cannot
//! be written.

use core::sync::atomic::{Ordering, fence};

use wksp_treap::{Gaddr, Table, Tag};

use crate::geometry::Geometry;
use crate::header::Header;
use crate::hints::Hints;
use crate::index::{Index, Parts};
use crate::lock::Holder;
use crate::memory::{OutsideData, ReadOnlyMemory};
use crate::name::{Name, NameError};
use crate::partition::{Allocation, Partitions};
use crate::query::{allocations, find, lowest_tagged};
use crate::usage::{Usage, usage};
use crate::verify::{Report, verify};
use crate::workspace::{JoinError, data_offset, stored_geometry};

/// A workspace that is looked at by one who has no part in it: without the lock, without a store.
///
/// Nobody waits for an observer, and an observer waits for nobody.
///
/// # Invariants
///
/// As of [`Workspace`](crate::Workspace): the geometry was checked when this was made, is kept here,
/// and is never read from the memory again.
///
/// # Examples
///
/// ```
/// # use wksp_core::*;
/// # let mut blocks = [const { Block::new() }; 64];
/// # let memory = Memory::of_blocks(&mut blocks);
/// # let geometry = Geometry::for_footprint(memory.bytes() as u64, 256)?;
/// # let format = Format { name: Name::new("seen")?, seed: 0, geometry };
/// # let workspace = Workspace::format(memory, Solo, format)?;
/// let observer = Observer::join(memory.into())?;
/// let seen = observer.observe(|view| view.usage(None), |_| false);
/// assert_eq!((seen.value.used.count, seen.doubt), (0, None));
///
/// // Somebody is inside: the answer is still there, but not certain.
/// let guard = workspace.lock()?;
/// let seen = observer.observe(|view| view.usage(None), |_| false);
/// assert!(seen.doubt.is_some_and(|doubt| doubt.holder.is_some()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Observer<'m> {
    memory: ReadOnlyMemory<'m>,
    parts: Parts<'m>,
    geometry: Geometry,
}

/// What can be seen of a workspace: its index and records, to be read only.
///
/// Each method gives an answer in bounded time whatever the memory holds or becomes meanwhile, but a
/// right one only if nobody changes the index: see [`Observer::observe`].
#[derive(Clone, Copy, Debug)]
pub struct View<'m> {
    index: Index<'m>,
}

/// What was seen, and whether it can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was seen may not be certain"]
pub struct Observed<T> {
    /// What was seen.
    pub value: T,
    /// Why it may never have been so, `None` if it was so at one moment.
    pub doubt: Option<Doubt>,
}

/// Why what was seen may never have been so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Who held the lock before or after, and perhaps has not ended a change. One who only reads
    /// holds it as well.
    pub holder: Option<Holder>,
    /// Whether the index was certainly changed meanwhile.
    pub is_changed: bool,
}

impl<T> Observed<T> {
    /// The same with another value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Observed<U> {
        Observed { value: make(self.value), doubt: self.doubt }
    }
}

/// What a workspace was like before it was looked at.
pub(crate) struct Before {
    cycle_tag: u64,
    pub(crate) holder: Option<Holder>,
}

impl Before {
    /// The first look: the tag and then the lock word, both before all that follows.
    #[inline]
    pub(crate) fn look(header: &Header) -> Self {
        let cycle_tag = header.cycle_tag.get();
        fence(Ordering::Acquire);
        let holder = header.owner.holder();
        fence(Ordering::Acquire);
        Self { cycle_tag, holder }
    }

    /// The second look: the lock word and then the tag, both after all that was read.
    #[inline]
    pub(crate) fn doubt(&self, header: &Header) -> Option<Doubt> {
        fence(Ordering::Acquire);
        let holder = header.owner.holder();
        fence(Ordering::Acquire);
        let is_changed = header.cycle_tag.get() != self.cycle_tag;
        let holder = holder.or(self.holder);
        (holder.is_some() || is_changed).then_some(Doubt { holder, is_changed })
    }
}

impl<'m> Observer<'m> {
    /// Looks at the workspace that lies in `memory`.
    ///
    /// Costs a few loads; the index is not looked at.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if there is no workspace, or its header does not fit itself and the memory.
    pub fn join(memory: ReadOnlyMemory<'m>) -> Result<Self, JoinError> {
        let bytes = memory.bytes();
        let geometry = stored_geometry(memory.header(), bytes)?;
        let truncated = JoinError::Truncated { footprint: geometry.footprint(), bytes };
        if geometry.footprint() > bytes as u64 {
            return Err(truncated);
        }
        let header = memory.header().ok_or(truncated)?;
        let table = Table::new(memory.records(geometry.part_max()).ok_or(truncated)?);
        // What is remembered for later searches is of no use to one who only looks.
        let parts = Parts { header, table, data: geometry.data(), hints: Hints::default() };
        Ok(Self { memory, parts, geometry })
    }

    /// The numbers of records and bytes.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The name as the header has it.
    ///
    /// # Errors
    ///
    /// [`NameError`] if it is damaged.
    pub fn name(&self) -> Result<Name, NameError> {
        self.parts.header.name()
    }

    /// The seed of the heap priorities.
    #[must_use]
    pub fn seed(&self) -> u32 {
        self.parts.header.seed.get()
    }

    /// Who holds the lock at this moment, `None` if nobody does.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.parts.header.owner.holder()
    }

    /// A number that has changed if the index has, as of docs/layout.md.
    #[must_use]
    pub fn cycle_tag(&self) -> u64 {
        self.parts.header.cycle_tag.get()
    }

    /// Looks, again and again as long as the answer is not certain and `again` says so.
    ///
    /// `again` is asked after every attempt that was in vain, and may pause; so who calls decides on
    /// how often and how long. When it says no, the last answer is given with its [`Doubt`].
    /// While somebody holds the lock nothing is read until the last attempt.
    ///
    /// # Concurrency
    ///
    /// Without doubt, all that `look` has read of the index was so at one moment.
    /// Bytes of the data are no part of that: their users change them without the lock.
    pub fn observe<'o, T>(
        &'o self,
        mut look: impl FnMut(View<'o>) -> T,
        mut again: impl FnMut(Doubt) -> bool,
    ) -> Observed<T> {
        loop {
            let mut before = Before::look(self.parts.header);
            while let Some(holder) = before.holder {
                if !again(Doubt { holder: Some(holder), is_changed: false }) {
                    let value = look(View::new(Index(&self.parts)));
                    return Observed { value, doubt: before.doubt(self.parts.header) };
                }
                before = Before::look(self.parts.header);
            }
            let value = look(View::new(Index(&self.parts)));
            let doubt = before.doubt(self.parts.header);
            if doubt.is_none_or(|doubt| !again(doubt)) {
                return Observed { value, doubt };
            }
        }
    }

    /// Copies data out, from `gaddr` on, as many bytes as `to` has.
    ///
    /// # Concurrency
    ///
    /// Bytes that someone writes meanwhile come out old or new, each for itself.
    ///
    /// # Errors
    ///
    /// [`OutsideData`] if not all of them lie within the data; then `to` is unchanged.
    pub fn copy_out(&self, gaddr: Gaddr, to: &mut [u8]) -> Result<(), OutsideData> {
        let outside = OutsideData { gaddr, bytes: to.len() as u64, data: self.geometry.data() };
        let offset = data_offset(&self.geometry, gaddr, to.len()).ok_or(outside)?;
        self.memory.copy_out(offset, to).ok_or(outside)
    }
}

impl<'m> View<'m> {
    pub(crate) const fn new(index: Index<'m>) -> Self {
        Self { index }
    }

    /// Adds up the partitions, and those with `tag` apart: see [`Guard::usage`](crate::Guard::usage).
    #[must_use]
    pub fn usage(&self, tag: Option<Tag>) -> Usage {
        usage(self.index, tag)
    }

    /// Checks every invariant of the layout: see [`Guard::verify`](crate::Guard::verify).
    #[must_use]
    pub fn verify(&self) -> Report {
        verify(self.index)
    }

    /// The allocation that covers `gaddr`: see [`Guard::allocation`](crate::Guard::allocation).
    #[must_use]
    pub fn allocation(&self, gaddr: Gaddr) -> Option<Allocation> {
        find(self.index, gaddr).map(|(_, allocation)| allocation)
    }

    /// The allocation with `tag` at the lowest address.
    ///
    /// Costs O(m) in the number m of records.
    #[must_use]
    pub fn lowest_tagged(&self, tag: Tag) -> Option<Allocation> {
        lowest_tagged(self.index, tag)
    }

    /// All partitions in ascending order of address, free ones too.
    ///
    /// There are never more of them than records.
    /// A list that is damaged, or is being changed, ends with the damage.
    #[must_use]
    pub fn partitions(&self) -> Partitions<'m> {
        Partitions::new(self.index)
    }

    /// All records that have a tag and a possible range, in the order of the table: see
    /// [`Salvage::allocations`](crate::Salvage::allocations).
    pub fn allocations(&self) -> impl Iterator<Item = Allocation> + use<'m> {
        allocations(self.index).map(|(_, allocation)| allocation)
    }
}
