//! The rules an image can break, each with what was found where.

use std::fmt;

/// One rule of the memory layout that an image breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are explained by the message of their variant")]
pub enum Violation {
    /// The image ends before the header, or before the footprint that the header implies.
    TooShort { needed: u64, found: u64 },
    /// The first eight bytes do not mark a workspace.
    Magic { found: u64 },
    /// The number of records is outside 1 ..= 2^32-1.
    PartMax { found: u64 },
    /// The data region has no bytes.
    DataMax,
    /// The data region starts elsewhere than behind the records.
    GaddrLo { expected: u64, found: u64 },
    /// The data region ends elsewhere than `data_max` says.
    GaddrHi { expected: u64, found: u64 },
    /// The name is not a region name padded with NUL.
    Name,
    /// The header's last word is not 0.
    HeaderPadding { found: u64 },
    /// The header's version counter is below 4.
    CycleTag { found: u64 },
    /// The lock is held although it must be free.
    Owner { found: u64 },
    /// A link names a record beyond the table.
    IndexOutOfRange { link: Link, index: u32 },
    /// A walk reaches a record for the second time.
    Revisited { link: Link, index: u32 },
    /// Bit 30 of a heap priority is set.
    HeapPrio { index: u32 },
    /// An idle record's field does not hold its resting value.
    IdleField { index: u32, field: &'static str },
    /// A record is idle and in the partition list at once.
    TwoStates { index: u32 },
    /// A record is neither idle nor in the partition list.
    NoState { index: u32, tag: u64 },
    /// Idle, free and used records do not add up to the table.
    Count { idle: u64, free: u64, used: u64, part_max: u64 },
    /// A partition's `prev` does not name the partition before it.
    Prev { index: u32, expected: u32, found: u32 },
    /// `part_tail` does not name the last partition of the list.
    PartTail { expected: u32, found: u32 },
    /// A partition does not start where the one before it ends.
    Tiling { index: u32, expected: u64, found: u64 },
    /// The last partition does not end where the data region does.
    TilingEnd { expected: u64, found: u64 },
    /// A partition covers no byte.
    EmptyPartition { index: u32, lo: u64, hi: u64 },
    /// Two neighbours in the list are both free.
    FreeNeighbours { left: u32, right: u32 },
    /// A treap, or a list of equal sizes, holds a record that does not belong there.
    Foreign { tree: Tree, index: u32 },
    /// A partition of the list is missing from its treap.
    Missing { tree: Tree, index: u32 },
    /// A `parent` link does not name the record it was reached from.
    Parent { tree: Tree, index: u32, expected: u32, found: u32 },
    /// Two neighbours in key order stand the wrong way round, or are equal.
    Order { tree: Tree, before: u32, after: u32 },
    /// A child's heap priority is above its parent's.
    Heap { tree: Tree, parent: u32, child: u32 },
    /// The bit that marks members of a list of equal sizes is wrong.
    InSame { tree: Tree, index: u32, found: bool },
    /// A used partition has a list of equal sizes.
    UsedSame { index: u32, same: u32 },
    /// A member of a list of equal sizes has a child.
    SameChild { index: u32 },
    /// A member of a list of equal sizes differs in size from the treap node.
    SameSize { index: u32, expected: u64, found: u64 },
    /// A record's tag is set but its range is empty or leaves the data region.
    UsedRange { index: u32, lo: u64, hi: u64 },
    /// Two records whose tags are set share bytes.
    Overlap { left: u32, right: u32 },
}

/// The place a record index was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A field of the header.
    Header(&'static str),
    /// A field of a record.
    Record(u32, &'static str),
}

/// One of the two treaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The used partitions by address.
    Used,
    /// The free partitions by size.
    Free,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(field) => write!(f, "header.{field}"),
            Self::Record(index, field) => write!(f, "record {index}.{field}"),
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Used => "used treap",
            Self::Free => "free treap",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort { needed, found } => {
                write!(f, "image has {found} bytes, needs {needed}")
            }
            Self::Magic { found } => write!(f, "magic is {found:#x}"),
            Self::PartMax { found } => write!(f, "part_max is {found}, not in 1 ..= 2^32-1"),
            Self::DataMax => f.write_str("data_max is 0"),
            Self::GaddrLo { expected, found } => {
                write!(f, "gaddr_lo is {found}, part_max makes it {expected}")
            }
            Self::GaddrHi { expected, found } => {
                write!(f, "gaddr_hi is {found}, data_max makes it {expected}")
            }
            Self::Name => f.write_str("name is not a NUL-padded region name"),
            Self::HeaderPadding { found } => write!(f, "header padding is {found:#x}, not 0"),
            Self::CycleTag { found } => write!(f, "header cycle_tag is {found}, below 4"),
            Self::Owner { found } => write!(f, "lock is held by {found}"),
            Self::IndexOutOfRange { link, index } => {
                write!(f, "{link} is {index}, beyond the table")
            }
            Self::Revisited { link, index } => {
                write!(f, "{link} leads to record {index} a second time")
            }
            Self::HeapPrio { index } => write!(f, "record {index}: bit 30 of heap_prio is set"),
            Self::IdleField { index, field } => {
                write!(f, "idle record {index}: {field} is not at rest")
            }
            Self::TwoStates { index } => write!(f, "record {index} is both idle and listed"),
            Self::NoState { index, tag } => {
                write!(f, "record {index} (tag {tag}) is neither idle nor listed")
            }
            Self::Count { idle, free, used, part_max } => {
                write!(f, "{idle} idle + {free} free + {used} used records, not {part_max}")
            }
            Self::Prev { index, expected, found } => {
                write!(f, "partition {index}: prev is {found}, not {expected}")
            }
            Self::PartTail { expected, found } => {
                write!(f, "part_tail is {found}, the list ends at {expected}")
            }
            Self::Tiling { index, expected, found } => {
                write!(f, "partition {index} starts at {found}, not at {expected}")
            }
            Self::TilingEnd { expected, found } => {
                write!(f, "partitions end at {found}, the data region at {expected}")
            }
            Self::EmptyPartition { index, lo, hi } => {
                write!(f, "partition {index} covers nothing: [{lo}, {hi})")
            }
            Self::FreeNeighbours { left, right } => {
                write!(f, "neighbours {left} and {right} are both free")
            }
            Self::Foreign { tree, index } => write!(f, "{tree} holds record {index}"),
            Self::Missing { tree, index } => write!(f, "{tree} lacks partition {index}"),
            Self::Parent { tree, index, expected, found } => {
                write!(f, "{tree}: parent of {index} is {found}, not {expected}")
            }
            Self::Order { tree, before, after } => {
                write!(f, "{tree}: {after} does not sort after {before}")
            }
            Self::Heap { tree, parent, child } => {
                write!(f, "{tree}: {child} has a higher priority than its parent {parent}")
            }
            Self::InSame { tree, index, found } => {
                write!(f, "{tree}: in_same of {index} is {found}")
            }
            Self::UsedSame { index, same } => {
                write!(f, "used treap: same of {index} is {same}, not NIL")
            }
            Self::SameChild { index } => {
                write!(f, "free treap: list member {index} has a child")
            }
            Self::SameSize { index, expected, found } => {
                write!(f, "free treap: list member {index} has {found} bytes, not {expected}")
            }
            Self::UsedRange { index, lo, hi } => {
                write!(f, "used record {index}: [{lo}, {hi}) is not inside the data region")
            }
            Self::Overlap { left, right } => {
                write!(f, "used records {left} and {right} share bytes")
            }
        }
    }
}

impl std::error::Error for Violation {}
