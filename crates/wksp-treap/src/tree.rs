//! What both treaps share: places in the tree, rotations, taking out, and a walk that trusts
//! nothing.

use crate::cell::LinkCell;
use crate::index::{Link, PartitionIndex};
use crate::record::PartitionRecord;
use crate::table::{Damage, Table};

/// A binary tree over records of a table, with the heap property on their priorities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'t> {
    pub(crate) table: Table<'t>,
    pub(crate) root: &'t LinkCell,
}

/// What [`Tree::walk`] reports, in order of the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'t> {
    /// A record of the tree.
    Node(PartitionIndex, &'t PartitionRecord),
    /// The child has a higher priority than its parent.
    HeapOrder { parent: PartitionIndex, child: PartitionIndex },
    /// A link that cannot be followed; what lies behind it is left out.
    Broken(Damage),
}

impl<'t> Tree<'t> {
    /// The link that makes `child` a child of `parent`, or the root if there is no parent.
    fn slot(self, parent: Link, child: PartitionIndex) -> Result<&'t LinkCell, Damage> {
        let Some(parent) = parent else {
            return if self.root.get() == Some(child) {
                Ok(self.root)
            } else {
                Err(Damage::WrongRoot { expected: child })
            };
        };
        let record = self.table.get(parent)?;
        if record.left() == Some(child) {
            Ok(&record.left)
        } else if record.right() == Some(child) {
            Ok(&record.right)
        } else {
            Err(Damage::BrokenLink { from: child, to: parent })
        }
    }

    /// Puts a record without children into the empty `slot` below `parent`, then up to where its
    /// priority belongs.
    pub(crate) fn attach(
        self,
        index: PartitionIndex,
        parent: Link,
        slot: &LinkCell,
    ) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        record.left.set(None);
        record.right.set(None);
        record.parent.set(parent);
        slot.set(Some(index));
        self.sift_up(index)
    }

    /// Takes a record out of the tree; its own links are left as they were.
    pub(crate) fn detach(self, index: PartitionIndex) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        for _ in 0..=self.table.len() {
            let slot = self.slot(record.parent(), index)?;
            let only_child = match (record.left(), record.right()) {
                (Some(left), Some(right)) => {
                    self.rotate_up(self.higher(left, right)?)?;
                    continue;
                }
                (left, right) => left.or(right),
            };
            if let Some(child) = only_child {
                self.table.get(child)?.parent.set(record.parent());
            }
            slot.set(only_child);
            return Ok(());
        }
        Err(Damage::EndlessWalk { index })
    }

    /// Puts `new` into the place that `old` has in the tree, then to where its priority belongs.
    pub(crate) fn substitute(self, old: PartitionIndex, new: PartitionIndex) -> Result<(), Damage> {
        let (from, to) = (self.table.get(old)?, self.table.get(new)?);
        let slot = self.slot(from.parent(), old)?;
        for child in [from.left(), from.right()].into_iter().flatten() {
            self.table.get(child)?.parent.set(Some(new));
        }
        to.left.set(from.left());
        to.right.set(from.right());
        to.parent.set(from.parent());
        slot.set(Some(new));
        self.sift_down(new)?;
        self.sift_up(new)
    }

    /// Rotates a record up while its priority is higher than its parent's.
    fn sift_up(self, index: PartitionIndex) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        for _ in 0..=self.table.len() {
            match record.parent() {
                Some(parent) if self.table.get(parent)?.heap_prio() < record.heap_prio() => {
                    self.rotate_up(index)?;
                }
                _ => return Ok(()),
            }
        }
        Err(Damage::EndlessWalk { index })
    }

    /// Rotates a record down while a child's priority is higher.
    fn sift_down(self, index: PartitionIndex) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        for _ in 0..=self.table.len() {
            let child = match (record.left(), record.right()) {
                (Some(left), Some(right)) => self.higher(left, right)?,
                (Some(child), None) | (None, Some(child)) => child,
                (None, None) => return Ok(()),
            };
            if self.table.get(child)?.heap_prio() <= record.heap_prio() {
                return Ok(());
            }
            self.rotate_up(child)?;
        }
        Err(Damage::EndlessWalk { index })
    }

    /// The one of two records that has the higher priority.
    fn higher(self, a: PartitionIndex, b: PartitionIndex) -> Result<PartitionIndex, Damage> {
        let a_is_higher = self.table.get(a)?.heap_prio() > self.table.get(b)?.heap_prio();
        Ok(if a_is_higher { a } else { b })
    }

    /// Swaps a record with its parent, keeping the order of the tree.
    fn rotate_up(self, index: PartitionIndex) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        let parent_index = record.parent().ok_or(Damage::WrongRoot { expected: index })?;
        let parent = self.table.get(parent_index)?;
        let above = self.slot(parent.parent(), parent_index)?;
        // The subtree between the two changes sides.
        let (inner, outer) = if parent.left() == Some(index) {
            (&record.right, &parent.left)
        } else if parent.right() == Some(index) {
            (&record.left, &parent.right)
        } else {
            return Err(Damage::BrokenLink { from: index, to: parent_index });
        };
        let between = inner.get();
        if let Some(between) = between {
            self.table.get(between)?.parent.set(Some(parent_index));
        }
        outer.set(between);
        inner.set(Some(parent_index));
        record.parent.set(parent.parent());
        parent.parent.set(Some(index));
        above.set(Some(index));
        Ok(())
    }

    /// Visits the records in order, checking every link both ways before it is followed.
    ///
    /// Ends after at most `table.len()` records, whatever the links say.
    pub(crate) fn walk(self, visit: &mut dyn FnMut(Step<'t>)) {
        let mut left_to_enter = self.table.len();
        let mut enter = |parent: Link, child: PartitionIndex, visit: &mut dyn FnMut(Step<'t>)| {
            let record = match self.table.get(child) {
                Ok(record) if record.parent() == parent => record,
                Ok(_) => {
                    visit(Step::Broken(match parent {
                        Some(from) => Damage::BrokenLink { from, to: child },
                        None => Damage::WrongRoot { expected: child },
                    }));
                    return None;
                }
                Err(damage) => {
                    visit(Step::Broken(damage));
                    return None;
                }
            };
            match left_to_enter.checked_sub(1) {
                Some(left) => left_to_enter = left,
                None => {
                    visit(Step::Broken(Damage::EndlessWalk { index: child }));
                    return None;
                }
            }
            if let Some(parent) = parent
                && self.table.get(parent).is_ok_and(|above| above.heap_prio() < record.heap_prio())
            {
                visit(Step::HeapOrder { parent, child });
            }
            Some((child, record))
        };

        enum From {
            Above,
            Left,
            Right,
        }
        let mut at = self.root.get().and_then(|root| enter(None, root, visit));
        let mut from = From::Above;
        // Each record is come to from above and from either side.
        let mut left_to_come = u64::from(self.table.len()).saturating_mul(3);
        while let Some((index, record)) = at {
            // A way up that someone has bent meanwhile may lead round in a ring.
            match left_to_come.checked_sub(1) {
                Some(left) => left_to_come = left,
                None => return visit(Step::Broken(Damage::EndlessWalk { index })),
            }
            let below = match from {
                From::Above => record.left(),
                From::Left => {
                    visit(Step::Node(index, record));
                    record.right()
                }
                From::Right => {
                    let Some(parent) = record.parent() else { return };
                    let Ok(above) = self.table.get(parent) else { return };
                    from = if above.left() == Some(index) { From::Left } else { From::Right };
                    at = Some((parent, above));
                    continue;
                }
            };
            match below.and_then(|child| enter(Some(index), child, visit)) {
                Some(child) => {
                    at = Some(child);
                    from = From::Above;
                }
                None => {
                    from = match from {
                        From::Above => From::Left,
                        From::Left | From::Right => From::Right,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_up_that_is_bent_during_the_walk_ends_it() {
        let records: [PartitionRecord; 3] = Default::default();
        let (table, root) = (Table::new(&records), LinkCell::default());
        let tree = Tree { table, root: &root };
        let [a, b, c] = [0, 1, 2].map(|at| PartitionIndex::new(at).unwrap());
        tree.attach(a, None, &root).unwrap();
        tree.attach(b, Some(a), &records[0].right).unwrap();
        tree.attach(c, Some(b), &records[1].right).unwrap();
        let (mut count, mut end) = (0_u32, None);
        tree.walk(&mut |step| {
            count = count.saturating_add(1);
            match step {
                // From the last one the way up now leads to itself and back.
                Step::Node(index, record) if index == c => {
                    record.parent.set(Some(b));
                    records[1].parent.set(Some(c));
                    record.left.set(Some(b));
                }
                Step::Node(..) | Step::HeapOrder { .. } => {}
                Step::Broken(damage) => end = Some(damage),
            }
        });
        assert!(matches!(end, Some(Damage::EndlessWalk { .. })), "{end:?} after {count} steps");
        assert!(count < 30);
    }
}
