//! Building the index anew from the records that have a tag.

use wksp_treap::{Damage, GaddrRange, HEAP_PRIO_LIMIT, PartitionIndex};

use crate::index::{Index, Parts};
use crate::lock::Stranger;
use crate::sorted::Sorted;

/// Why an index cannot be rebuilt. The records that have a tag are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A record with a tag has a range that is empty or not within the data.
    #[error(
        "record {index} has a tag but the impossible range [{lo}, {hi}): the workspace can only be \
         reset or restored"
    )]
    BadRange {
        /// The record.
        index: PartitionIndex,
        /// Its lower bound, in bytes.
        lo: u64,
        /// Its upper bound, in bytes.
        hi: u64,
    },
    /// Two records with a tag cover the same bytes.
    #[error(
        "records {lower} and {upper} both have a tag and overlap: the workspace can only be reset \
         or restored"
    )]
    Overlap {
        /// The one that begins at the lower address.
        lower: PartitionIndex,
        /// The one that begins within it.
        upper: PartitionIndex,
    },
    /// The table has too few records to describe every gap between the allocations.
    #[error(
        "the allocations and the gaps between them need {needed} records, but there are only \
         {part_max}: save what you can, then reset the workspace or restore a checkpoint"
    )]
    TooFewRecords {
        /// How many are needed.
        needed: u64,
        /// How many there are.
        part_max: u32,
    },
    /// The records changed while the index was built: someone writes without the lock.
    #[error("the records change although the lock is held: {0}")]
    Interference(Damage),
    /// The calling process does not hold the lock: it is a fork of the one that does.
    #[error(transparent)]
    Stranger(#[from] Stranger),
}

impl From<Damage> for RebuildError {
    fn from(damage: Damage) -> Self {
        Self::Interference(damage)
    }
}

/// Builds idle stack, partition list and both treaps from the records that have a tag.
///
/// Costs O(n log n) in the number n of allocations, and O(m) in the number m of records.
/// First it finds out whether that can be done, writing nothing but scratch links; then it does it.
/// It uses no memory but the records, and terminates because each loop runs over the table or over
/// a chain in it, in as many steps as there are records.
///
/// # Crash behaviour
///
/// May be stopped at any store and run again, since no store touches what it starts from.
pub(crate) fn rebuild(index: Index<'_>, seed: u32) -> Result<(), RebuildError> {
    let Parts { header, table, data, .. } = *index;
    let used = Sorted::of_used(index)?;
    let (needed, part_max) = (used.record_count(), table.len());
    if needed > u64::from(part_max) {
        return Err(RebuildError::TooFewRecords { needed, part_max });
    }

    header.set_geometry(table.len(), data);
    header.seed.set(seed);
    header.used_root.set(None);
    header.free_root.set(None);
    header.part_head.set(None);
    header.part_tail.set(None);
    header.idle_top.set(None);
    index.hints.forget_sizes();
    // From the last to the first, so that the stack hands them out in ascending order.
    for at in table.indices().rev() {
        let record = table.get(at)?;
        record.set_heap_prio(heap_prio(seed, at));
        if record.tag().is_none() {
            index.push_idle(at)?;
        }
    }

    let mut gap_lo = data.lo().get();
    let mut below = None;
    for item in used.iter() {
        let (at, range) = item?;
        add_gap(index, gap_lo, range.lo().get())?;
        table.get(at)?.clear_tree_links();
        index.link(at, header.part_tail.get(), None)?;
        index.used().insert_between(at, below, None)?;
        below = Some(at);
        gap_lo = range.hi().get();
    }
    add_gap(index, gap_lo, data.hi().get())?;
    Ok(())
}

/// Appends a free partition for `[lo, hi)` unless that is empty.
fn add_gap(index: Index<'_>, lo: u64, hi: u64) -> Result<(), Damage> {
    let Some(range) = GaddrRange::new(lo, hi) else { return Ok(()) };
    let (at, record) = index.pop_idle()?;
    record.set_range(range);
    index.link(at, index.header.part_tail.get(), None)?;
    index.insert_free(at, range.bytes())
}

/// The heap priority of a record: anything that looks random will do, and every program honours
/// what it finds.
fn heap_prio(seed: u32, index: PartitionIndex) -> u32 {
    let mixed = mix((u64::from(seed) << 32) | u64::from(index.get()));
    // The limit is a power of two, so this takes the low bits.
    u32::try_from(mixed & u64::from(HEAP_PRIO_LIMIT - 1)).unwrap_or_default()
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_mixed_as_in_the_generator_they_are_from() {
        // Its first outputs from state 0 on, which it raises by a constant each time.
        let outputs = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        for (times, output) in (1..).zip(outputs) {
            assert_eq!(mix(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(times)), output);
        }
    }

    #[test]
    fn seed_and_index_make_a_priority() {
        let prio = |seed, index| heap_prio(seed, PartitionIndex::new(index).unwrap());
        assert_ne!(prio(1, 0), prio(2, 0));
        assert_ne!(prio(1, 0), prio(1, 1));
        assert!((0..1000).all(|index| prio(7, index) < HEAP_PRIO_LIMIT));
    }
}
