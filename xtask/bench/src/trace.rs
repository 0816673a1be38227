//! The operations that every allocator is timed with: the same ones in the same order.

use wksp_testkit::rng::Rng;

/// Where sizes and alignment come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// 2^k + uniform(2^k) bytes, k uniform in 6..=14, at multiples of 16.
    Small,
    /// 2^k + uniform(2^k) pages of 4096 bytes, k uniform in 0..=4, at multiples of a page.
    Pages,
}

/// The bytes of a page of [`Mix::Pages`].
const PAGE: u64 = 4096;

impl Mix {
    /// What all allocations are aligned to, in bytes.
    pub(crate) const fn align(self) -> u64 {
        match self {
            Self::Small => 16,
            Self::Pages => PAGE,
        }
    }

    /// The data bytes of a workspace for one allocation, the free space beside it included.
    pub(crate) const fn data_bytes_each(self) -> u64 {
        match self {
            Self::Small => 24_576,
            Self::Pages => 24 * PAGE,
        }
    }

    fn size(self, rng: &mut Rng) -> u64 {
        let (octave, unit) = match self {
            Self::Small => (6 + rng.below(9), 1),
            Self::Pages => (rng.below(5), PAGE),
        };
        ((1 << octave) + rng.below(1 << octave)) * unit
    }
}

/// What is allocated, replaced and asked for.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The sizes of the first allocations, in bytes.
    pub(crate) fill: Vec<u64>,
    /// Which allocation is freed, and the size of the one that takes its place.
    pub(crate) churn: Vec<(usize, u64)>,
    /// Which allocations are asked for.
    pub(crate) asked: Vec<usize>,
}

impl Trace {
    /// Makes the trace of `live` allocations, `churns` replacements and `asks` questions.
    pub(crate) fn new(mix: Mix, live: usize, churns: usize, asks: usize) -> Self {
        let mut rng = Rng::new(live as u64);
        Self {
            fill: (0..live).map(|_| mix.size(&mut rng)).collect(),
            churn: (0..churns).map(|_| (rng.index(live), mix.size(&mut rng))).collect(),
            asked: (0..asks).map(|_| rng.index(live)).collect(),
        }
    }
}
