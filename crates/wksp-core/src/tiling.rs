//! Allocations in ascending order of address, and the records that they and their gaps need.

use wksp_treap::GaddrRange;

/// How much of the data a sequence of ranges has covered so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiling {
    data: GaddrRange,
    last: Option<GaddrRange>,
    record_count: u64,
}

impl Tiling {
    pub(crate) const fn new(data: GaddrRange) -> Self {
        Self { data, last: None, record_count: 0 }
    }

    /// Adds a range that lies within the data.
    ///
    /// # Errors
    ///
    /// The range before, if this one begins before that one ends.
    pub(crate) fn add(&mut self, range: GaddrRange) -> Result<(), GaddrRange> {
        let gap_lo = match self.last {
            Some(last) if range.lo() < last.hi() => return Err(last),
            Some(last) => last.hi(),
            None => self.data.lo(),
        };
        let count = if gap_lo < range.lo() { 2 } else { 1 };
        self.record_count = self.record_count.saturating_add(count);
        self.last = Some(range);
        Ok(())
    }

    /// How many records the ranges and the gaps before, between and behind them need.
    pub(crate) fn record_count(self) -> u64 {
        let covered_hi = self.last.map_or(self.data.lo(), GaddrRange::hi);
        self.record_count.saturating_add(u64::from(covered_hi < self.data.hi()))
    }
}
