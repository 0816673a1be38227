//! Making memory a workspace.

use core::sync::atomic::{Ordering, fence};

use crate::geometry::Geometry;
use crate::header::{CYCLE_TAG_MIN, MAGIC};
use crate::lock::{Party, Stranger};
use crate::memory::Memory;
use crate::name::Name;
use crate::rebuild::{RebuildError, rebuild};
use crate::workspace::Workspace;

/// What a new workspace is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its name, by which people and checkpoints know it.
    pub name: Name,
    /// The seed of the heap priorities: any number.
    pub seed: u32,
    /// Its numbers of records and bytes.
    pub geometry: Geometry,
}

/// Why memory was not formatted. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// There is a workspace already.
    #[error("the memory holds a workspace already: unformat that one first")]
    AlreadyFormatted,
    /// The geometry asks for more than there is.
    #[error("a workspace of {footprint} bytes does not fit into memory of {bytes} bytes")]
    DoesNotFit {
        /// The bytes that the geometry asks for.
        footprint: u64,
        /// The bytes that there are.
        bytes: usize,
    },
    /// The calling process has no part in the workspace.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// Someone else wrote to the memory meanwhile; this alone may have changed it.
    #[error("the memory was written to while it was formatted: {0}")]
    Interference(#[from] RebuildError),
}

impl<'m, P: Party> Workspace<'m, P> {
    /// Makes `memory` a workspace with a single free partition, and joins it as `party`.
    ///
    /// Costs O(n) in the number of records; the data is left as it is.
    ///
    /// # Crash behaviour
    ///
    /// Storing the magic is the commit point: before it there is no workspace, behind it there is
    /// one whose holder is dead, which the next one to lock it completes.
    ///
    /// # Concurrency
    ///
    /// The caller sees to it that only one process formats the memory.
    ///
    /// # Errors
    ///
    /// [`FormatError`], of which the first three leave everything as it was.
    #[doc(alias = "fd_wksp_new")]
    pub fn format(memory: Memory<'m>, party: P, format: Format) -> Result<Self, FormatError> {
        let Format { name, seed, geometry } = format;
        let workspace = Self::over(memory, geometry, party).ok_or(FormatError::DoesNotFit {
            footprint: geometry.footprint(),
            bytes: memory.bytes(),
        })?;
        let header = workspace.parts.header;
        if header.magic.get() == MAGIC {
            return Err(FormatError::AlreadyFormatted);
        }
        let id = workspace.party.enter()?;
        header.owner.set_formatting();
        header.set_geometry(geometry.part_max(), geometry.data());
        header.set_name(name);
        header.seed.set(seed);
        header.cycle_tag.set(CYCLE_TAG_MIN);
        for (_, record) in workspace.parts.table.iter() {
            record.clear();
        }
        // Pairs with the fence of whoever joins and sees the magic.
        fence(Ordering::Release);
        header.magic.commit(MAGIC);
        header.raise_cycle_tag();
        let built = rebuild(workspace.index(), seed);
        header.owner.give_back(&workspace.party, id, None);
        built?;
        Ok(workspace)
    }
}
