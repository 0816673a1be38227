//! The idle stack and the partition list, and with the two treaps the whole index.

use core::ops::Deref;

use wksp_treap::{
    Damage, FreeTreap, Gaddr, GaddrRange, Link, PartitionIndex, PartitionRecord, Table, UsedTreap,
};

use crate::header::Header;
use crate::hints::Hints;

/// What an index is made of.
#[derive(Debug)]
pub(crate) struct Parts<'m> {
    pub(crate) header: &'m Header,
    pub(crate) table: Table<'m>,
    pub(crate) data: GaddrRange,
    pub(crate) hints: Hints<'m>,
}

/// Everything that indexes the partitions: idle stack, partition list, used and free treap.
///
/// A method that returns [`Damage`] may have changed links, never a range or tag of a used record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index<'m>(pub(crate) &'m Parts<'m>);

impl<'m> Deref for Index<'m> {
    type Target = Parts<'m>;

    #[inline]
    fn deref(&self) -> &Parts<'m> {
        self.0
    }
}

impl<'m> Index<'m> {
    #[inline]
    pub(crate) const fn used(self) -> UsedTreap<'m> {
        UsedTreap::new(self.0.table, &self.0.header.used_root)
    }

    #[inline]
    pub(crate) const fn free(self) -> FreeTreap<'m> {
        FreeTreap::new(self.0.table, &self.0.header.free_root)
    }

    /// Finds a smallest free partition of at least `bytes`.
    pub(crate) fn smallest_free(self, bytes: u64) -> Result<Link, Damage> {
        self.free().smallest_at_least(bytes, self.hints.near(bytes))
    }

    /// Puts a partition of `bytes` bytes into the free treap.
    pub(crate) fn insert_free(self, at: PartitionIndex, bytes: u64) -> Result<(), Damage> {
        self.free().insert(at, self.hints.near(bytes))?;
        self.remember_free(at, bytes)
    }

    /// Takes a partition of `bytes` bytes out of the free treap.
    pub(crate) fn remove_free(self, at: PartitionIndex, bytes: u64) -> Result<(), Damage> {
        self.forget_free(at, bytes)?;
        self.free().remove(at)
    }

    /// Gives a partition of `bytes` bytes in the free treap another range.
    pub(crate) fn resize_free(
        self,
        at: PartitionIndex,
        bytes: u64,
        range: GaddrRange,
    ) -> Result<(), Damage> {
        let new = range.bytes();
        if self.hints.is_alike(bytes, new) {
            return self.free().resize(at, range, Some(at));
        }
        let near = self.hints.near(new).or(Some(at));
        self.forget_free(at, bytes)?;
        self.free().resize(at, range, near)?;
        self.remember_free(at, new)
    }

    fn forget_free(self, at: PartitionIndex, bytes: u64) -> Result<(), Damage> {
        self.hints.forget_size(bytes, at, self.table.get(at)?.same());
        Ok(())
    }

    /// Remembers the node of the free treap by which a partition can be found.
    fn remember_free(self, at: PartitionIndex, bytes: u64) -> Result<(), Damage> {
        let record = self.table.get(at)?;
        // What was just put behind others of its size hangs off the node.
        if let Some(node) = if record.in_same() { record.parent() } else { Some(at) } {
            self.hints.remember_size(bytes, node);
        }
        Ok(())
    }

    /// The range of a partition, checked to lie within the data.
    pub(crate) fn range(
        self,
        index: PartitionIndex,
        record: &PartitionRecord,
    ) -> Result<GaddrRange, Damage> {
        let (lo, hi) = record.bounds();
        GaddrRange::new(lo, hi).filter(|range| self.data.encloses(*range)).ok_or(Damage::BadRange {
            index,
            lo,
            hi,
        })
    }

    /// The range of a free partition, checked to fill the gap between its used neighbours.
    ///
    /// So a stray write to the record cannot make bytes of an allocation look free.
    pub(crate) fn gap(self, index: PartitionIndex) -> Result<GaddrRange, Damage> {
        let record = self.table.get(index)?;
        let range = self.range(index, record)?;
        let wrong = |to| Damage::BrokenLink { from: index, to };
        let lo = match record.prev() {
            None => self.data.lo().get(),
            Some(prev) => {
                let below = self.table.get(prev)?;
                if below.next() != Some(index) || below.tag().is_none() {
                    return Err(wrong(prev));
                }
                below.bounds().1
            }
        };
        let hi = match record.next() {
            None => self.data.hi().get(),
            Some(next) => {
                let above = self.table.get(next)?;
                if above.prev() != Some(index) || above.tag().is_none() {
                    return Err(wrong(next));
                }
                above.bounds().0
            }
        };
        if (lo, hi) == (range.lo().get(), range.hi().get()) && record.tag().is_none() {
            Ok(range)
        } else {
            Err(Damage::BadRange { index, lo: range.lo().get(), hi: range.hi().get() })
        }
    }

    /// Whether the partition behind `below`, or the first one, is free and covers `gaddr`.
    ///
    /// This is how "nothing is allocated there" is told from a treap that has lost something.
    pub(crate) fn is_gap(self, below: Link, gaddr: Gaddr) -> bool {
        let first = match below {
            Some(below) => self.table.get(below).map(PartitionRecord::next),
            None => Ok(self.header.part_head.get()),
        };
        let Ok(Some(free)) = first else { return false };
        self.gap(free).is_ok_and(|range| range.contains(gaddr))
    }

    /// The number of idle records, counted up to `enough`.
    pub(crate) fn idle_up_to(self, enough: u32) -> Result<u32, Damage> {
        let mut link = self.header.idle_top.get();
        for count in 0..enough {
            match link {
                Some(index) => link = self.table.get(index)?.parent(),
                None => return Ok(count),
            }
        }
        Ok(enough)
    }

    /// Takes a record off the idle stack; that there is one was checked before.
    pub(crate) fn pop_idle(self) -> Result<(PartitionIndex, &'m PartitionRecord), Damage> {
        let index = self.header.idle_top.get().ok_or(Damage::IdleStackEnds)?;
        let record = self.table.get(index)?;
        if record.tag().is_some() || record.bounds() != (0, 0) {
            return Err(Damage::WrongState { index });
        }
        self.header.idle_top.set(record.parent());
        Ok((index, record))
    }

    /// Makes a record that is in no other part of the index idle.
    pub(crate) fn push_idle(self, index: PartitionIndex) -> Result<(), Damage> {
        self.table.get(index)?.make_idle(self.header.idle_top.get());
        self.header.idle_top.set(Some(index));
        Ok(())
    }

    /// Makes an idle record a partition of the list, between `prev` and `next`.
    pub(crate) fn add(
        self,
        range: GaddrRange,
        prev: Link,
        next: Link,
    ) -> Result<PartitionIndex, Damage> {
        let (at, record) = self.pop_idle()?;
        record.set_range(range);
        self.link(at, prev, next)?;
        Ok(at)
    }

    /// Makes a partition that is in neither treap idle.
    pub(crate) fn discard(self, at: PartitionIndex) -> Result<(), Damage> {
        self.unlink(self.table.get(at)?)?;
        self.push_idle(at)
    }

    /// Puts a partition into the list between `prev` and `next`.
    pub(crate) fn link(self, index: PartitionIndex, prev: Link, next: Link) -> Result<(), Damage> {
        let record = self.table.get(index)?;
        // Both ends are looked up before either is changed.
        let prev_record = prev.map(|prev| self.table.get(prev)).transpose()?;
        let next_record = next.map(|next| self.table.get(next)).transpose()?;
        record.set_neighbours(prev, next);
        match prev_record {
            Some(prev) => prev.set_next(Some(index)),
            None => self.header.part_head.set(Some(index)),
        }
        match next_record {
            Some(next) => next.set_prev(Some(index)),
            None => self.header.part_tail.set(Some(index)),
        }
        Ok(())
    }

    /// Takes a partition out of the list.
    pub(crate) fn unlink(self, record: &PartitionRecord) -> Result<(), Damage> {
        let (prev, next) = (record.prev(), record.next());
        let prev_record = prev.map(|prev| self.table.get(prev)).transpose()?;
        let next_record = next.map(|next| self.table.get(next)).transpose()?;
        match prev_record {
            Some(prev) => prev.set_next(next),
            None => self.header.part_head.set(next),
        }
        match next_record {
            Some(next) => next.set_prev(prev),
            None => self.header.part_tail.set(prev),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    use wksp_testkit::rng::Rng;

    use crate::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};

    /// As long as nobody else changes the workspace, the guesses of sizes are right ones.
    #[test]
    fn what_is_remembered_of_sizes_is_kept_up() {
        let mut blocks: Vec<_> = (0..4000).map(|_| Block::new()).collect();
        let geometry = Geometry::new(600, 400_000).unwrap();
        let format = Format { name: Name::new("hints").unwrap(), seed: 3, geometry };
        let memory = Memory::of_blocks(&mut blocks);
        let workspace = Workspace::format(memory, Solo, format).unwrap();
        let words: Vec<_> = (0..workspace.hint_words()).map(|_| AtomicU64::new(0)).collect();
        let workspace = workspace.with_hints(&words);
        let index = workspace.index();
        let (mut rng, mut live) = (Rng::new(7), Vec::new());
        let (mut known, mut asked) = (0_u32, 0_u32);
        for _ in 0..4000 {
            let mut guard = workspace.lock().unwrap();
            if live.len() < 150 && rng.one_in(2) {
                // Few sizes, so that many free partitions are alike, and others nearly so.
                let bytes = 64 * (1 + rng.below(12)) + rng.below(2);
                live.push(guard.alloc(Align::BYTE, bytes, Tag::new(1).unwrap()).unwrap());
            } else if !live.is_empty() {
                let gone = live.swap_remove(rng.index(live.len()));
                guard.free(gone).unwrap();
            }
            for partition in guard.partitions().map(Result::unwrap) {
                if partition.tag.is_some() {
                    continue;
                }
                asked += 1;
                let bytes = partition.range.bytes();
                let Some(near) = index.hints.near(bytes) else { continue };
                let record = index.table.get(near).unwrap();
                let (lo, hi) = record.bounds();
                assert!(record.tag().is_none() && !record.in_same(), "{near} is no node");
                assert!(hi - lo >= bytes || index.hints.is_alike(hi - lo, bytes));
                known += u32::from(index.hints.is_alike(hi - lo, bytes));
            }
        }
        // Where two sizes of one class had nodes, and the one that is remembered goes, there is none.
        assert!(known > asked / 10 * 9, "{known} of {asked}");
    }
}
