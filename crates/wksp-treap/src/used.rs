//! The treap of the used partitions, by address.

use crate::addr::Gaddr;
use crate::cell::LinkCell;
use crate::fault::TreapFault;
use crate::index::{Link, PartitionIndex};
use crate::record::PartitionRecord;
use crate::table::{Damage, Table};
use crate::tree::{Step, Tree};

/// The treap of the used partitions, by address.
#[derive(Clone, Copy, Debug)]
pub struct UsedTreap<'t> {
    tree: Tree<'t>,
}

/// Where an address lies among the used partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In this one.
    At(PartitionIndex),
    /// In none, but between these neighbours.
    Between {
        /// The last one below it.
        below: Link,
        /// The first one above it.
        above: Link,
    },
}

impl<'t> UsedTreap<'t> {
    /// Views the treap that hangs off `root`.
    #[must_use]
    pub const fn new(table: Table<'t>, root: &'t LinkCell) -> Self {
        Self { tree: Tree { table, root } }
    }

    /// Finds the used partition that covers `gaddr`, or else the two between which it lies.
    ///
    /// Writes nothing and costs O(log n) in the number n of used partitions.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the links lead out of the table or round in a ring.
    pub fn find(self, gaddr: Gaddr) -> Result<Found, Damage> {
        let (mut below, mut above) = (None, None);
        let Some(mut index) = self.tree.root.get() else {
            return Ok(Found::Between { below, above });
        };
        for _ in 0..self.tree.table.len() {
            let record = self.tree.table.get(index)?;
            let (lo, hi) = record.bounds();
            let child = if gaddr.get() < lo {
                above = Some(index);
                record.left()
            } else if gaddr.get() >= hi {
                below = Some(index);
                record.right()
            } else if record.tag().is_some() {
                return Ok(Found::At(index));
            } else {
                return Err(Damage::WrongState { index });
            };
            match child {
                Some(child) => index = child,
                None => return Ok(Found::Between { below, above }),
            }
        }
        Err(Damage::EndlessWalk { index })
    }

    /// Inserts `index` between its neighbours in address order.
    ///
    /// `below` is the used partition before it and `above` the one behind it; knowing them, no
    /// search is needed: one of the two has a free link between them.
    /// Costs O(1) rotations on average.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the two are not neighbours in the tree; then nothing is changed, or only
    /// links are.
    pub fn insert_between(
        self,
        index: PartitionIndex,
        below: Link,
        above: Link,
    ) -> Result<(), Damage> {
        let place = self.tree.between(index, below, above)?;
        self.tree.attach(index, place)
    }

    /// Takes a partition out, through its links and without a search.
    ///
    /// Costs O(1) rotations on average.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the links around the record contradict each other.
    pub fn remove(self, index: PartitionIndex) -> Result<(), Damage> {
        self.tree.detach(index)?;
        self.tree.table.get(index)?.clear_tree_links();
        Ok(())
    }

    /// Visits every record in order of address, and tells what breaks an invariant of the treap.
    ///
    /// Ends after at most as many records as the table has.
    pub fn inspect(
        self,
        mut visit: impl FnMut(PartitionIndex, &'t PartitionRecord),
        mut report: impl FnMut(TreapFault),
    ) {
        let mut end_of_last = 0;
        self.tree.walk(|step| match step {
            Step::Node(index, record) => {
                let (lo, hi) = record.bounds();
                if lo < end_of_last || hi <= lo {
                    report(TreapFault::OutOfOrder { index });
                }
                end_of_last = hi;
                if record.in_same() || record.same().is_some() {
                    report(TreapFault::StraySame { index });
                }
                if record.tag().is_none() {
                    report(TreapFault::Damage(Damage::WrongState { index }));
                }
                visit(index, record);
            }
            Step::HeapOrder { parent, child } => report(TreapFault::HeapOrder { parent, child }),
            Step::Broken(damage) => report(TreapFault::Damage(damage)),
        });
    }
}
