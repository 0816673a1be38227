//! Replacing everything that is allocated, as a restored checkpoint does.

use wksp_treap::GaddrRange;

use crate::guard::Guard;
use crate::index::{Index, Parts};
use crate::lock::Party;
use crate::partition::Allocation;
use crate::rebuild::RebuildError;
use crate::tiling::Tiling;
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
        let Parts { data, table, .. } = *self.index();
        let mut tiling = Tiling::new(data);
        for &Allocation { range, .. } in allocations {
            if !data.encloses(range) {
                return Err(Misfit::Outside { range, data });
            }
            tiling.add(range).map_err(|lower| Misfit::Overlap { lower, upper: range })?;
        }
        let needed = tiling.record_count();
        if needed > u64::from(table.len()) {
            return Err(Misfit::TooFewRecords { needed, part_max: table.len() });
        }
        Ok(())
    }

    /// Frees everything, lets `write` store the data of `allocations`, and makes them all there is.
    ///
    /// The heap priorities are drawn from `seed` or the present one.
    /// Costs two rebuilds, beside what `write` does.
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
        // This rebuilds the index of what is now empty, so `write` may fail or panic.
        self.reset(seed).map_err(ReplaceError::Rebuild)?;
        write(self.workspace()).map_err(ReplaceError::Write)?;
        self.begin_change().map_err(|stranger| ReplaceError::Rebuild(stranger.into()))?;
        commit(self.index(), allocations);
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

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    use wksp_treap::Tag;

    use crate::{Align, Block, Format, Geometry, Memory, Name, Solo};

    fn allocation(lo: u64, hi: u64, tag: u64) -> Allocation {
        Allocation { range: GaddrRange::new(lo, hi).unwrap(), tag: Tag::new(tag).unwrap() }
    }

    /// Runs with a workspace of 4 records and data from 384 on that holds one allocation.
    fn with_workspace(run: impl FnOnce(&Workspace<'_, Solo>)) {
        let mut blocks = [const { Block::new() }; 16];
        let geometry = Geometry::with_part_max(16 * 128, 4).unwrap();
        let format = Format { name: Name::new("restore").unwrap(), seed: 1, geometry };
        let memory = Memory::of_blocks(&mut blocks);
        let workspace = Workspace::format(memory, Solo, format).unwrap();
        let tag = Tag::new(9).unwrap();
        workspace.lock().unwrap().alloc(Align::BYTE, 100, tag).unwrap();
        run(&workspace);
        assert!(workspace.lock().unwrap().verify().is_clean());
    }

    fn used(workspace: &Workspace<'_, Solo>) -> Vec<Allocation> {
        let guard = workspace.lock().unwrap();
        let partitions = guard.partitions().map(Result::unwrap);
        partitions.filter_map(|one| Some(Allocation { range: one.range, tag: one.tag? })).collect()
    }

    #[test]
    fn what_fits_replaces_what_was_there() {
        with_workspace(|workspace| {
            let new = [allocation(400, 500, 1), allocation(500, 2047, 2)];
            let replaced = workspace.lock().unwrap().replace(&new, Some(3), |workspace| {
                assert_eq!(workspace.copy_in(new[0].range.lo(), b"new"), Ok(()));
                Ok::<(), ()>(())
            });
            assert_eq!(replaced, Ok(()));
            assert_eq!(used(workspace), new);
            assert_eq!(workspace.seed(), 3);
        });
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        with_workspace(|workspace| {
            let before = used(workspace);
            let refused = |new: &[Allocation]| {
                let write = |_: &Workspace<'_, Solo>| -> Result<(), ()> { unreachable!() };
                match workspace.lock().unwrap().replace(new, None, write) {
                    Err(ReplaceError::Misfit(misfit)) => misfit,
                    other => panic!("{other:?}"),
                }
            };
            let outside = refused(&[allocation(383, 400, 1)]);
            assert!(matches!(outside, Misfit::Outside { .. }));
            assert!(matches!(refused(&[allocation(400, 4000, 1)]), Misfit::Outside { .. }));
            let overlap = refused(&[allocation(400, 500, 1), allocation(499, 600, 1)]);
            assert!(matches!(overlap, Misfit::Overlap { .. }));
            let gaps = refused(&[allocation(400, 410, 1), allocation(420, 430, 1)]);
            assert_eq!(gaps, Misfit::TooFewRecords { needed: 5, part_max: 4 });
            let enough = [allocation(400, 410, 1), allocation(410, 430, 1)];
            assert_eq!(workspace.lock().unwrap().check_fit(&enough), Ok(()), "4 of 4 records");
            assert_eq!(used(workspace), before);
        });
    }

    #[test]
    fn a_failed_write_leaves_an_empty_workspace() {
        with_workspace(|workspace| {
            let new = [allocation(400, 500, 1)];
            let failed = workspace.lock().unwrap().replace(&new, None, |_| Err(7));
            assert_eq!(failed, Err(ReplaceError::Write(7)));
            assert!(used(workspace).is_empty());
        });
    }
}
