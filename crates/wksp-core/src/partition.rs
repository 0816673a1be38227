//! Partitions as values, and the walk over all of them in order of address.

use wksp_treap::{Damage, Gaddr, GaddrRange, Link, PartitionIndex, Tag};

use crate::index::Index;

/// A partition as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The position of its record.
    pub index: PartitionIndex,
    /// The addresses it covers.
    pub range: GaddrRange,
    /// Its tag, `None` if it is free.
    pub tag: Option<Tag>,
}

/// An allocation as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The addresses it covers.
    pub range: GaddrRange,
    /// Its tag.
    pub tag: Tag,
}

/// Goes through the partitions in ascending order of address.
///
/// Ends behind the first damage, and after at most as many partitions as there are records.
#[derive(Clone, Debug)]
pub struct Partitions<'m> {
    index: Index<'m>,
    next: Link,
    /// How many more partitions there can be.
    left: u32,
    /// Where the next partition must begin.
    expected_lo: Gaddr,
}

impl<'m> Partitions<'m> {
    pub(crate) fn new(index: Index<'m>) -> Self {
        let (next, left) = (index.header.part_head.get(), index.table.len());
        Self { index, next, left, expected_lo: index.data.lo() }
    }

    fn load(&mut self, index: PartitionIndex) -> Result<(Partition, Link), Damage> {
        // Somebody who changes the records during the walk could make it as long as the data.
        self.left = self.left.checked_sub(1).ok_or(Damage::EndlessWalk { index })?;
        let record = self.index.table.get(index)?;
        let range = self.index.range(index, record)?;
        if range.lo() != self.expected_lo {
            let (lo, hi) = (range.lo().get(), range.hi().get());
            return Err(Damage::BadRange { index, lo, hi });
        }
        Ok((Partition { index, range, tag: record.tag() }, record.next()))
    }
}

impl Iterator for Partitions<'_> {
    type Item = Result<Partition, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let data_hi = self.index.data.hi();
        let Some(next) = self.next else {
            // A list that ends early would hide whatever lies behind.
            let at = core::mem::replace(&mut self.expected_lo, data_hi);
            return (at < data_hi).then_some(Err(Damage::ListEnds { at }));
        };
        let loaded = self.load(next);
        // Each partition begins where the last one ended, so the walk cannot go round in a ring.
        self.next = match loaded {
            Ok((partition, next)) => {
                self.expected_lo = partition.range.hi();
                next
            }
            Err(_) => {
                self.expected_lo = data_hi;
                None
            }
        };
        Some(loaded.map(|(partition, _)| partition))
    }
}
