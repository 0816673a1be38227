//! The used records in order of address, as a chain through their scratch links.

use wksp_treap::{Damage, GaddrRange, Link, PartitionIndex, PartitionRecord};

use crate::index::Index;
use crate::rebuild::RebuildError;
use crate::tiling::Tiling;

/// The used records in ascending order of address.
///
/// The chain lies in memory that others can write, so it is followed for as many steps as there are
/// records in it, and may lead anywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sorted<'m> {
    index: Index<'m>,
    first: Link,
    count: u32,
    record_count: u64,
}

/// There are fewer than 2^32 records, and each bin has at least twice as many runs as the last.
const BINS: usize = 33;
/// A record takes part in one merge for each bin.
const STEPS_EACH: u64 = 40;

impl<'m> Sorted<'m> {
    /// Collects the records that have a tag and sorts them, writing scratch links only.
    ///
    /// The partition list has them in order if it is whole: then it costs O(n) in the number n of
    /// allocations, and else O(n log n). Besides, every record is looked at.
    ///
    /// # Errors
    ///
    /// [`RebuildError::BadRange`] and [`RebuildError::Overlap`].
    pub(crate) fn of_used(index: Index<'m>) -> Result<Self, RebuildError> {
        match Self::as_listed(index)? {
            (_, Some(sorted)) => Ok(sorted),
            (count, None) => Self::tile(index, Self::merge_sort(index)?, count),
        }
    }

    /// Counts the used records, and chains them as the partition list has them if that is whole.
    ///
    /// Checks their ranges in any case.
    fn as_listed(index: Index<'m>) -> Result<(u32, Option<Self>), RebuildError> {
        let mut listing = Listing { index, count: 0, record_count: 0, end_count: 0 };
        let mut is_whole = true;
        for (at, record) in index.table.iter() {
            if record.tag().is_some() {
                let (lo, hi) = record.bounds();
                let range = GaddrRange::new(lo, hi).filter(|range| index.data.encloses(*range));
                let range = range.ok_or(RebuildError::BadRange { index: at, lo, hi })?;
                listing.count = listing.count.saturating_add(1);
                is_whole = is_whole && listing.chain(at, record, range).is_some();
            }
        }
        Ok((listing.count, listing.finish().filter(|_| is_whole)))
    }

    /// How many records the used partitions and the gaps between them need.
    pub(crate) const fn record_count(self) -> u64 {
        self.record_count
    }

    /// Counts the records that a chain of `count` needs, unless two of them overlap.
    fn tile(index: Index<'m>, first: Link, count: u32) -> Result<Self, RebuildError> {
        let mut tiling = Tiling::new(index.data);
        let mut last = None;
        for item in chain(index, first, count) {
            let (upper, range) = item?;
            let overlaps = tiling.add(range).is_err();
            if let Some(lower) = last.filter(|_| overlaps) {
                return Err(RebuildError::Overlap { lower, upper });
            }
            last = Some(upper);
        }
        Ok(Self { index, first, count, record_count: tiling.record_count() })
    }

    /// Chains the used records by merging runs that are in order already.
    fn merge_sort(index: Index<'m>) -> Result<Link, Damage> {
        let steps = u64::from(index.table.len()).saturating_mul(STEPS_EACH);
        let mut merging = Merging { index, bins: [None; BINS], steps };
        // The run that is growing: its first and last record, and the address of the last.
        let mut run: Option<(PartitionIndex, &PartitionRecord, u64)> = None;
        for (at, record) in index.table.iter() {
            if record.tag().is_none() {
                continue;
            }
            let (lo, _) = record.bounds();
            record.set_scratch(None);
            run = match run {
                Some((first, last, last_lo)) if last_lo <= lo => {
                    last.set_scratch(Some(at));
                    Some((first, record, lo))
                }
                run => {
                    if let Some((first, ..)) = run {
                        merging.add(first)?;
                    }
                    Some((at, record, lo))
                }
            };
        }
        merging.finish(run.map(|(first, ..)| first))
    }

    /// The records in order; the last item is the damage if the chain breaks.
    pub(crate) fn iter(self) -> impl Iterator<Item = Result<(PartitionIndex, GaddrRange), Damage>> {
        chain(self.index, self.first, self.count)
    }
}

