//! What a checkpoint holds and where, found out without looking at the data.

use wksp_core::{Allocation, GaddrRange};

use crate::digest::{self, Found};
use crate::error::{Problem, ReadError};
use crate::layout::Origin;

/// An allocation, in the order of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) allocation: Allocation,
    /// Where its bytes are; they are not compressed if that is known.
    pub(crate) at: Option<u64>,
}

/// A group of a v2 checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Where its frame begins.
    pub(crate) offset: u64,
    /// Where the next frame begins.
    pub(crate) next: u64,
    /// Its first entry.
    pub(crate) first: usize,
    /// The number of its entries.
    pub(crate) count: usize,
}

/// A volume of a v2 checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume {
    /// Where its first frame begins.
    pub(crate) offset: u64,
    pub(crate) group_count: u64,
    pub(crate) allocation_count: u64,
}

/// All allocations, groups and other frames.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) entries: Vec<Entry>,
    pub(crate) groups: Vec<Group>,
    /// All other frames, as [start, end).
    pub(crate) frames: Vec<(u64, u64)>,
    pub(crate) digest: Option<Found>,
    /// Behind the last byte.
    pub(crate) end: u64,
}

/// From this many allocations on, each time they have doubled, they are checked for overlaps.
const OVERLAP_CHECK_MIN: u64 = 65_536;

/// The rules for allocations, applied as they are met.
#[derive(Debug)]
pub(crate) struct Entries {
    data: GaddrRange,
    part_max: u64,
    max: u64,
    pub(crate) all: Vec<Entry>,
}

impl Entries {
    pub(crate) const fn new(origin: &Origin, max: u64) -> Self {
        let part_max = origin.geometry.part_max() as u64;
        Self { data: origin.geometry.data(), part_max, max, all: Vec::new() }
    }

    /// Adds an allocation that was met at `offset`.
    pub(crate) fn add(&mut self, entry: Entry, offset: u64) -> Result<(), ReadError> {
        let range = entry.allocation.range;
        if !self.data.encloses(range) {
            let (lo, hi) = (range.lo().get(), range.hi().get());
            return Err(Problem::Range { lo, hi }.at(offset));
        }
        let count = self.all.len() as u64;
        if count >= self.part_max {
            return Err(Problem::TooManyAllocations { part_max: self.part_max }.at(offset));
        }
        if count >= self.max {
            return Err(ReadError::TooMany { max: self.max });
        }
        // A few compressed bytes can say the same range a million times: find out before the list
        // takes much more memory than an honest one.
        if count >= OVERLAP_CHECK_MIN && count.is_power_of_two() {
            by_address(&self.all)?;
        }
        let bytes = size_of::<Entry>();
        self.all.try_reserve(1).map_err(|_| ReadError::Memory { bytes })?;
        self.all.push(entry);
        Ok(())
    }
}

/// The allocations in order of address, none of which overlap.
pub(crate) fn by_address(entries: &[Entry]) -> Result<Vec<Allocation>, ReadError> {
    let bytes = size_of_val(entries);
    let mut sorted = Vec::new();
    sorted.try_reserve_exact(entries.len()).map_err(|_| ReadError::Memory { bytes })?;
    sorted.extend(entries.iter().map(|entry| entry.allocation));
    sorted.sort_unstable_by_key(|allocation: &Allocation| allocation.range.lo());
    for (lower, upper) in sorted.iter().zip(sorted.iter().skip(1)) {
        if upper.range.lo() < lower.range.hi() {
            let (lower, upper) = (lower.range, upper.range);
            return Err(Problem::Overlap { lower, upper }.at(0));
        }
    }
    Ok(sorted)
}

/// The digest that the last volumes are, if they are one.
pub(crate) fn digest_volumes(volumes: &[Volume]) -> Option<Found> {
    let start = volumes.len().checked_sub(digest::VOLUME_BITS)?;
    let last = volumes.get(start..)?;
    if last.iter().any(|volume| volume.allocation_count > 0 || volume.group_count > 1) {
        return None;
    }
    let digest = digest::of_volume_bits(last.iter().map(|volume| volume.group_count == 1))?;
    Some(Found { digest, covered_bytes: last.first()?.offset, digits_at: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wksp_core::{Geometry, Name, Tag};

    fn entries() -> Entries {
        let geometry = Geometry::new(1 << 20, 1 << 20).unwrap();
        Entries::new(&Origin { name: Name::new("x").unwrap(), seed: 1, geometry }, u64::MAX)
    }

    #[test]
    fn the_same_allocation_again_and_again_is_noticed_in_time_but_not_looked_for_each_time() {
        let mut entries = entries();
        let lo = entries.data.lo().get();
        let range = GaddrRange::new(lo, lo + 1).unwrap();
        let allocation = Allocation { range, tag: Tag::new(1).unwrap() };
        for _ in 0..OVERLAP_CHECK_MIN {
            entries.add(Entry { allocation, at: None }, 0).unwrap();
        }
        let found = entries.add(Entry { allocation, at: None }, 0);
        assert!(matches!(
            found,
            Err(ReadError::Malformed { problem: Problem::Overlap { .. }, .. })
        ));
        // Another one of those there are would be found as well, were it looked for.
        entries.all.push(Entry { allocation, at: None });
        entries.add(Entry { allocation, at: None }, 0).unwrap();
    }

    #[test]
    fn a_digest_is_volumes_with_no_allocation_and_one_group_at_most() {
        let volume =
            |offset, is_set| Volume { offset, group_count: u64::from(is_set), allocation_count: 0 };
        let mut volumes: Vec<_> = (0..)
            .zip(digest::volume_bits(0xDEAD_BEEF))
            .map(|(at, is_set)| volume(100 + at, is_set))
            .collect();
        let found = digest_volumes(&volumes).unwrap();
        assert_eq!((found.digest, found.covered_bytes), (0xDEAD_BEEF, 100));
        volumes.insert(0, volume(9, true));
        assert_eq!(digest_volumes(&volumes).unwrap().covered_bytes, 100);
        for at in 1..volumes.len() {
            let mut other = volumes.clone();
            other[at].allocation_count = 1;
            assert!(digest_volumes(&other).is_none());
            other = volumes.clone();
            other[at].group_count = 2;
            assert!(digest_volumes(&other).is_none());
        }
        assert!(digest_volumes(&volumes[2..]).is_none());
    }
}
