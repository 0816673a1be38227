//! The treap of the free partitions, by size, with lists of those of the same size.

use crate::addr::GaddrRange;
use crate::cell::LinkCell;
use crate::fault::TreapFault;
use crate::index::{Link, NIL, PartitionIndex};
use crate::record::PartitionRecord;
use crate::seek::Rank;
use crate::table::{Damage, Table};
use crate::tree::{Step, Tree};

/// The treap of the free partitions, by size.
///
/// Each size stands once in the tree; further partitions of that size hang off it in a list.
#[derive(Clone, Copy, Debug)]
pub struct FreeTreap<'t> {
    pub(crate) tree: Tree<'t>,
}

impl<'t> FreeTreap<'t> {
    /// Views the treap that hangs off `root`.
    #[must_use]
    pub const fn new(table: Table<'t>, root: &'t LinkCell) -> Self {
        Self { tree: Tree { table, root } }
    }

    /// Finds a smallest free partition of at least `bytes`.
    ///
    /// Of several of one size it is the one that is cheapest to take out.
    /// Writes nothing. `near` may name any record: the closer its size, the shorter the search.
    /// Costs O(log f) in the number f of distinct free sizes, or O(log d) where d of them lie between
    /// `bytes` and the size of `near`.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the links lead out of the table, round in a ring or to an impossible range.
    pub fn smallest_at_least(self, bytes: u64, near: Link) -> Result<Link, Damage> {
        let Some(index) = self.seek(bytes, near)?.above else { return Ok(None) };
        Ok(self.tree.table.get(index)?.same().or(Some(index)))
    }

    /// Finds a largest free partition.
    ///
    /// Writes nothing and costs O(log f) in the number f of distinct free sizes.
    ///
    /// # Errors
    ///
    /// As of [`smallest_at_least`](Self::smallest_at_least).
    pub fn largest(self) -> Result<Link, Damage> {
        let (mut link, mut last) = (self.tree.root.get(), None);
        for _ in 0..=self.tree.table.len() {
            let Some(index) = link else { return Ok(last) };
            let node = self.tree.table.get(index)?;
            size_of_free(index, node)?;
            last = node.same().or(Some(index));
            link = node.right();
        }
        Err(self.endless(link))
    }

    /// Inserts a partition.
    ///
    /// Costs as much as [`smallest_at_least`](Self::smallest_at_least), and O(1) stores on average.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the way is damaged or the record's range impossible; then nothing is changed,
    /// or only links are.
    pub fn insert(self, index: PartitionIndex, near: Link) -> Result<(), Damage> {
        let bytes = size_of_free(index, self.tree.table.get(index)?)?;
        self.insert_at(index, bytes, self.seek(bytes, near)?)
    }

    /// Gives a partition in the treap another range.
    ///
    /// Costs as much as [`insert`](Self::insert), but if its place among the sizes stays the same,
    /// no link changes.
    ///
    /// # Errors
    ///
    /// As of [`insert`](Self::insert), and of [`remove`](Self::remove).
    pub fn resize(
        self,
        index: PartitionIndex,
        range: GaddrRange,
        near: Link,
    ) -> Result<(), Damage> {
        let record = self.tree.table.get(index)?;
        let bytes = range.bytes();
        let mut rank = self.seek(bytes, near)?;
        if rank.below == Some(index) || rank.above == Some(index) {
            let is_alone = !record.in_same() && record.same().is_none();
            if is_alone && (rank.above == Some(index) || !self.is_of(rank.above, bytes)?) {
                record.set_range(range);
                return Ok(());
            }
            self.remove(index)?;
            rank = self.seek(bytes, rank.above.filter(|above| *above != index))?;
        } else {
            self.remove(index)?;
        }
        record.set_range(range);
        self.insert_at(index, bytes, rank)
    }

    /// Whether there is a partition, of `bytes` bytes.
    fn is_of(self, link: Link, bytes: u64) -> Result<bool, Damage> {
        let Some(index) = link else { return Ok(false) };
        Ok(size_of_free(index, self.tree.table.get(index)?)? == bytes)
    }

    /// Inserts a partition of `bytes` bytes where such are.
    fn insert_at(self, index: PartitionIndex, bytes: u64, rank: Rank) -> Result<(), Damage> {
        let table = self.tree.table;
        if let Some(above) = rank.above
            && self.is_of(rank.above, bytes)?
        {
            return self.insert_same(index, table.get(index)?, above, table.get(above)?);
        }
        self.tree.attach(index, self.tree.between(index, rank.below, rank.above)?)
    }

    /// Hangs a partition off the one of its size that stands in the tree.
    fn insert_same(
        self,
        index: PartitionIndex,
        record: &PartitionRecord,
        head_index: PartitionIndex,
        head: &PartitionRecord,
    ) -> Result<(), Damage> {
        if let Some(second) = head.same() {
            self.tree.table.get(second)?.parent.set(Some(index));
        }
        record.left.set(None);
        record.right.set(None);
        record.parent.set(Some(head_index));
        record.same.set(head.same());
        record.set_in_same(true);
        head.same.set(Some(index));
        Ok(())
    }

