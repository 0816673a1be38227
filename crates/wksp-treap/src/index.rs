//! The index of a record, and links that may lead nowhere.

use core::fmt;
use core::num::NonZeroU32;

/// The position of a record in its table: 0 ..= 0xFFFFFFFE.
///
/// Whether it lies inside a given table is checked at every use, since a link in shared memory may
/// say anything.
// Holds one more, so that NIL is the niche and a link is four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartitionIndex(NonZeroU32);

/// A link as a record or header stores it: the index of a record or, as [`NIL`], of none.
pub type Link = Option<PartitionIndex>;

/// The stored form of the link that leads nowhere.
pub const NIL: u32 = u32::MAX;

impl PartitionIndex {
    /// Makes an index, `None` for [`NIL`]: this is how a stored link is read.
    #[inline]
    #[must_use]
    pub const fn new(index: u32) -> Link {
        match NonZeroU32::new(index.wrapping_add(1)) {
            Some(one_more) => Some(Self(one_more)),
            None => None,
        }
    }

    /// The position, counted from 0.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get().wrapping_sub(1)
    }
}

impl fmt::Display for PartitionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

impl fmt::Debug for PartitionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.get())
    }
}
