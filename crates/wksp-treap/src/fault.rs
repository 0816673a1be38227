//! What an inspection of a treap can find.

use core::fmt;

use crate::index::PartitionIndex;
use crate::table::Damage;

/// A broken invariant of a treap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreapFault {
    /// A link that cannot be followed, or leads to a record of the wrong state.
    Damage(Damage),
    /// A record does not lie behind the one before it in the order of the treap.
    OutOfOrder {
        /// The record.
        index: PartitionIndex,
    },
    /// A child has a higher priority than its parent.
    HeapOrder {
        /// The parent.
        parent: PartitionIndex,
        /// The child with the higher priority.
        child: PartitionIndex,
    },
    /// A record in the tree says that it hangs off one of the same size, or a used one has such.
    StraySame {
        /// The record.
        index: PartitionIndex,
    },
    /// A record hangs off one of another size, or has children, or does not say where it hangs.
    BadSame {
        /// The record.
        index: PartitionIndex,
    },
}

impl fmt::Display for TreapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Damage(damage) => damage.fmt(f),
            Self::OutOfOrder { index } => {
                write!(f, "record {index} stands in the wrong place of its treap")
            }
            Self::HeapOrder { parent, child } => {
                write!(f, "record {child} has a higher priority than its parent, record {parent}")
            }
            Self::StraySame { index } => {
                write!(f, "record {index} is linked as one of several of its size but is not")
            }
            Self::BadSame { index } => {
                write!(f, "record {index} hangs wrongly off another one as if of the same size")
            }
        }
    }
}

impl core::error::Error for TreapFault {}
