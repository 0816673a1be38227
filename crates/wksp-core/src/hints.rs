//! What one handle remembers of a workspace, so that it need not search: guesses, never truth.
//!
//! Two tables in memory of the process's own lead from the address of an allocation to its record,
//! and from a size to a free partition of about that size. Others change the workspace without
//! telling, so a guess is looked up in the records before it is used, and a wrong one costs no more
//! than the search that it would have saved. Nothing is decided by them, and nothing that is shared
//! depends on them.

use core::sync::atomic::{AtomicU64, Ordering};

use wksp_treap::{Gaddr, Link, PartitionIndex};

use crate::geometry::Geometry;

/// The guesses of one handle.
///
/// Sizes are accessed under the lock only. Addresses are looked up and remembered without it as
/// well: each word is stored at once, so several threads spoil no more than a guess.
#[derive(Debug, Default)]
pub(crate) struct Hints<'h> {
    addresses: Addresses<'h>,
    sizes: Sizes<'h>,
}

/// So many addresses are remembered in each bucket.
const WAYS: usize = 2;
/// The most buckets, whatever the number of records: 64 MiB, of which the kernel provides what is
/// used.
const BUCKETS_MAX: usize = 1 << 22;
/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// The bits in a word.
const WORD_BITS: usize = 64;
/// The finest classes of sizes: 2^11 between a power of two and the next.
const PRECISION_MAX: u32 = 11;

impl<'h> Hints<'h> {
    /// Uses words that hold zeros or what was written by this; more than needed is left alone, and
    /// with fewer there are no hints.
    pub(crate) fn new(words: &'h [AtomicU64], geometry: &Geometry) -> Self {
        Self::carve(words, geometry).unwrap_or_default()
    }

    /// The number of words that are of use.
    pub(crate) fn words(geometry: &Geometry) -> usize {
        let (filled, summary) = Sizes::bitmap_words(geometry);
        let nodes = Sizes::class_count(geometry);
        let entries = Addresses::bucket_count(geometry).saturating_mul(WAYS);
        summary.saturating_add(filled).saturating_add(nodes).saturating_add(entries)
    }

    fn carve(words: &'h [AtomicU64], geometry: &Geometry) -> Option<Self> {
        let (filled, summary) = Sizes::bitmap_words(geometry);
        let (summary, words) = words.split_at_checked(summary)?;
        let (filled, words) = words.split_at_checked(filled)?;
        let (nodes, words) = words.split_at_checked(Sizes::class_count(geometry))?;
        let buckets = words.as_chunks().0.get(..Addresses::bucket_count(geometry))?;
        let precision = Sizes::precision(geometry);
        Some(Self {
            addresses: Addresses { buckets },
            sizes: Sizes { precision, nodes, filled, summary },
        })
    }

    /// The record that the allocation at `gaddr` may have.
    #[inline]
    pub(crate) fn at(&self, gaddr: Gaddr) -> Link {
        self.addresses.get(gaddr)
    }

    /// Remembers the record of the allocation that begins at `gaddr`.
    #[inline]
    pub(crate) fn remember_at(&self, gaddr: Gaddr, index: PartitionIndex) {
        self.addresses.set(gaddr, index);
    }

    /// Forgets the allocation that begins at `gaddr`.
    #[inline]
    pub(crate) fn forget_at(&self, gaddr: Gaddr) {
        self.addresses.clear(gaddr);
    }

    /// What may be a node of the free treap for `bytes` or somewhat more.
    #[inline]
    pub(crate) fn near(&self, bytes: u64) -> Link {
        index_of(load(self.sizes.nodes.get(self.sizes.next_filled(self.sizes.class(bytes))?)?))
    }

    /// Whether what is remembered for one size serves the other as well.
    #[inline]
    pub(crate) fn is_alike(&self, bytes: u64, other: u64) -> bool {
        self.sizes.class(bytes) == self.sizes.class(other)
    }

    /// Remembers a node of the free treap, of `bytes` bytes.
    #[inline]
    pub(crate) fn remember_size(&self, bytes: u64, index: PartitionIndex) {
        self.sizes.set(self.sizes.class(bytes), index);
    }