/// The records of a chain of `count` through scratch links; the last item is the damage if it breaks.
fn chain(
    index: Index<'_>,
    mut first: Link,
    count: u32,
) -> impl Iterator<Item = Result<(PartitionIndex, GaddrRange), Damage>> {
    (0..count).map_while(move |_| {
        let at = first?;
        let read = || {
            let record = index.table.get(at)?;
            Ok((record.scratch(), index.range(at, record)?))
        };
        Some(match read() {
            Ok((next, range)) => {
                index.table.prefetch(next);
                first = next;
                Ok((at, range))
            }
            Err(damage) => {
                first = None;
                Err(damage)
            }
        })
    })
}

/// The used records chained as the partition list has them, as long as that is whole.
///
/// They come in the order of the table, so that the processor need not know one to load the next.
/// Each one's next is one whose previous it is, and begins no lower than it ends: so no two have the
/// same next, and each way leads upwards. If only one has none, all ways end there; and as the first
/// one is nobody's next, all of them lie on the way from there.
struct Listing<'m> {
    index: Index<'m>,
    count: u32,
    record_count: u64,
    /// How many have no next.
    end_count: u32,
}

impl<'m> Listing<'m> {
    /// Chains a record to its next, `None` if the list is not whole there.
    fn chain(
        &mut self,
        at: PartitionIndex,
        record: &PartitionRecord,
        range: GaddrRange,
    ) -> Option<()> {
        let next = self.used_from(record.next(), PartitionRecord::next)?;
        record.set_scratch(next);
        let next_lo = match next {
            Some(next) => {
                let above = self.index.table.get(next).ok()?;
                let previous = self.used_from(above.prev(), PartitionRecord::prev)?;
                previous.filter(|previous| *previous == at)?;
                above.bounds().0
            }
            None => {
                self.end_count = self.end_count.saturating_add(1);
                self.index.data.hi().get()
            }
        };
        let gap_bytes = next_lo.checked_sub(range.hi().get())?;
        let count = if gap_bytes > 0 { 2 } else { 1 };
        self.record_count = self.record_count.saturating_add(count);
        Some(())
    }

    /// The chain of all, `None` if they are not one.
    fn finish(&self) -> Option<Sorted<'m>> {
        let Self { index, count, record_count, end_count } = *self;
        let first = self.used_from(index.header.part_head.get(), PartitionRecord::next)?;
        let first_lo = match first {
            Some(first) => {
                let record = index.table.get(first).ok()?;
                let previous = self.used_from(record.prev(), PartitionRecord::prev)?;
                (previous.is_none() && end_count == 1).then_some(record.bounds().0)?
            }
            None => (count == 0).then_some(index.data.hi().get())?,
        };
        let gap_count = u64::from(first_lo > index.data.lo().get());
        let record_count = record_count.saturating_add(gap_count);
        Some(Sorted { index, first, count, record_count })
    }

    /// The first used record from a link of the list on, past one that is free; `None` if there are
    /// more of those.
    fn used_from(&self, link: Link, onward: impl Fn(&PartitionRecord) -> Link) -> Option<Link> {
        let is_used = |at| self.index.table.get(at).map(|record| record.tag().is_some());
        let Some(at) = link else { return Some(None) };
        if is_used(at).ok()? {
            return Some(link);
        }
        let behind = onward(self.index.table.get(at).ok()?);
        behind.is_none_or(|at| is_used(at) == Ok(true)).then_some(behind)
    }
}

/// A merge sort under way: bin i holds a chain of 2^i runs, or nothing.
struct Merging<'m> {
    index: Index<'m>,
    bins: [Link; BINS],
    /// So many records may still be passed, whatever the links say.
    steps: u64,
}

