//! The 64-byte record of a partition.

use core::mem::{align_of, offset_of, size_of};

use crate::addr::{GaddrRange, Tag};
use crate::cell::{Cell32, Cell64, LinkCell};
use crate::index::{Link, NIL};

/// The row of one partition in the record table.
///
/// The bytes are those of docs/layout.md; which fields mean something depends on the state.
///
/// # States
///
/// * *idle*: no range, no tag; on the idle stack through `parent`.
/// * *free*: a range, no tag; in the partition list and the free treap.
/// * *used*: a range and a tag; in the partition list and the used treap.
///
/// # Concurrency
///
/// A record is written by the holder of the workspace's lock only.
/// Nothing can enforce that on other processes, so all that is read here may be anything.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct PartitionRecord {
    gaddr_lo: Cell64,
    gaddr_hi: Cell64,
    tag: Cell64,
    prio_and_in_same: Cell32,
    pub(crate) prev: LinkCell,
    pub(crate) next: LinkCell,
    pub(crate) left: LinkCell,
    pub(crate) right: LinkCell,
    pub(crate) parent: LinkCell,
    pub(crate) same: LinkCell,
    scratch: LinkCell,
    cycle_tag: Cell64,
}

const _: () = {
    assert!(size_of::<PartitionRecord>() == 64);
    assert!(align_of::<PartitionRecord>() == 64);
    assert!(offset_of!(PartitionRecord, gaddr_lo) == 0);
    assert!(offset_of!(PartitionRecord, gaddr_hi) == 8);
    assert!(offset_of!(PartitionRecord, tag) == 16);
    assert!(offset_of!(PartitionRecord, prio_and_in_same) == 24);
    assert!(offset_of!(PartitionRecord, prev) == 28);
    assert!(offset_of!(PartitionRecord, next) == 32);
    assert!(offset_of!(PartitionRecord, left) == 36);
    assert!(offset_of!(PartitionRecord, right) == 40);
    assert!(offset_of!(PartitionRecord, parent) == 44);
    assert!(offset_of!(PartitionRecord, same) == 48);
    assert!(offset_of!(PartitionRecord, scratch) == 52);
    assert!(offset_of!(PartitionRecord, cycle_tag) == 56);
};

const IN_SAME: u32 = 1 << 31;

/// Heap priorities at rest are below this.
pub const HEAP_PRIO_LIMIT: u32 = 1 << 30;

impl PartitionRecord {
    /// The bounds `[lo, hi)` as stored, in bytes: both 0 in an idle record.
    #[inline]
    pub fn bounds(&self) -> (u64, u64) {
        (self.gaddr_lo.get(), self.gaddr_hi.get())
    }

    /// The range, `None` where the bounds describe none.
    #[inline]
    pub fn range(&self) -> Option<GaddrRange> {
        let (lo, hi) = self.bounds();
        GaddrRange::new(lo, hi)
    }

    /// The tag, `None` in a record that is not used.
    #[inline]
    pub fn tag(&self) -> Option<Tag> {
        Tag::new(self.tag.get())
    }

    /// The heap priority, 0 ..= 2^31-1; below [`HEAP_PRIO_LIMIT`] at rest.
    #[inline]
    pub fn heap_prio(&self) -> u32 {
        self.prio_and_in_same.get() & !IN_SAME
    }

    /// Whether the record hangs off another free one of the same size.
    #[inline]
    pub fn in_same(&self) -> bool {
        self.prio_and_in_same.get() & IN_SAME != 0
    }

    /// The partition before this one.
    #[inline]
    pub fn prev(&self) -> Link {
        self.prev.get()
    }

    /// The partition behind this one.
    #[inline]
    pub fn next(&self) -> Link {
        self.next.get()
    }

    /// The left child in the treap of the record's state.
    #[inline]
    pub fn left(&self) -> Link {
        self.left.get()
    }

    /// The right child in the treap of the record's state.
    #[inline]
    pub fn right(&self) -> Link {
        self.right.get()
    }

    /// The parent in the treap, the previous record of the same size, or the next idle one.
    #[inline]
    pub fn parent(&self) -> Link {
        self.parent.get()
    }

    /// The next free partition of the same size.
    #[inline]
    pub fn same(&self) -> Link {
        self.same.get()
    }

    /// Whether all links but those to the parent and of scratch lead nowhere.
    #[inline]
    pub fn is_unlinked(&self) -> bool {
        let links = [&self.prev, &self.next, &self.left, &self.right, &self.same];
        links.into_iter().fold(NIL, |all, link| all & link.stored()) == NIL
    }

    /// The scratch link, which means nothing at rest.
    #[inline]
    pub fn scratch(&self) -> Link {
        self.scratch.get()
    }

    /// Stores the range of a record that has no tag.
    #[inline]
    pub fn set_range(&self, range: GaddrRange) {
        self.gaddr_lo.set(range.lo().get());
        self.gaddr_hi.set(range.hi().get());
    }

    /// Stores the tag, which makes the record an allocation, or takes it away, which ends one.
    ///
    /// # Crash behaviour
    ///
    /// This store is a commit point: all stores before it in the program are made before it, all
    /// behind it after it.
    #[inline]
    pub fn commit_tag(&self, tag: Option<Tag>) {
        self.tag.commit(tag.map_or(0, Tag::get));
    }

    /// Stores the heap priority, of which the low 30 bits count, and clears `in_same`.
    #[inline]
    pub fn set_heap_prio(&self, prio: u32) {
        let prio = prio % HEAP_PRIO_LIMIT;
        if self.prio_and_in_same.get() != prio {
            self.prio_and_in_same.set(prio);
        }
    }

    #[inline]
    pub(crate) fn set_in_same(&self, in_same: bool) {
        let prio = self.heap_prio();
        self.prio_and_in_same.set(if in_same { prio | IN_SAME } else { prio });
    }

    /// Stores the neighbours in the partition list.
    #[inline]
    pub fn set_neighbours(&self, prev: Link, next: Link) {
        self.prev.set(prev);
        self.next.set(next);
    }

    /// Stores the partition before this one.
    #[inline]
    pub fn set_prev(&self, prev: Link) {
        self.prev.set(prev);
    }

    /// Stores the partition behind this one.
    #[inline]
    pub fn set_next(&self, next: Link) {
        self.next.set(next);
    }

    /// Stores the scratch link.
    #[inline]
    pub fn set_scratch(&self, link: Link) {
        self.scratch.set(link);
    }

    /// Takes the record out of every index in its own fields: no children, parent or same-size
    /// neighbours.
    #[inline]
    pub fn clear_tree_links(&self) {
        self.left.change(None);
        self.right.change(None);
        self.parent.change(None);
        self.same.change(None);
        if self.in_same() {
            self.set_in_same(false);
        }
    }

    /// Makes a record without a tag an idle one, in front of `next_idle` on the idle stack.
    #[inline]
    pub fn make_idle(&self, next_idle: Link) {
        self.gaddr_lo.change(0);
        self.gaddr_hi.change(0);
        self.prev.change(None);
        self.next.change(None);
        self.clear_tree_links();
        self.parent.change(next_idle);
    }

    /// Makes a record of a workspace that is being formatted one of zeros, idle but for its place
    /// on the stack.
    pub fn clear(&self) {
        self.tag.set(0);
        self.prio_and_in_same.set(0);
        self.make_idle(None);
        self.scratch.set(None);
        self.cycle_tag.set(0);
    }
}