    /// Takes a partition out, through its links and without a search.
    ///
    /// Costs O(1) rotations on average.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the links around the record contradict each other.
    pub fn remove(self, index: PartitionIndex) -> Result<(), Damage> {
        let table = self.tree.table;
        let record = table.get(index)?;
        if record.in_same() {
            let before = record.parent().ok_or(Damage::WrongRoot { expected: index })?;
            let before_record = table.get(before)?;
            if before_record.same() != Some(index) {
                return Err(Damage::BrokenLink { from: index, to: before });
            }
            if let Some(behind) = record.same() {
                table.get(behind)?.parent.set(Some(before));
            }
            before_record.same.set(record.same());
        } else if let Some(heir) = record.same() {
            let heir_record = table.get(heir)?;
            if heir_record.parent() != Some(index) || !heir_record.in_same() {
                return Err(Damage::BrokenLink { from: index, to: heir });
            }
            heir_record.set_in_same(false);
            self.tree.substitute(index, heir)?;
        } else {
            self.tree.detach(index)?;
        }
        record.clear_tree_links();
        Ok(())
    }

    /// Visits every record in order of size, and tells what breaks an invariant of the treap.
    ///
    /// Ends after at most as many records as the table has.
    pub fn inspect(
        self,
        mut visit: impl FnMut(PartitionIndex, &'t PartitionRecord),
        mut report: impl FnMut(TreapFault),
    ) {
        let table = self.tree.table;
        let mut last_size = 0;
        let mut left_to_visit = table.len();
        self.tree.walk(|step| {
            let (index, record) = match step {
                Step::Node(index, record) => (index, record),
                Step::HeapOrder { parent, child } => {
                    return report(TreapFault::HeapOrder { parent, child });
                }
                Step::Broken(damage) => return report(TreapFault::Damage(damage)),
            };
            let size = match size_of_free(index, record) {
                Ok(size) => size,
                Err(damage) => return report(TreapFault::Damage(damage)),
            };
            if size <= last_size {
                report(TreapFault::OutOfOrder { index });
            }
            last_size = size;
            if record.in_same() {
                report(TreapFault::StraySame { index });
            }
            visit(index, record);
            let (mut before, mut link) = (index, record.same());
            while let Some(index) = link {
                let record = match table.get(index) {
                    Ok(record) => record,
                    Err(damage) => return report(TreapFault::Damage(damage)),
                };
                let Some(left) = left_to_visit.checked_sub(1) else {
                    return report(TreapFault::Damage(Damage::EndlessWalk { index }));
                };
                left_to_visit = left;
                if record.parent() != Some(before)
                    || !record.in_same()
                    || record.left().is_some()
                    || record.right().is_some()
                    || size_of_free(index, record) != Ok(size)
                {
                    // What hangs behind a record that is no part of the list is no part either.
                    return report(TreapFault::BadSame { index });
                }
                visit(index, record);
                (before, link) = (index, record.same());
            }
        });
    }

    /// The damage of a walk that has gone through more records than there are, at `last`.
    #[cold]
    fn endless(self, last: Link) -> Damage {
        match last.or(self.tree.root.get()) {
            Some(index) => Damage::EndlessWalk { index },
            None => Damage::IndexOutOfRange { index: NIL, part_max: self.tree.table.len() },
        }
    }
}

/// The size in bytes of a free partition.
#[inline]
pub(crate) fn size_of_free(index: PartitionIndex, record: &PartitionRecord) -> Result<u64, Damage> {
    if record.tag().is_some() {
        return Err(Damage::WrongState { index });
    }
    let (lo, hi) = record.bounds();
    match hi.checked_sub(lo) {
        Some(bytes @ 1..) => Ok(bytes),
        _ => Err(Damage::BadRange { index, lo, hi }),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn what_hangs_off_one_of_its_size_has_no_children() {
        let records: [PartitionRecord; 3] = Default::default();
        let (table, root) = (Table::new(&records), LinkCell::default());
        let treap = FreeTreap::new(table, &root);
        for (at, lo) in table.indices().zip([1000, 2000, 3000]) {
            table.get(at).unwrap().set_range(GaddrRange::new(lo, lo + 64).unwrap());
            treap.insert(at, None).unwrap();
        }
        let faults = || {
            let mut faults = Vec::new();
            treap.inspect(|_, _| {}, |fault| faults.push(fault));
            faults
        };
        assert_eq!(faults(), []);
        let [first, second] = [0, 1].map(|at| PartitionIndex::new(at).unwrap());
        let record = table.get(second).unwrap();
        for link in [&record.left, &record.right] {
            link.set(Some(first));
            assert_eq!(faults(), [TreapFault::BadSame { index: second }]);
            link.set(None);
        }
        assert_eq!(faults(), []);
    }
}
