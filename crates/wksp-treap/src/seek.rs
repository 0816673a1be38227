//! Finding sizes in the free treap, from any of its partitions on.

use crate::free::{FreeTreap, size_of_free};
use crate::index::{Link, PartitionIndex};
use crate::record::PartitionRecord;
use crate::table::Damage;
use crate::tree::Place;

/// Where a size lies among those of the treap.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rank {
    /// The node of the next smaller size. Left open if there is one of that very size.
    pub(crate) below: Link,
    /// The node of that size, or else of the next larger one.
    pub(crate) above: Link,
}

impl FreeTreap<'_> {
    /// Finds where `bytes` lies among the sizes, from the node `near` on if it is one.
    ///
    /// The search goes down from there, and up no further than it takes to know both neighbours:
    /// O(log d) steps on average to a size that is d sizes away.
    pub(crate) fn seek(self, bytes: u64, near: Link) -> Result<Rank, Damage> {
        if let Some(start) = near
            && let Ok(record) = self.tree.table.get(start)
            && !record.in_same()
            && size_of_free(start, record).is_ok()
            && self.tree.place(start, record).is_ok()
        {
            return self.seek_from(start, bytes);
        }
        let mut rank = Rank::default();
        let mut steps = self.tree.table.len();
        self.descend(self.tree.root.get(), bytes, &mut rank, &mut steps)?;
        Ok(rank)
    }

    /// The same from a node of the tree on.
    fn seek_from(self, start: PartitionIndex, bytes: u64) -> Result<Rank, Damage> {
        let mut rank = Rank::default();
        let mut steps = self.tree.table.len();
        if self.descend(Some(start), bytes, &mut rank, &mut steps)? {
            return Ok(rank);
        }
        // One of the neighbours is known. The other one is the nearest above on its side, or lies
        // on the far side below that.
        let mut child = start;
        let mut record = self.tree.table.get(child)?;
        loop {
            if rank.below.is_some() && rank.above.is_some() {
                return Ok(rank);
            }
            let (parent, is_left) = match self.tree.place(child, record)? {
                Place::Root => return Ok(rank),
                Place::LeftOf(parent) => (parent, true),
                Place::RightOf(parent) => (parent, false),
            };
            steps = steps.checked_sub(1).ok_or(Damage::EndlessWalk { index: parent })?;
            let above = self.tree.table.get(parent)?;
            let size = size_of_free(parent, above)?;
            if is_left && rank.above.is_none() {
                if size < bytes {
                    rank.below = Some(parent);
                    if self.descend(above.right(), bytes, &mut rank, &mut steps)? {
                        return Ok(rank);
                    }
                } else {
                    rank.above = Some(parent);
                }
            } else if !is_left && rank.below.is_none() {
                if size < bytes {
                    rank.below = Some(parent);
                } else {
                    rank.above = Some(parent);
                    if size == bytes || self.descend(above.left(), bytes, &mut rank, &mut steps)? {
                        return Ok(rank);
                    }
                }
            }
            (child, record) = (parent, above);
        }
    }

    /// Narrows the neighbours down to those below `link`; true if one of that very size is there.
    fn descend(
        self,
        mut link: Link,
        bytes: u64,
        rank: &mut Rank,
        steps: &mut u32,
    ) -> Result<bool, Damage> {
        while let Some(index) = link {
            *steps = steps.checked_sub(1).ok_or(Damage::EndlessWalk { index })?;
            let node: &PartitionRecord = self.tree.table.get(index)?;
            let size = size_of_free(index, node)?;
            if size < bytes {
                rank.below = Some(index);
                link = node.right();
            } else {
                rank.above = Some(index);
                if size == bytes {
                    return Ok(true);
                }
                link = node.left();
            }
        }
        Ok(false)
    }
}