    /// Forgets all nodes of the free treap.
    pub(crate) fn forget_sizes(&self) {
        self.sizes.clear();
    }

    /// Forgets a node of `bytes` bytes, in favour of another or none.
    #[inline]
    pub(crate) fn forget_size(&self, bytes: u64, index: PartitionIndex, instead: Link) {
        self.sizes.replace(self.sizes.class(bytes), index, instead);
    }
}

/// From addresses to records.
#[derive(Clone, Copy, Debug, Default)]
struct Addresses<'h> {
    /// Entries of 32 bits of a hash above the index plus one, or 0.
    buckets: &'h [[AtomicU64; WAYS]],
}

impl<'h> Addresses<'h> {
    /// One bucket for each record, of which one in three may be an allocation: so there is room for
    /// 99 of 100 of them.
    fn bucket_count(geometry: &Geometry) -> usize {
        usize::try_from(geometry.part_max())
            .map_or(BUCKETS_MAX, |count| count.clamp(4, BUCKETS_MAX))
    }

    /// The bucket of an address, and what its entry has in the upper half.
    #[inline]
    fn find(self, gaddr: Gaddr) -> Option<(&'h [AtomicU64; WAYS], u64)> {
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4), twice: once leaves
        // three times as many without a place where sizes are alike.
        let once = gaddr.get().wrapping_mul(GOLDEN);
        let hash = (once ^ once >> 32).wrapping_mul(GOLDEN);
        let at = (hash >> 32).wrapping_mul(self.buckets.len() as u64) >> 32;
        Some((self.buckets.get(usize::try_from(at).ok()?)?, hash << 32))
    }

    #[inline]
    fn get(self, gaddr: Gaddr) -> Link {
        let ([a, b], key) = self.find(gaddr)?;
        let (a, b) = (load(a), load(b));
        // If it is of neither, a wrong guess is as good as none.
        index_of(if is_of(a, key) { a } else { b })
    }

    /// The latest of a bucket comes first, and pushes the one before it back.
    #[inline]
    fn set(self, gaddr: Gaddr, index: PartitionIndex) {
        let Some(([a, b], key)) = self.find(gaddr) else { return };
        let first = load(a);
        if first != 0 && !is_of(first, key) {
            b.store(first, Ordering::Relaxed);
        }
        a.store(key | word_of(index), Ordering::Relaxed);
    }

    #[inline]
    fn clear(self, gaddr: Gaddr) {
        let Some(([a, b], key)) = self.find(gaddr) else { return };
        if is_of(load(a), key) {
            a.store(0, Ordering::Relaxed);
        } else if is_of(load(b), key) {
            b.store(0, Ordering::Relaxed);
        }
    }
}

#[inline]
fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

#[inline]
const fn is_of(entry: u64, key: u64) -> bool {
    // An empty entry with a key of 0 leads to no record.
    entry >> 32 == key >> 32
}

/// A record index as the lower half of a word, never 0.
#[inline]
fn word_of(index: PartitionIndex) -> u64 {
    u64::from(index.get()).wrapping_add(1)
}

#[inline]
fn index_of(word: u64) -> Link {
    // 0 becomes the link that leads nowhere.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    let one_more = word as u32;
    PartitionIndex::new(one_more.wrapping_sub(1))
}

/// From classes of sizes to free partitions.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes<'h> {
    /// How many bits of a size besides its highest one tell the class.
    precision: u32,
    /// For each class the index plus one of a node of the free treap, or 0.
    nodes: &'h [AtomicU64],
    /// A bit for each class that has a node.
    filled: &'h [AtomicU64],
    /// A bit for each word of those bits that is not 0.
    summary: &'h [AtomicU64],
}

