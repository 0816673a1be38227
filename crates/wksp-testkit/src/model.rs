//! A shadow model of an allocator: what a workspace must contain after the same operations.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::image::{self, Listing, Used};
pub use crate::pattern::{PatternMismatch, check_pattern, fill_pattern};

/// The alignment that a request for 0 gets.
pub const DEFAULT_ALIGN: u64 = 4096;

/// What the caller of an allocator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Size in bytes; never 0.
    pub bytes: u64,
    /// A power of two, or 0 for [`DEFAULT_ALIGN`].
    pub align: u64,
    /// Never 0.
    pub tag: u64,
}

/// A live allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The address that the allocator returned; in [`lo`, `hi`).
    pub at: u64,
    /// First reserved byte.
    pub lo: u64,
    /// One past the last reserved byte.
    pub hi: u64,
    /// Never 0.
    pub tag: u64,
    /// Seed of the pattern that fills [`lo`, `hi`), see [`fill_pattern`].
    pub seed: u64,
}

impl Allocation {
    /// Returns range and tag alone.
    #[must_use]
    pub const fn used(&self) -> Used {
        Used { lo: self.lo, hi: self.hi, tag: self.tag }
    }
}

/// The allocations of one workspace by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    region: Range<u64>,
    by_lo: BTreeMap<u64, Allocation>,
}

impl Model {
    /// Starts with nothing allocated in the data region [start, end).
    #[must_use]
    pub const fn new(region: Range<u64>) -> Self {
        Self { region, by_lo: BTreeMap::new() }
    }

    /// Starts with the allocations of an image, each with seed 0 and returned at its first byte.
    #[must_use]
    pub fn of(listing: &Listing<'_>) -> Self {
        let mut model = Self::new(listing.gaddr_lo..listing.gaddr_hi);
        for Used { lo, hi, tag } in listing.used() {
            model.by_lo.insert(lo, Allocation { at: lo, lo, hi, tag, seed: 0 });
        }
        model
    }

    /// Returns the data region.
    #[must_use]
    pub fn region(&self) -> Range<u64> {
        self.region.clone()
    }

    /// Records that an allocator answered `wanted` with exactly `range`.
    ///
    /// # Errors
    ///
    /// The answer is one that no correct allocator gives; the model is unchanged.
    pub fn insert(
        &mut self,
        range: Range<u64>,
        wanted: Wanted,
        seed: u64,
    ) -> Result<Allocation, Rejection> {
        let found = range.end.saturating_sub(range.start);
        if found != wanted.bytes {
            return Err(Rejection::Size { wanted: wanted.bytes, found });
        }
        self.insert_reserved(range.start, range, wanted, seed)
    }

    /// Records that an allocator answered `wanted` with address `at` and reserved `range` for it.
    ///
    /// # Errors
    ///
    /// The answer is one that no correct allocator gives; the model is unchanged.
    pub fn insert_reserved(
        &mut self,
        at: u64,
        range: Range<u64>,
        wanted: Wanted,
        seed: u64,
    ) -> Result<Allocation, Rejection> {
        let Wanted { bytes, align, tag } = wanted;
        let align = if align == 0 { DEFAULT_ALIGN } else { align };
        if bytes == 0 || tag == 0 || !align.is_power_of_two() {
            return Err(Rejection::Request(wanted));
        }
        if range.is_empty() || range.start < self.region.start || range.end > self.region.end {
            return Err(Rejection::OutOfRegion { lo: range.start, hi: range.end });
        }
        let end = at.checked_add(bytes);
        if at < range.start || end.is_none_or(|end| end > range.end) {
            return Err(Rejection::Size { wanted: bytes, found: range.end.saturating_sub(at) });
        }
        if !at.is_multiple_of(align) {
            return Err(Rejection::Misaligned { at, align });
        }
        // Allocations never overlap, so the last one that starts below the new end decides.
        let before = self.by_lo.range(..range.end).next_back();
        if let Some((_, other)) = before.filter(|(_, other)| other.hi > range.start) {
            return Err(Rejection::Overlap(*other));
        }
        let allocation = Allocation { at, lo: range.start, hi: range.end, tag, seed };
        self.by_lo.insert(range.start, allocation);
        Ok(allocation)
    }

