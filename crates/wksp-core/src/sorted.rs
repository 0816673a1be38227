//! The used records in order of address, as a chain through their scratch links.

use wksp_treap::{Damage, GaddrRange, Link, PartitionIndex, PartitionRecord};

use crate::index::Index;
use crate::rebuild::RebuildError;

/// The used records in ascending order of address.
///
/// The chain lies in memory that others can write, so it is followed for as many steps as there are
/// records in it, and may lead anywhere.
#[derive(Clone, Copy)]
pub(crate) struct Sorted<'m> {
    index: Index<'m>,
    first: Link,
    count: u32,
}

/// There are fewer than 2^32 records, and each bin has at least twice as many runs as the last.
const BINS: usize = 33;
/// A record takes part in one merge for each bin.
const STEPS_EACH: u64 = 40;

impl<'m> Sorted<'m> {
    /// Collects the records that have a tag and sorts them, writing scratch links only.
    ///
    /// The partition list has them in order, unless it is damaged: then O(n) in the number n of
    /// allocations, and else O(n log n). Besides, every record is looked at.
    pub(crate) fn of_used(index: Index<'m>) -> Result<Self, RebuildError> {
        let mut count = 0_u32;
        for (at, record) in index.table.iter() {
            if record.tag().is_some() {
                let (lo, hi) = record.bounds();
                if GaddrRange::new(lo, hi).is_none_or(|range| !index.data.encloses(range)) {
                    return Err(RebuildError::BadRange { index: at, lo, hi });
                }
                count = count.saturating_add(1);
            }
        }
        let first = match Self::chain_as_listed(index, count) {
            Some(first) => first,
            None => Self::merge_sort(index)?,
        };
        Ok(Self { index, first, count })
    }

    /// Chains the `count` used records as the partition list has them, `None` if it lacks some.
    ///
    /// Whatever the list is, records of ascending addresses are different ones.
    fn chain_as_listed(index: Index<'m>, count: u32) -> Option<Link> {
        let (mut first, mut last): (Link, Option<(&PartitionRecord, u64)>) = (None, None);
        let (mut link, mut left_to_find) = (index.header.part_head.get(), count);
        for _ in 0..index.table.len() {
            if left_to_find == 0 {
                break;
            }
            let at = link?;
            let record = index.table.get(at).ok()?;
            link = record.next();
            if record.tag().is_none() {
                continue;
            }
            let (lo, _) = record.bounds();
            match last {
                None => first = Some(at),
                Some((last, last_lo)) if last_lo < lo => last.set_scratch(Some(at)),
                Some(_) => return None,
            }
            record.set_scratch(None);
            last = Some((record, lo));
            left_to_find = left_to_find.checked_sub(1)?;
        }
        (left_to_find == 0).then_some(first)
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
        let Self { index, mut first, count } = self;
        (0..count).map_while(move |_| {
            let at = first?;
            let read = || {
                let record = index.table.get(at)?;
                Ok((record.scratch(), index.range(at, record)?))
            };
            Some(match read() {
                Ok((next, range)) => {
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
        let first = Sorted::merge_sort(index).unwrap();
        let merged = Sorted { index, first, count };
        let found = merged.iter().map(|one| one.unwrap().1.lo().get()).collect();
        [found, expected]
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
            let first = Sorted::chain_as_listed(index, count).expect("the list is whole");
            let listed = Sorted { index, first, count };
            let found: Vec<_> = listed.iter().map(|one| one.unwrap().1.lo().get()).collect();
            assert_eq!(found, expected);
            assert_eq!(Sorted::chain_as_listed(index, count + 1), None, "one more than there are");

            // A list that goes back, or ends, in the middle is none to go by.
            let used = guard.partitions().map(Result::unwrap).filter(|part| part.tag.is_some());
            let used: Vec<_> = used.map(|part| index.table.get(part.index).unwrap()).collect();
            let Some([one, .., _]) = used.get(rng.index(used.len().max(1))..) else { continue };
            let next = one.next();
            for wrong in [None, index.header.part_head.get()] {
                one.set_next(wrong);
                assert_eq!(Sorted::chain_as_listed(index, count), None);
                one.set_next(next);
            }
        }
        assert!(workspace.lock().unwrap().verify().is_clean());
    }
}