impl Sizes<'_> {
    /// The more records, the more sizes there may be to be told apart.
    fn precision(geometry: &Geometry) -> u32 {
        u64::from(geometry.part_max()).ilog2().saturating_sub(5).clamp(3, PRECISION_MAX)
    }

    fn class_count(geometry: &Geometry) -> usize {
        let sizes = Self { precision: Self::precision(geometry), ..Self::default() };
        sizes.class(geometry.data().bytes()).saturating_add(1)
    }

    /// The words of the bits, and of the summary of those.
    fn bitmap_words(geometry: &Geometry) -> (usize, usize) {
        let filled = Self::class_count(geometry).div_ceil(WORD_BITS);
        (filled, filled.div_ceil(WORD_BITS))
    }

    /// Sizes below 2^(precision + 1) have a class each; above, as many classes lie between a power
    /// of two and the next as there are numbers of `precision` bits.
    #[inline]
    fn class(self, bytes: u64) -> usize {
        let shift = (bytes | 1).ilog2().saturating_sub(self.precision);
        let class = (u64::from(shift) << self.precision).wrapping_add(bytes >> shift);
        usize::try_from(class).unwrap_or(usize::MAX)
    }

    /// The first class from `from` on that has a node.
    #[inline]
    fn next_filled(self, from: usize) -> Option<usize> {
        let at = from / WORD_BITS;
        first_from(self.filled, at, from % WORD_BITS).or_else(|| self.next_filled_word(at))
    }

    /// The first class that has a node and a bit in a word behind `at`.
    fn next_filled_word(self, at: usize) -> Option<usize> {
        let from = at.checked_add(1)?;
        let word = from / WORD_BITS;
        let mut words = word.checked_add(1)?..self.summary.len();
        let at = first_from(self.summary, word, from % WORD_BITS)
            .or_else(|| words.find_map(|word| first_from(self.summary, word, 0)))?;
        first_from(self.filled, at, 0)
    }

    /// Looks only at classes that have a node.
    fn clear(self) {
        for at in 0..self.filled.len() {
            while let Some(class) = first_from(self.filled, at, 0) {
                if let Some(node) = self.nodes.get(class) {
                    node.store(0, Ordering::Relaxed);
                }
                clear_bit(self.filled, class);
            }
        }
        for word in self.summary {
            word.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn set(self, class: usize, index: PartitionIndex) {
        let Some(node) = self.nodes.get(class) else { return };
        if load(node) == 0 {
            set_bit(self.filled, class);
            set_bit(self.summary, class / WORD_BITS);
        }
        node.store(word_of(index), Ordering::Relaxed);
    }

    #[inline]
    fn replace(self, class: usize, index: PartitionIndex, instead: Link) {
        let Some(node) = self.nodes.get(class).filter(|node| load(node) == word_of(index)) else {
            return;
        };
        node.store(instead.map_or(0, word_of), Ordering::Relaxed);
        if instead.is_none() && clear_bit(self.filled, class) == 0 {
            clear_bit(self.summary, class / WORD_BITS);
        }
    }
}

/// The number of the first bit of word `at`, from its bit `from` on, that is set.
#[inline]
fn first_from(words: &[AtomicU64], at: usize, from: usize) -> Option<usize> {
    let bits = load(words.get(at)?) & (u64::MAX << from);
    let first = usize::try_from(bits.trailing_zeros()).ok()?;
    (bits != 0).then(|| at.wrapping_mul(WORD_BITS).wrapping_add(first))
}

#[inline]
fn set_bit(words: &[AtomicU64], bit: usize) {
    if let Some(word) = words.get(bit / WORD_BITS) {
        word.store(load(word) | 1 << (bit % WORD_BITS), Ordering::Relaxed);
    }
}

/// Clears a bit, and returns what is left of its word.
#[inline]
fn clear_bit(words: &[AtomicU64], bit: usize) -> u64 {
    let Some(word) = words.get(bit / WORD_BITS) else { return 0 };
    let left = load(word) & !(1 << (bit % WORD_BITS));
    word.store(left, Ordering::Relaxed);
    left
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;
    use wksp_testkit::rng::Rng;

    fn geometry(part_max: u64, data_max: u64) -> Geometry {
        Geometry::new(part_max, data_max).unwrap()
    }

    fn words(geometry: &Geometry) -> Vec<AtomicU64> {
        (0..Hints::words(geometry)).map(|_| AtomicU64::new(0)).collect()
    }

    fn index(index: u32) -> PartitionIndex {
        PartitionIndex::new(index).unwrap()
    }

    fn gaddr(gaddr: u64) -> Gaddr {
        Gaddr::new(gaddr).unwrap()
    }

    #[test]
    fn with_fewer_words_than_needed_there_are_no_hints() {
        let geometry = geometry(100, 50_000);
        let words = words(&geometry);
        for (words, remembers) in [(&words[..], true), (&words[1..], false), (&[], false)] {
            let hints = Hints::new(words, &geometry);
            hints.remember_at(gaddr(8000), index(3));
            hints.remember_size(400, index(5));
            let (at, near) = (hints.at(gaddr(8000)), hints.near(400));
            assert_eq!((at, near), (remembers.then(|| index(3)), remembers.then(|| index(5))));
        }
        // They are all in use: no word of a larger table is touched.
        let many: Vec<_> = (0..Hints::words(&geometry) + 9).map(|_| AtomicU64::new(0)).collect();
        let hints = Hints::new(&many, &geometry);
        let mut rng = Rng::new(1);
        for _ in 0..10_000 {
            hints.remember_at(gaddr(1 + rng.below(60_000)), index(1));
            hints.remember_size(1 + rng.below(50_000), index(1));
        }
        hints.remember_size(50_000, index(1));
        let (used, behind) = many.split_at(Hints::words(&geometry));
        assert!(behind.iter().all(|word| load(word) == 0));
        assert!(used.last().is_some_and(|word| load(word) != 0));
    }

    #[test]
    fn there_is_a_bucket_for_each_record_within_bounds() {
        let count = |part_max| Addresses::bucket_count(&geometry(part_max, 1 << 20));
        assert_eq!((count(1), count(4), count(5), count(1000)), (4, 4, 5, 1000));
        assert_eq!(count(1 << 30), BUCKETS_MAX);
    }

    #[test]
    fn the_two_latest_of_a_bucket_are_remembered() {
        let geometry = geometry(8, 1 << 20);
        let words = words(&geometry);
        let hints = Hints::new(&words, &geometry);
        let bucket = |at: u64| hints.addresses.find(gaddr(at)).unwrap().0.as_ptr();
        let of_one: Vec<u64> = (1..).filter(|&at| bucket(at) == bucket(1)).take(3).collect();
        let [a, b, c] = of_one[..] else { unreachable!() };
        let other = (1..).find(|&at| bucket(at) != bucket(1)).unwrap();
        // A wrong guess is as good as none, so only right ones count.
        let knows = |at: u64, number: u32| hints.at(gaddr(at)) == Some(index(number));

        hints.remember_at(gaddr(other), index(9));
        hints.remember_at(gaddr(a), index(0));
        assert!(knows(a, 0));
        hints.remember_at(gaddr(b), index(1));
        assert!(knows(a, 0) && knows(b, 1));
        hints.remember_at(gaddr(c), index(2));
        assert!(!knows(a, 0) && knows(b, 1) && knows(c, 2));
        // The same address again takes no other's place, and what is forgotten is so for it only.
        hints.remember_at(gaddr(c), index(7));
        assert!(knows(b, 1) && knows(c, 7));
        hints.forget_at(gaddr(a));
        assert!(knows(b, 1) && knows(c, 7));
        hints.forget_at(gaddr(b));
        assert!(!knows(b, 1) && knows(c, 7));
        hints.remember_at(gaddr(b), index(4));
        assert!(knows(b, 4) && knows(c, 7));
        hints.forget_at(gaddr(b));
        assert!(!knows(b, 4) && knows(c, 7));
        hints.forget_at(gaddr(c));
        assert!(!knows(c, 7) && knows(other, 9));
    }

    #[test]
    fn a_table_remembers_most_of_as_many_addresses_as_there_may_be() {
        let geometry = geometry(3000, 1 << 24);
        let words = words(&geometry);
        let hints = Hints::new(&words, &geometry);
        // One record in three is an allocation, at regular distances or not.
        for stride in [16, 4096, 12_345] {
            let addresses = (1..=1000).map(|at| gaddr(at * stride));
            for (at, address) in (0..).zip(addresses.clone()) {
                hints.remember_at(address, index(at));
            }
            let known = (0..).zip(addresses).filter(|&(at, one)| hints.at(one) == Some(index(at)));
            let known = known.count();
            assert!(known > 970, "{known} of 1000 at distances of {stride}");
        }
    }

    #[test]
    fn classes_are_in_order_and_narrow() {
        for part_max in [8, 1000, 1 << 20] {
            let geometry = geometry(part_max, 1 << 30);
            let precision = Sizes::precision(&geometry);
            let sizes = Sizes { precision, ..Sizes::default() };
            let fine = 1_u64 << (precision + 1);
            assert!((1..fine).all(|bytes| sizes.class(bytes + 1) == sizes.class(bytes) + 1));
            let (mut bytes, mut last) = (fine, sizes.class(fine));
            while bytes < 1 << 30 {
                // From one class to the next is one step, of at most one in 2^precision.
                let step = 1 << (bytes.ilog2() - precision);
                assert_eq!(sizes.class(bytes + step - 1), last);
                bytes += step;
                last += 1;
                assert_eq!(sizes.class(bytes), last);
            }
            assert_eq!(Sizes::class_count(&geometry), last + 1);
        }
        let precision = |part_max| Sizes::precision(&geometry(part_max, 1 << 20));
        assert_eq!([8, 1 << 8, 1 << 12, 1 << 16, 1 << 20].map(precision), [3, 3, 7, 11, 11]);
    }

    /// Against a map of classes, with more of them than a word of the summary has bits.
    #[test]
    fn a_node_of_the_next_class_is_found() {
        let geometry = geometry(1 << 16, 1 << 30);
        let words = words(&geometry);
        let hints = Hints::new(&words, &geometry);
        assert!(hints.sizes.summary.len() > 2);
        let mut model = BTreeMap::new();
        let mut rng = Rng::new(5);
        let mut found = [0_u32; 2];
        for round in 0..60_000 {
            // Mostly few classes, far apart.
            let bytes = (1 + rng.below(1 << 30)) >> rng.below(30);
            let (bytes, class) = (bytes.max(1), hints.sizes.class(bytes.max(1)));
            let one = index(u32::from(rng.byte() % 30));
            match rng.below(8) {
                0 => {
                    hints.remember_size(bytes, one);
                    model.insert(class, one);
                }
                1..=3 => {
                    let instead = rng.one_in(4).then(|| index(31));
                    let Some((&class, &there)) = model.range(class..).next() else { continue };
                    let shift = (class >> hints.sizes.precision).saturating_sub(1);
                    let bytes = ((class - (shift << hints.sizes.precision)) as u64) << shift;
                    assert_eq!(hints.sizes.class(bytes), class);
                    let gone = if rng.one_in(4) { one } else { there };
                    hints.forget_size(bytes, gone, instead);
                    if gone == there {
                        match instead {
                            Some(instead) => drop(model.insert(class, instead)),
                            None => drop(model.remove(&class)),
                        }
                    }
                }
                _ => {
                    let expected = model.range(class..).next().map(|(_, &node)| node);
                    assert_eq!(hints.near(bytes), expected, "{bytes} in round {round}");
                    found[usize::from(expected.is_some())] += 1;
                    let other = bytes + rng.below(bytes);
                    let alike = hints.sizes.class(other) == class;
                    assert_eq!(hints.is_alike(bytes, other), alike);
                }
            }
            if rng.one_in(5000) {
                hints.forget_sizes();
                model.clear();
                let sizes = hints.sizes;
                let mut all = sizes.nodes.iter().chain(sizes.filled).chain(sizes.summary);
                assert!(all.all(|word| load(word) == 0));
            }
        }
        assert!(found.iter().all(|&count| count > 1000), "{found:?}");
    }
}
