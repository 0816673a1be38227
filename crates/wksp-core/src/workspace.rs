//! A handle on a workspace: joined with its geometry checked once and for all.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use wksp_treap::{Gaddr, Table};

use crate::geometry::{Geometry, GeometryError, HEADER_BYTES};
use crate::guard::{Guard, LockError, Salvage};
use crate::header::{Header, MAGIC};
use crate::hints::Hints;
use crate::index::{Index, Parts};
use crate::lock::{Holder, Party, Stranger, TakeError, Taken};
use crate::memory::{Memory, OutsideData};
use crate::name::{Name, NameError};

/// A joined workspace.
///
/// The handle lives in one process; each process that shares the memory has its own.
/// It is `Sync` if its party is: threads may share it, and exclude each other by the same lock.
///
/// # Invariants
///
/// The geometry was checked against the memory when the workspace was joined, is kept here, and is
/// never read from the memory again.
#[derive(Debug)]
#[doc(alias = "fd_wksp_t")]
pub struct Workspace<'m, P> {
    pub(crate) memory: Memory<'m>,
    pub(crate) parts: Parts<'m>,
    pub(crate) party: P,
    geometry: Geometry,
}

/// Why memory cannot be joined as a workspace. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The memory has no room for a header.
    #[error("a workspace begins with a header of {HEADER_BYTES} bytes, but there are only {bytes}")]
    NoHeader {
        /// The bytes of the memory.
        bytes: usize,
    },
    /// The magic is not that of a workspace: it was never formatted, or unformatted.
    #[error(
        "this is no workspace: it begins with {magic:#018x} instead of {MAGIC:#018x}; format it \
         first, or look for another region of that name"
    )]
    NotAWorkspace {
        /// What stands in its place.
        magic: u64,
    },
    /// The numbers of records and bytes in the header make no workspace.
    #[error("the header is damaged: {0}")]
    BadGeometry(#[from] GeometryError),
    /// The bounds of the data in the header do not follow from the other numbers.
    #[error("the header is damaged: it puts the data at [{lo}, {hi}) instead of {expected}")]
    BadBounds {
        /// The lower bound in the header.
        lo: u64,
        /// The upper bound in the header.
        hi: u64,
        /// What follows from the numbers of records and bytes.
        expected: wksp_treap::GaddrRange,
    },
    /// The header describes more than there is.
    #[error(
        "the header describes a workspace of {footprint} bytes, but the region has only {bytes}: \
         it is damaged or was truncated"
    )]
    Truncated {
        /// The bytes that the header asks for.
        footprint: u64,
        /// The bytes that there are.
        bytes: usize,
    },
}

impl<'m, P: Party> Workspace<'m, P> {
    /// Joins the workspace that lies in `memory` as `party`.
    ///
    /// Costs a few loads and takes no lock; the index is not looked at.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if there is no workspace, or its header does not fit itself and the memory.
    #[doc(alias = "fd_wksp_join")]
    pub fn join(memory: Memory<'m>, party: P) -> Result<Self, JoinError> {
        let geometry = stored_geometry(memory.header(), memory.bytes())?;
        Self::over(memory, geometry, party)
            .ok_or(JoinError::Truncated { footprint: geometry.footprint(), bytes: memory.bytes() })
    }

    /// What all operations go through.
    #[inline]
    pub(crate) const fn index(&self) -> Index<'_> {
        Index(&self.parts)
    }

    /// Takes the lock word, from a dead holder if need be.
    #[inline(always)]
    pub(crate) fn take_word(&self) -> Result<Taken, TakeError> {
        self.parts.header.owner.take(&self.party, || self.cycle_tag())
    }

    /// Makes the handle, `None` if the memory is too small.
    pub(crate) fn over(memory: Memory<'m>, geometry: Geometry, party: P) -> Option<Self> {
        if geometry.footprint() > memory.bytes() as u64 {
            return None;
        }
        let header: &'m Header = memory.header()?;
        let table = Table::new(memory.records(geometry.part_max())?);
        Some(Self {
            memory,
            parts: Parts { header, table, data: geometry.data(), hints: Hints::default() },
            party,
            geometry,
        })
    }

    /// The number of words that [`with_hints`](Self::with_hints) can use.
    pub fn hint_words(&self) -> usize {
        Hints::words(&self.geometry)
    }

    /// The same handle, with memory in which it remembers what it would otherwise search for.
    ///
    /// `words` are the process's own, hold zeros, and are as many as
    /// [`hint_words`](Self::hint_words) says; with fewer the handle does without. They are only
    /// guesses that are looked up before they are used: what others do in the workspace makes some
    /// of them useless, never wrong. Only those pages of them are ever touched that are of use.
    #[must_use]
    pub fn with_hints(mut self, words: &'m [AtomicU64]) -> Self {
        self.parts.hints = Hints::new(words, &self.geometry);
        self
    }

    /// Takes the lock, waiting as long as the party is willing to.
    ///
    /// If the holder is dead, its lock is taken over, and the index checked and rebuilt if need be.
    /// An uncontended lock costs one compare-and-swap here and one store on release.
    ///
    /// # Concurrency
    ///
    /// The lock does not nest: a thread that locks again while it holds a guard waits for itself.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`] after the bound, [`LockError::Stranger`] in a forked child, and
    /// [`LockError::Unrecoverable`] if the holder is dead and its index can not be rebuilt; the
    /// lock is then back in the dead holder's hands, and [`salvage`](Self::salvage) can help.
    #[inline]
    pub fn lock(&self) -> Result<Guard<'_, 'm, P>, LockError> {
        Guard::take(self)
    }

    /// Takes the lock as [`lock`](Self::lock) does, but neither checks nor rebuilds the index.
    ///
    /// This is how a workspace that cannot be recovered is looked at, rebuilt or reset.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`] and [`LockError::Stranger`].
    pub fn salvage(&self) -> Result<Salvage<'_, 'm, P>, LockError> {
        Salvage::take(self)
    }

    /// Takes the lock from `holder` by force, `None` if it is not the holder any more.
    ///
    /// The caller vouches that the holder is gone for good: if it is not, both change the index at
    /// once, and allocations can be lost.
    ///
    /// # Errors
    ///
    /// [`Stranger`] in a forked child.
    pub fn break_lock(&self, holder: Holder) -> Result<Option<Salvage<'_, 'm, P>>, Stranger> {
        Salvage::seize(self, holder)
    }

    /// Who holds the lock at this moment, `None` if nobody does.
    #[doc(alias = "fd_wksp_owner")]
    pub fn holder(&self) -> Option<Holder> {
        self.parts.header.owner.holder()
    }

    /// A number that has changed if the index has, as of docs/layout.md.
    ///
    /// A reader that sees the lock free and the same number before and after has read an index that
    /// nobody changed meanwhile; it needs an Acquire fence behind the first look and before the
    /// second.
    pub fn cycle_tag(&self) -> u64 {
        self.parts.header.cycle_tag.get()
    }
}