impl Merging<'_> {
    /// Adds a run.
    fn add(&mut self, first: PartitionIndex) -> Result<(), Damage> {
        let mut run = first;
        for bin in 0..BINS {
            let Some(earlier) = self.bins.get_mut(bin).and_then(Option::take) else {
                if let Some(bin) = self.bins.get_mut(bin) {
                    *bin = Some(run);
                }
                return Ok(());
            };
            run = self.merge(earlier, run)?;
        }
        Err(Damage::EndlessWalk { index: first })
    }

    /// The chain of all runs and a last one.
    fn finish(mut self, last: Link) -> Result<Link, Damage> {
        let mut all = last;
        for bin in 0..BINS {
            let Some(earlier) = self.bins.get_mut(bin).and_then(Option::take) else { continue };
            all = Some(match all {
                Some(all) => self.merge(earlier, all)?,
                None => earlier,
            });
        }
        Ok(all)
    }

    /// Makes one chain of two that are in order.
    fn merge(&mut self, a: PartitionIndex, b: PartitionIndex) -> Result<PartitionIndex, Damage> {
        let table = self.index.table;
        let (a_record, b_record) = (table.get(a)?, table.get(b)?);
        // What comes next is `lower`; `upper` waits.
        let (mut lower, mut upper) = ((a, a_record), (b, b_record));
        if b_record.bounds().0 < a_record.bounds().0 {
            (lower, upper) = (upper, lower);
        }
        let first = lower.0;
        let mut upper_lo = upper.1.bounds().0;
        loop {
            self.steps = self.steps.checked_sub(1).ok_or(Damage::EndlessWalk { index: lower.0 })?;
            let Some(next) = lower.1.scratch() else {
                lower.1.set_scratch(Some(upper.0));
                return Ok(first);
            };
            let record = table.get(next)?;
            let next_lo = record.bounds().0;
            if next_lo <= upper_lo {
                lower = (next, record);
            } else {
                lower.1.set_scratch(Some(upper.0));
                (lower, upper, upper_lo) = (upper, (next, record), next_lo);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use wksp_testkit::rng::Rng;

    use super::*;
    use crate::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};

    /// The addresses as they come out, and as they should.
    fn sorted(index: Index<'_>) -> [Vec<u64>; 2] {
        let used = index.table.iter().filter(|(_, record)| record.tag().is_some());
        let mut expected: Vec<_> = used.map(|(_, record)| record.bounds().0).collect();
        expected.sort_unstable();
        let count = u32::try_from(expected.len()).unwrap();
        let merged = Sorted::tile(index, Sorted::merge_sort(index).unwrap(), count).unwrap();
        let needed = Sorted::as_listed(index).unwrap().1.unwrap().record_count();
        assert_eq!(merged.record_count(), needed);
        let found = merged.iter().map(|one| one.unwrap().1.lo().get()).collect();
        [found, expected]
    }

    #[track_caller]
    fn assert_refused(index: Index<'_>, count: u32) {
        let (counted, listed) = Sorted::as_listed(index).unwrap();
        assert!(counted == count && listed.is_none());
    }

    #[test]
    fn records_come_out_in_order_whatever_the_list_says() {
        let mut blocks: Vec<_> = (0..400).map(|_| Block::new()).collect();
        let geometry = Geometry::new(300, 30_000).unwrap();
        let format = Format { name: Name::new("sorted").unwrap(), seed: 5, geometry };
        let workspace = Workspace::format(Memory::of_blocks(&mut blocks), Solo, format).unwrap();
        let index = workspace.index();
        let (mut rng, mut live) = (Rng::new(11), Vec::new());
        let tag = Tag::new(1).unwrap();
        for round in 0..400 {
            // From none to many, and mostly not in the order of the table.
            let mut guard = workspace.lock().unwrap();
            if rng.below(400) > round && live.len() < 120 {
                live.push(guard.alloc(Align::BYTE, 1 + rng.below(200), tag).unwrap());
            } else if !live.is_empty() {
                let gone = live.swap_remove(rng.index(live.len()));
                guard.free(gone).unwrap();
            }
            let [found, expected] = sorted(index);
            assert_eq!(found, expected);
            let count = u32::try_from(live.len()).unwrap();
            let (counted, listed) = Sorted::as_listed(index).unwrap();
            let listed = listed.expect("the list is whole");
            let found: Vec<_> = listed.iter().map(|one| one.unwrap().1.lo().get()).collect();
            assert_eq!((counted, listed.count, found), (count, count, expected));
            let partition_count = guard.partitions().count() as u64;
            assert_eq!(listed.record_count(), partition_count);

            // A list that goes elsewhere or ends where there is a next one is none to go by.
            let used = guard.partitions().map(Result::unwrap).filter(|part| part.tag.is_some());
            let used: Vec<_> = used.map(|part| index.table.get(part.index).unwrap()).collect();
            let Some([one, two, ..]) = used.get(rng.index(used.len().max(1))..) else { continue };
            let header = index.header;
            let (next, prev, head) = (one.next(), two.prev(), header.part_head.get());
            let nowhere = PartitionIndex::new(300);
            for wrong in
                [None, head, two.next(), nowhere].into_iter().filter(|&wrong| wrong != next)
            {
                one.set_next(wrong);
                assert_refused(index, count);
                one.set_next(next);
            }
            for wrong in [None, two.next(), nowhere] {
                two.set_prev(wrong);
                assert_refused(index, count);
                two.set_prev(prev);
            }
            for wrong in [None, next, nowhere].into_iter().filter(|&wrong| wrong != head) {
                header.part_head.set(wrong);
                assert_refused(index, count);
                header.part_head.set(head);
            }
        }
        assert!(workspace.lock().unwrap().verify().is_clean());
    }
}