    /// Returns the allocation that covers `gaddr`.
    #[must_use]
    pub fn get(&self, gaddr: u64) -> Option<&Allocation> {
        let (_, allocation) = self.by_lo.range(..=gaddr).next_back()?;
        (gaddr < allocation.hi).then_some(allocation)
    }

    /// Returns the tag of the allocation that covers `gaddr`.
    #[must_use]
    pub fn tag_at(&self, gaddr: u64) -> Option<u64> {
        self.get(gaddr).map(|allocation| allocation.tag)
    }

    /// Removes and returns the allocation that covers `gaddr`.
    pub fn remove(&mut self, gaddr: u64) -> Option<Allocation> {
        let lo = self.get(gaddr)?.lo;
        self.by_lo.remove(&lo)
    }

    /// Changes the tag of the allocation that covers `gaddr` and returns the old one.
    pub fn set_tag(&mut self, gaddr: u64, tag: u64) -> Option<u64> {
        let lo = self.get(gaddr)?.lo;
        let allocation = self.by_lo.get_mut(&lo)?;
        Some(std::mem::replace(&mut allocation.tag, tag))
    }

    /// Changes the pattern seed of the allocation that covers `gaddr` and returns the old one.
    pub fn set_seed(&mut self, gaddr: u64, seed: u64) -> Option<u64> {
        let lo = self.get(gaddr)?.lo;
        let allocation = self.by_lo.get_mut(&lo)?;
        Some(std::mem::replace(&mut allocation.seed, seed))
    }

    /// Removes all allocations with one of `tags` and returns them in address order.
    pub fn tag_free(&mut self, tags: &[u64]) -> Vec<Allocation> {
        let doomed = self.iter().filter(|allocation| tags.contains(&allocation.tag));
        let doomed: Vec<Allocation> = doomed.copied().collect();
        for allocation in &doomed {
            self.by_lo.remove(&allocation.lo);
        }
        doomed
    }

    /// Removes all allocations.
    pub fn reset(&mut self) {
        self.by_lo.clear();
    }

