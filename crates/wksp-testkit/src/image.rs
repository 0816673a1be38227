//! Reads a workspace image and checks every invariant of the memory layout, one naive walk each.

mod check;
mod layout;
mod treap;
mod truth;
mod violation;

use std::ops::Range;

pub(crate) use self::check::region_name;
pub use self::check::{Lock, check};
pub use self::layout::{Header, NIL, Record, field, record_offset};
pub use self::truth::truth;
pub use self::violation::{Link, Tree, Violation};

/// Value of the owner word when nobody holds the lock.
pub const OWNER_FREE: u64 = u64::MAX;

/// A used range and its tag, without the record that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Used {
    /// First byte, as an offset from the header.
    pub lo: u64,
    /// One past the last byte.
    pub hi: u64,
    /// Never 0.
    pub tag: u64,
}

/// One partition of the data region and the record that describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Index of the record.
    pub index: u32,
    /// First byte, as an offset from the header.
    pub lo: u64,
    /// One past the last byte.
    pub hi: u64,
    /// 0 means free.
    pub tag: u64,
}

/// What a workspace image that broke no rule contains.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// Region name.
    pub name: String,
    /// Seed of the heap priorities.
    pub seed: u32,
    /// Number of partition records.
    pub part_max: u64,
    /// Bytes in the data region.
    pub data_max: u64,
    /// First byte of the data region.
    pub gaddr_lo: u64,
    /// One past the last byte of the data region.
    pub gaddr_hi: u64,
    /// The lock word.
    pub owner: u64,
    /// The header's version counter.
    pub cycle_tag: u64,
    /// All partitions, free and used, in address order.
    pub partitions: Vec<Partition>,
    image: &'a [u8],
}

impl<'a> Listing<'a> {
    /// Lists the used partitions in address order.
    #[must_use]
    pub fn used(&self) -> Vec<Used> {
        let used = self.partitions.iter().filter(|partition| partition.tag != 0);
        used.map(|&Partition { lo, hi, tag, .. }| Used { lo, hi, tag }).collect()
    }

    /// Lists the free ranges in address order.
    #[must_use]
    pub fn free(&self) -> Vec<Range<u64>> {
        let free = self.partitions.iter().filter(|partition| partition.tag == 0);
        free.map(|partition| partition.lo..partition.hi).collect()
    }

    /// Returns the bytes of [`lo`, `hi`), or `None` when that leaves the image.
    #[must_use]
    pub fn bytes(&self, lo: u64, hi: u64) -> Option<&'a [u8]> {
        bytes(self.image, lo, hi)
    }
}

/// Returns the bytes of [`lo`, `hi`) of an image, or `None` when that leaves the image.
#[must_use]
pub fn bytes(image: &[u8], lo: u64, hi: u64) -> Option<&[u8]> {
    image.get(usize::try_from(lo).ok()?..usize::try_from(hi).ok()?)
}
