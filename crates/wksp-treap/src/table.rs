//! The record table, with every access checked, and the damage such checks can find.

use core::fmt;
use core::hint::black_box;

use crate::addr::Gaddr;
use crate::index::{Link, PartitionIndex};
use crate::record::PartitionRecord;

/// The records of a workspace.
#[derive(Clone, Copy)]
pub struct Table<'t> {
    records: &'t [PartitionRecord],
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of them would be gigabytes.
        f.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'t> Table<'t> {
    /// Takes all records of a workspace, at most 0xFFFFFFFF; further ones are left out.
    #[must_use]
    pub fn new(records: &'t [PartitionRecord]) -> Self {
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        Self { records: records.get(..most).unwrap_or(records) }
    }

    /// The number of records: idle, free and used.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "checked by new")]
    pub const fn len(self) -> u32 {
        self.records.len() as u32
    }

    /// Whether there are no records at all, which no workspace allows.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.records.is_empty()
    }

    /// The record at `index`.
    ///
    /// # Errors
    ///
    /// [`Damage::IndexOutOfRange`] if the table has no such record.
    #[inline]
    pub fn get(self, index: PartitionIndex) -> Result<&'t PartitionRecord, Damage> {
        let record = usize::try_from(index.get()).ok().and_then(|at| self.records.get(at));
        record.ok_or_else(|| self.out_of_range(index))
    }

    /// Has the processor load the record that a link leads to, if any, while it does other work.
    ///
    /// Records that are linked are seldom neighbours in memory, and a cache miss takes as long as
    /// some hundred instructions.
    #[inline]
    pub fn prefetch(self, link: Link) {
        if let Some(Ok(record)) = link.map(|index| self.get(index)) {
            // Nobody waits for this.
            black_box(record.heap_prio());
        }
    }

    #[cold]
    const fn out_of_range(self, index: PartitionIndex) -> Damage {
        Damage::IndexOutOfRange { index: index.get(), part_max: self.len() }
    }

    /// The indices of all records, ascending.
    #[must_use]
    pub fn indices(self) -> impl DoubleEndedIterator<Item = PartitionIndex> {
        (0..self.len()).filter_map(PartitionIndex::new)
    }

    /// All records with their indices, ascending.
    pub fn iter(self) -> impl Iterator<Item = (PartitionIndex, &'t PartitionRecord)> {
        self.indices().zip(self.records)
    }
}

/// A way in which the index contradicts itself, found while following it.
///
/// Nothing outside the table was touched, and no allocation is in doubt: the index can be rebuilt
/// from the records that have a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A link names a record that the table does not have.
    IndexOutOfRange {
        /// The link's value.
        index: u32,
        /// The number of records.
        part_max: u32,
    },
    /// Two records that are linked one way are not linked the other way.
    BrokenLink {
        /// The record from which the link leads.
        from: PartitionIndex,
        /// The record it leads to, which does not name `from` in return.
        to: PartitionIndex,
    },
    /// A root, or the head or tail of the partition list, is not the record it should be.
    WrongRoot {
        /// The record that should be named there.
        expected: PartitionIndex,
    },
    /// A record in the partition list or a treap has an empty range, or one outside the data.
    BadRange {
        /// The record.
        index: PartitionIndex,
        /// Its lower bound as stored, in bytes.
        lo: u64,
        /// Its upper bound as stored, in bytes.
        hi: u64,
    },
    /// A record has a tag where none may be, or none where one must be.
    WrongState {
        /// The record.
        index: PartitionIndex,
    },
    /// The partition list ends before the data does.
    ListEnds {
        /// Where the data goes on.
        at: Gaddr,
    },
    /// The idle stack ended although more records were counted on it a moment before.
    IdleStackEnds,
    /// Following links took more steps than there are records: they form a ring.
    EndlessWalk {
        /// A record in the ring.
        index: PartitionIndex,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IndexOutOfRange { index, part_max } => {
                write!(f, "a link names record {index}, but there are only {part_max} records")
            }
            Self::BrokenLink { from, to } => {
                write!(f, "record {from} leads to record {to}, which does not lead back")
            }
            Self::WrongRoot { expected } => {
                write!(f, "a root or list end does not name record {expected}, which stands there")
            }
            Self::BadRange { index, lo, hi } => {
                write!(f, "record {index} is indexed with the impossible range [{lo}, {hi})")
            }
            Self::ListEnds { at } => {
                write!(f, "the partition list ends at {at}, but the data goes on")
            }
            Self::WrongState { index } => {
                write!(f, "record {index} is indexed as free but used, or used but free")
            }
            Self::IdleStackEnds => f.write_str("the idle stack ends too early"),
            Self::EndlessWalk { index } => {
                write!(f, "the links around record {index} form a ring")
            }
        }
    }
}

impl core::error::Error for Damage {}