    /// Iterates in address order.
    pub fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.by_lo.values()
    }

    /// Returns the number of allocations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_lo.len()
    }

    /// Tells whether nothing is allocated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_lo.is_empty()
    }

    /// Lists used ranges and tags in address order.
    #[must_use]
    pub fn used(&self) -> Vec<Used> {
        self.iter().map(Allocation::used).collect()
    }

    /// Lists the maximal gaps between the allocations in address order.
    #[must_use]
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let starts = self.iter().map(|allocation| allocation.lo);
        let ends = self.iter().map(|allocation| allocation.hi);
        let gap_starts = std::iter::once(self.region.start).chain(ends);
        let gap_ends = starts.chain(std::iter::once(self.region.end));
        gap_starts.zip(gap_ends).map(|(lo, hi)| lo..hi).filter(|gap| !gap.is_empty()).collect()
    }

    /// Returns the size of the smallest gap with at least `bytes`, the choice of best fit.
    #[must_use]
    pub fn best_fit(&self, bytes: u64) -> Option<u64> {
        let sizes = self.gaps().into_iter().map(|gap| gap.end.saturating_sub(gap.start));
        sizes.filter(|size| *size >= bytes).min()
    }

    /// Checks that an image has exactly these ranges, tags and gaps.
    ///
    /// # Errors
    ///
    /// Every difference, at least one.
    pub fn compare(&self, listing: &Listing<'_>) -> Result<(), Vec<Difference>> {
        let mut differences = Vec::new();
        let found = listing.gaddr_lo..listing.gaddr_hi;
        if found != self.region {
            differences.push(Difference::Region { expected: self.region(), found });
        }
        let (missing, extra) = set_difference(&self.used(), &listing.used());
        differences.extend(missing.into_iter().map(Difference::MissingUsed));
        differences.extend(extra.into_iter().map(Difference::UnexpectedUsed));
        let (missing, extra) = set_difference(&self.gaps(), &listing.free());
        differences.extend(missing.into_iter().map(Difference::MissingGap));
        differences.extend(extra.into_iter().map(Difference::UnexpectedGap));
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    /// Checks that every allocation's bytes in `image` hold the pattern of its seed.
    ///
    /// # Errors
    ///
    /// Every allocation that does not, at least one.
    pub fn compare_contents(&self, image: &[u8]) -> Result<(), Vec<Difference>> {
        let mut differences = Vec::new();
        for allocation in self.iter() {
            match image::bytes(image, allocation.lo, allocation.hi) {
                None => differences.push(Difference::MissingUsed(allocation.used())),
                Some(bytes) => {
                    if let Err(mismatch) = check_pattern(allocation.seed, bytes) {
                        differences.push(Difference::Content(allocation.used(), mismatch));
                    }
                }
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }
}

fn set_difference<T: PartialEq + Clone>(expected: &[T], found: &[T]) -> (Vec<T>, Vec<T>) {
    // Equal lists, by far the most frequent case, are told apart without the quadratic search.
    if expected == found {
        return (Vec::new(), Vec::new());
    }
    let missing = expected.iter().filter(|item| !found.contains(item)).cloned();
    let extra = found.iter().filter(|item| !expected.contains(item)).cloned();
    (missing.collect(), extra.collect())
}

/// Why an allocator's answer cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are explained by the message of their variant")]
pub enum Rejection {
    /// The request itself is not one that is answered with an allocation.
    Request(Wanted),
    /// The range is empty or leaves the data region.
    OutOfRegion { lo: u64, hi: u64 },
    /// The range does not hold as many bytes as were asked for.
    Size { wanted: u64, found: u64 },
    /// The address is not aligned.
    Misaligned { at: u64, align: u64 },
    /// The range shares bytes with a live allocation.
    Overlap(Allocation),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(Wanted { bytes, align, tag }) => {
                write!(f, "{bytes} bytes, align {align}, tag {tag}: cannot be granted")
            }
            Self::OutOfRegion { lo, hi } => write!(f, "[{lo}, {hi}) leaves the data region"),
            Self::Size { wanted, found } => write!(f, "{found} bytes where {wanted} were wanted"),
            Self::Misaligned { at, align } => write!(f, "{at} is not a multiple of {align}"),
            Self::Overlap(Allocation { lo, hi, tag, .. }) => {
                write!(f, "shares bytes with [{lo}, {hi}) of tag {tag}")
            }
        }
    }
}

impl std::error::Error for Rejection {}

/// One way in which an image differs from the model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are explained by the message of their variant")]
pub enum Difference {
    /// The data region is another one.
    Region { expected: Range<u64>, found: Range<u64> },
    /// The image lacks an allocation of the model, or has it with another end or tag.
    MissingUsed(Used),
    /// The image has a used partition that the model lacks.
    UnexpectedUsed(Used),
    /// The image lacks a free partition for exactly this gap.
    MissingGap(Range<u64>),
    /// The image has a free partition that is no maximal gap of the model.
    UnexpectedGap(Range<u64>),
    /// The bytes of an allocation are not its pattern.
    Content(Used, PatternMismatch),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region { expected, found } => {
                write!(f, "data region is {found:?}, not {expected:?}")
            }
            Self::MissingUsed(Used { lo, hi, tag }) => write!(f, "missing [{lo}, {hi}) tag {tag}"),
            Self::UnexpectedUsed(Used { lo, hi, tag }) => {
                write!(f, "unexpected [{lo}, {hi}) tag {tag}")
            }
            Self::MissingGap(gap) => write!(f, "missing free {gap:?}"),
            Self::UnexpectedGap(gap) => write!(f, "unexpected free {gap:?}"),
            Self::Content(Used { lo, hi, tag }, mismatch) => {
                write!(f, "contents of [{lo}, {hi}) tag {tag}: {mismatch}")
            }
        }
    }
}

impl std::error::Error for Difference {}
