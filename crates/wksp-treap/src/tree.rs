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

/// Where a record hangs in the tree, or may be hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below nothing.
    Root,
    /// As the left child of this one.
    LeftOf(PartitionIndex),
    /// As the right child of this one.
    RightOf(PartitionIndex),
}

impl Place {
    /// The record above it.
    const fn parent(self) -> Link {
        match self {
            Self::Root => None,
            Self::LeftOf(parent) | Self::RightOf(parent) => Some(parent),
        }
    }
}

impl<'t> Tree<'t> {
    /// The link from above to what hangs in a place.
    #[inline]
    fn slot(self, place: Place) -> Result<&'t LinkCell, Damage> {
        Ok(match place {
            Place::Root => self.root,
            Place::LeftOf(parent) => &self.table.get(parent)?.left,
            Place::RightOf(parent) => &self.table.get(parent)?.right,
        })
    }

    /// Where `child` hangs, by the link that says so and the one that leads back to it.
    #[inline]
    pub(crate) fn place(
        self,
        child: PartitionIndex,
        record: &PartitionRecord,
    ) -> Result<Place, Damage> {
        let Some(parent) = record.parent() else {
            return if self.root.leads_to(child) {
                Ok(Place::Root)
            } else {
                Err(Damage::WrongRoot { expected: child })
            };
        };
        let above = self.table.get(parent)?;
        if above.left.leads_to(child) {
            Ok(Place::LeftOf(parent))
        } else if above.right.leads_to(child) {
            Ok(Place::RightOf(parent))
        } else {
            Err(Damage::BrokenLink { from: child, to: parent })
        }
    }

    /// The empty place between two neighbours of the tree, for `index`: one of the two has it.
    #[inline]
    pub(crate) fn between(
        self,
        index: PartitionIndex,
        below: Link,
        above: Link,
    ) -> Result<Place, Damage> {
        if let Some(below) = below
            && self.table.get(below)?.right().is_none()
        {
            return Ok(Place::RightOf(below));
        }
        if let Some(above) = above
            && self.table.get(above)?.left().is_none()
        {
            return Ok(Place::LeftOf(above));
        }
        match (below, above, self.root.get()) {
            (None, None, None) => Ok(Place::Root),
            (Some(from), Some(to), _) => Err(Damage::BrokenLink { from, to }),
            (_, _, _) => Err(Damage::WrongRoot { expected: below.or(above).unwrap_or(index) }),
        }
    }

    /// Hangs `child`, or nothing, below `parent`, of which `slot` is a link, storing what is not so
    /// already.
    #[inline]
    fn hang(self, child: Link, slot: &LinkCell, parent: PartitionIndex) -> Result<(), Damage> {
        if let Some(child) = child {
            self.table.get(child)?.parent.change(Some(parent));
        }
        slot.change(child);
        Ok(())
    }

    /// Puts a record into the empty `place`, and then as high as its priority belongs.
    ///
    /// Those of lower priority on the way up come to lie below it: one path to its left, one to its
    /// right. That is what rotating it up would lead to, with fewer stores.
    pub(crate) fn attach(self, index: PartitionIndex, mut place: Place) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        let prio = record.heap_prio();
        let (mut left, mut right) = (None, None);
        let mut left_to_pass = self.table.len();
        while let Some(parent) = place.parent() {
            let above = self.table.get(parent)?;
            if above.heap_prio() >= prio {
                break;
            }
            left_to_pass = left_to_pass.checked_sub(1).ok_or(Damage::EndlessWalk { index })?;
            let next = self.place(parent, above)?;
            if matches!(place, Place::RightOf(_)) {
                self.hang(left, &above.right, parent)?;
                left = Some(parent);
            } else {
                self.hang(right, &above.left, parent)?;
                right = Some(parent);
            }
            place = next;
        }
        self.hang(left, &record.left, index)?;
        self.hang(right, &record.right, index)?;
        record.parent.set(place.parent());
        self.slot(place)?.set(Some(index));
        Ok(())
    }

    /// Takes a record out of the tree; its own links are left as they were.
    ///
    /// The paths below it, one on either side, become one in the order of their priorities.
    pub(crate) fn detach(self, index: PartitionIndex) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        let mut parent = record.parent();
        let mut slot = self.slot(self.place(index, record)?)?;
        let (mut left, mut right) = (record.left(), record.right());
        let mut left_to_pass = self.table.len();
        while let (Some(lower), Some(upper)) = (left, right) {
            left_to_pass = left_to_pass.checked_sub(1).ok_or(Damage::EndlessWalk { index })?;
            let (below, above) = (self.table.get(lower)?, self.table.get(upper)?);
            let (higher, record) =
                if below.heap_prio() > above.heap_prio() { (lower, below) } else { (upper, above) };
            record.parent.change(parent);
            slot.change(Some(higher));
            parent = Some(higher);
            if higher == lower {
                (slot, left) = (&record.right, record.right());
            } else {
                (slot, right) = (&record.left, record.left());
            }
        }
        let only = left.or(right);
        if let Some(only) = only {
            self.table.get(only)?.parent.change(parent);
        }
        slot.change(only);
        Ok(())
    }

    /// Puts `new` into the place that `old` has in the tree, then to where its priority belongs.
    pub(crate) fn substitute(self, old: PartitionIndex, new: PartitionIndex) -> Result<(), Damage> {
        let (from, to) = (self.table.get(old)?, self.table.get(new)?);
        let slot = self.slot(self.place(old, from)?)?;
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
        let above = self.slot(self.place(parent_index, parent)?)?;
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
    #[inline]
    pub(crate) fn walk(self, mut visit: impl FnMut(Step<'t>)) {
        let mut left_to_enter = self.table.len();
        // Each record is left upwards once, but a way up that someone has bent meanwhile may lead
        // round in a ring.
        let mut left_to_leave = self.table.len();
        let Some(root) = self.root.get() else { return };
        let Some(mut at) = self.enter(None, root, &mut left_to_enter, &mut visit) else { return };
        loop {
            while let Some(left) = at.1.left()
                && let Some(below) = self.enter(Some(at), left, &mut left_to_enter, &mut visit)
            {
                at = below;
            }
            at = loop {
                let (index, record) = at;
                visit(Step::Node(index, record));
                if let Some(right) = record.right()
                    && let Some(below) = self.enter(Some(at), right, &mut left_to_enter, &mut visit)
                {
                    break below;
                }
                // Up to the first one that is come to from its left.
                loop {
                    let (index, record) = at;
                    let Some(parent) = record.parent() else { return };
                    let Ok(above) = self.table.get(parent) else { return };
                    let Some(left) = left_to_leave.checked_sub(1) else {
                        return visit(Step::Broken(Damage::EndlessWalk { index }));
                    };
                    left_to_leave = left;
                    at = (parent, above);
                    if above.left.leads_to(index) {
                        break;
                    }
                }
            };
        }
    }

    /// Goes down to a child, or the root, unless that is not linked back or one too many.
    #[inline]
    fn enter(
        self,
        parent: Option<(PartitionIndex, &'t PartitionRecord)>,
        child: PartitionIndex,
        left_to_enter: &mut u32,
        visit: &mut impl FnMut(Step<'t>),
    ) -> Option<(PartitionIndex, &'t PartitionRecord)> {
        let record = match self.table.get(child) {
            Ok(record) => record,
            Err(damage) => {
                visit(Step::Broken(damage));
                return None;
            }
        };
        if record.parent() != parent.map(|(index, _)| index) {
            visit(Step::Broken(match parent {
                Some((from, _)) => Damage::BrokenLink { from, to: child },
                None => Damage::WrongRoot { expected: child },
            }));
            return None;
        }
        let Some(left) = left_to_enter.checked_sub(1) else {
            visit(Step::Broken(Damage::EndlessWalk { index: child }));
            return None;
        };
        *left_to_enter = left;
        if let Some((parent, above)) = parent
            && above.heap_prio() < record.heap_prio()
        {
            visit(Step::HeapOrder { parent, child });
        }
        // What lies to the right is needed when all to the left has been visited.
        self.table.prefetch(record.right());
        Some((child, record))
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
        tree.attach(a, Place::Root).unwrap();
        tree.attach(b, Place::RightOf(a)).unwrap();
        tree.attach(c, Place::RightOf(b)).unwrap();
        let (mut count, mut end) = (0_u32, None);
        tree.walk(|step| {
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
