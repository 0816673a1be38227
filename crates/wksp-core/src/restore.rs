//! Replacing everything that is allocated, as a restored checkpoint does.

use wksp_treap::GaddrRange;

use crate::guard::Guard;
use crate::index::Index;
use crate::lock::Party;
use crate::partition::Allocation;
use crate::rebuild::RebuildError;
use crate::workspace::Workspace;

/// Why allocations cannot be what a workspace holds. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// One of them does not lie within the data.
    #[error("an allocation at {range} does not fit into the data {data} of the workspace")]
    Outside {
        /// Its range.
        range: GaddrRange,
        /// What there is.
        data: GaddrRange,
    },
    /// One of them begins before the one listed before it ends.
    #[error("allocations must be listed in order and apart, but {upper} follows {lower}")]
    Overlap {
        /// The one listed first.
        lower: GaddrRange,
        /// The one listed behind it.
        upper: GaddrRange,
    },
    /// They and the gaps between them need more records than there are.
    #[error(
        "the allocations and the gaps between them need {needed} records, but there are only \
         {part_max}: take a workspace with more"
    )]
    TooFewRecords {
        /// How many are needed.
        needed: u64,
        /// How many there are.
        part_max: u32,
    },
}

/// Why the contents of a workspace were not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError<E> {
    /// What is to replace them does not fit. Nothing was changed.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The data could not be written. Nothing is allocated any more.
    #[error("nothing is allocated any more, since the data could not be written: {0}")]
    Write(E),
    /// Someone without the lock wrote to the records meanwhile.
    #[error(transparent)]
    Rebuild(RebuildError),
}

impl<'m, P: Party> Guard<'_, 'm, P> {
    /// Checks whether `allocations` can be all that the workspace holds.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if they are not in ascending order and apart, lie outside the data, or need too
    /// many records, those for the gaps between them included.
    pub fn check_fit(&self, allocations: &[Allocation]) -> Result<(), Misfit> {
        let Index { data, table, .. } = self.index();
        let mut needed = allocations.len() as u64;
        let mut last: Option<GaddrRange> = None;
        let mut gap_lo = data.lo();
        for &Allocation { range, .. } in allocations {
            if let Some(lower) = last.filter(|lower| range.lo() < lower.hi()) {
                return Err(Misfit::Overlap { lower, upper: range });
            }
            if !data.encloses(range) {
                return Err(Misfit::Outside { range, data });
            }
            needed = needed.saturating_add(u64::from(gap_lo < range.lo()));
            gap_lo = range.hi();
            last = Some(range);
        }
        needed = needed.saturating_add(u64::from(gap_lo < data.hi()));
        if needed > u64::from(table.len()) {
            return Err(Misfit::TooFewRecords { needed, part_max: table.len() });
        }
        Ok(())
    }

    /// Frees everything, lets `write` store the data of `allocations`, and makes them all there is.
    ///
    /// The heap priorities are drawn from `seed` or the present one.
    /// Costs O(n) in the number n of records, beside what `write` does.
    ///
    /// # Crash behaviour
    ///
    /// A process killed inside has freed the allocations of the first records, or freed all, or
    /// made the first ones of `allocations`, whose data is complete then.
    ///
    /// # Errors
    ///
    /// [`ReplaceError::Misfit`] changes nothing; what `write` returns leaves an empty workspace.
    #[doc(alias = "fd_wksp_restore")]
    pub fn replace<E>(
        &mut self,
        allocations: &[Allocation],
        seed: Option<u32>,
        write: impl FnOnce(&Workspace<'m, P>) -> Result<(), E>,
    ) -> Result<(), ReplaceError<E>> {
        self.check_fit(allocations)?;
        // Lock-free readers must learn of the change before it is made.
        self.index().header.raise_cycle_tag();
        // This rebuilds the index of what is now empty, so `write` may fail or panic.
        self.reset(seed).map_err(ReplaceError::Rebuild)?;
        write(self.workspace()).map_err(ReplaceError::Write)?;
        self.settle(|index| {
            commit(index, allocations);
            Ok(())
        })
        .map_err(ReplaceError::Rebuild)?;
        self.rebuild(seed).map_err(ReplaceError::Rebuild)
    }
}

/// Stores all ranges, then all tags, in ascending order of address.
///
/// So each set of tags that a kill can leave needs no more records than all of them: a further
/// allocation costs at least the record that the gap behind the last one did.
fn commit(index: Index<'_>, allocations: &[Allocation]) {
    for ((_, record), allocation) in index.table.iter().zip(allocations) {
        record.set_range(allocation.range);
    }
    for ((_, record), allocation) in index.table.iter().zip(allocations) {
        record.commit_tag(Some(allocation.tag));
    }
}
