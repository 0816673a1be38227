//! The treap of the free partitions, by size, with lists of those of the same size.

use crate::cell::LinkCell;
use crate::fault::TreapFault;
use crate::index::{Link, NIL, PartitionIndex};
use crate::record::PartitionRecord;
use crate::table::{Damage, Table};
use crate::tree::{Step, Tree};

/// The treap of the free partitions, by size.
///
/// Each size stands once in the tree; further partitions of that size hang off it in a list.
#[derive(Clone, Copy, Debug)]
pub struct FreeTreap<'t> {
    tree: Tree<'t>,
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
    /// Writes nothing and costs O(log f) in the number f of distinct free sizes.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the links lead out of the table, round in a ring or to an impossible range.
    pub fn smallest_at_least(self, bytes: u64) -> Result<Link, Damage> {
        let (mut link, mut best) = (self.tree.root.get(), None);
        for _ in 0..=self.tree.table.len() {
            let Some(index) = link else {
                return Ok(
                    best.map(|(index, node): (_, &PartitionRecord)| node.same().unwrap_or(index))
                );
            };
            let node = self.tree.table.get(index)?;
            let size = size_of_free(index, node)?;
            if size < bytes {
                link = node.right();
            } else {
                best = Some((index, node));
                link = if size == bytes { None } else { node.left() };
            }
        }
        Err(self.endless(link))
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
    /// Costs O(log f) in the number f of distinct free sizes.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the way down is damaged or the record's range impossible; then nothing is
    /// changed, or only links are.
    pub fn insert(self, index: PartitionIndex) -> Result<(), Damage> {
        let table = self.tree.table;
        let record = table.get(index)?;
        let bytes = size_of_free(index, record)?;
        let (mut parent, mut slot) = (None, self.tree.root);
        for _ in 0..=table.len() {
            let Some(at) = slot.get() else { return self.tree.attach(index, parent, slot) };
            let node = table.get(at)?;
            let size = size_of_free(at, node)?;
            if size == bytes {
                return self.insert_same(index, record, at, node);
            }
            parent = Some(at);
            slot = if bytes < size { &node.left } else { &node.right };
        }
        Err(self.endless(parent))
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
        visit: &mut dyn FnMut(PartitionIndex, &'t PartitionRecord),
        report: &mut dyn FnMut(TreapFault),
    ) {
        let table = self.tree.table;
        let mut last_size = 0;
        let mut left_to_visit = table.len();
        self.tree.walk(&mut |step| {
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
fn size_of_free(index: PartitionIndex, record: &PartitionRecord) -> Result<u64, Damage> {
    if record.tag().is_some() {
        return Err(Damage::WrongState { index });
    }
    let (lo, hi) = record.bounds();
    match hi.checked_sub(lo) {
        Some(bytes @ 1..) => Ok(bytes),
        _ => Err(Damage::BadRange { index, lo, hi }),
    }
}