/// What the header says of a workspace in so many bytes, checked against itself.
///
/// Whether the bytes are enough for it is still to be looked at.
pub(crate) fn stored_geometry(
    header: Option<&Header>,
    bytes: usize,
) -> Result<Geometry, JoinError> {
    let header = header.ok_or(JoinError::NoHeader { bytes })?;
    match header.magic.get() {
        // Pairs with the fence before format stores the magic.
        MAGIC => fence(Ordering::Acquire),
        magic => return Err(JoinError::NotAWorkspace { magic }),
    }
    let geometry = Geometry::new(header.part_max.get(), header.data_max.get())?;
    let (lo, hi) = (header.gaddr_lo.get(), header.gaddr_hi.get());
    let expected = geometry.data();
    if (lo, hi) != (expected.lo().get(), expected.hi().get()) {
        return Err(JoinError::BadBounds { lo, hi, expected });
    }
    Ok(geometry)
}

impl<P> Workspace<'_, P> {
    /// The numbers of records and bytes.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The party as which the workspace was joined.
    pub const fn party(&self) -> &P {
        &self.party
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
    pub fn seed(&self) -> u32 {
        self.parts.header.seed.get()
    }

    /// The address in this process of the byte at `gaddr`, `None` outside the data.
    ///
    /// It is valid for as long as the memory is; whether it belongs to an allocation, and who else
    /// uses it, is for the caller to know.
    #[doc(alias = "fd_wksp_laddr")]
    pub fn pointer(&self, gaddr: Gaddr) -> Option<NonNull<u8>> {
        self.geometry.data().contains(gaddr).then_some(())?;
        self.memory.pointer(gaddr)
    }

    /// The global address of a byte of this process, `None` if it is not one of the data.
    #[doc(alias = "fd_wksp_gaddr")]
    pub fn gaddr(&self, pointer: *const u8) -> Option<Gaddr> {
        let offset = pointer.addr().checked_sub(self.memory.base().addr().get())?;
        Gaddr::new(offset as u64).filter(|&gaddr| self.geometry.data().contains(gaddr))
    }

    /// Copies data out, from `gaddr` on, as many bytes as `to` has.
    ///
    /// # Concurrency
    ///
    /// Takes no lock. Bytes that someone writes meanwhile come out old or new, each for itself.
    ///
    /// # Errors
    ///
    /// [`OutsideData`] if not all of them lie within the data; then `to` is unchanged.
    pub fn copy_out(&self, gaddr: Gaddr, to: &mut [u8]) -> Result<(), OutsideData> {
        let outside = OutsideData { gaddr, bytes: to.len() as u64, data: self.geometry.data() };
        let offset = data_offset(&self.geometry, gaddr, to.len()).ok_or(outside)?;
        self.memory.copy_out(offset, to).ok_or(outside)
    }

    /// Copies data in, from `gaddr` on, all bytes of `from`.
    ///
    /// # Concurrency
    ///
    /// Takes no lock: the caller owns the allocation, or has agreed with whoever does.
    ///
    /// # Errors
    ///
    /// [`OutsideData`] if not all of them lie within the data; then nothing is changed.
    pub fn copy_in(&self, gaddr: Gaddr, from: &[u8]) -> Result<(), OutsideData> {
        let outside = OutsideData { gaddr, bytes: from.len() as u64, data: self.geometry.data() };
        let offset = data_offset(&self.geometry, gaddr, from.len()).ok_or(outside)?;
        self.memory.copy_in(offset, from).ok_or(outside)
    }
}

/// Where in the memory `bytes` bytes from `gaddr` on begin, `None` if they are not all data.
pub(crate) fn data_offset(geometry: &Geometry, gaddr: Gaddr, bytes: usize) -> Option<usize> {
    let data = geometry.data();
    let end = gaddr.get().checked_add(bytes as u64)?;
    (data.lo() <= gaddr && end <= data.hi().get()).then_some(())?;
    usize::try_from(gaddr.get()).ok()
}
