//! Restoring a verified checkpoint into a workspace.

use wksp_core::{Damage, GaddrRange, Guard, Misfit, Party, RebuildError, ReplaceError};

use crate::checkpoint::Checkpoint;
use crate::control::Control;
use crate::digest::Protection;
use crate::error::ReadError;
use crate::verify::Verified;

/// How a checkpoint is to be restored.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions<'o> {
    /// The seed of the heap priorities, or the one that the workspace has.
    pub seed: Option<u32>,
    /// Threads and progress; cancellation is heeded before anything has been touched only.
    pub control: Control<'o>,
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The number of allocations.
    pub allocations: u64,
    /// Their bytes.
    pub data_bytes: u64,
    /// Whether a digest says that they are what was written.
    pub is_protected: bool,
}

/// Why a checkpoint was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The checkpoint does not fit into the workspace. Nothing was changed.
    #[error("the checkpoint does not fit: {0}")]
    Misfit(#[from] Misfit),
    /// The checkpoint is refused. No allocation was changed.
    #[error("the checkpoint is refused: {0}")]
    Refused(ReadError),
    /// The workspace was to be empty, but is not. Nothing was changed.
    #[error(
        "the workspace holds allocations, the first one at {first}: verify the checkpoint and \
         restore it over them, or take an empty workspace"
    )]
    NotEmpty {
        /// Where the first one is.
        first: GaddrRange,
    },
    /// The partition list of the workspace is damaged. Nothing was changed.
    #[error("the workspace cannot be listed: {0}; rebuild its index and try again")]
    Damaged(Damage),
    /// The restore was cancelled. No allocation was changed.
    #[error("the restore was cancelled, and nothing was changed")]
    Cancelled,
    /// The source changed or failed since the checkpoint was verified, which a digest tells.
    #[error(
        "nothing is allocated any more, since the checkpoint could not be read again: {0}; restore \
         another copy"
    )]
    Source(ReadError),
    /// Someone without the lock wrote to the records of the workspace meanwhile.
    #[error(transparent)]
    Workspace(RebuildError),
}

impl Verified<'_, '_> {
    /// Makes the content of a workspace that of the checkpoint.
    ///
    /// The workspace may be of another size and have another number of records, if everything
    /// fits: allocations keep their addresses. Everything it held before is gone.
    ///
    /// # Crash behaviour
    ///
    /// A process killed inside leaves some of the old allocations, or none, or some of the new
    /// ones with all their data: whoever takes the lock next finds a sound workspace.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Misfit`] and [`RestoreError::Cancelled`] leave every byte as it was.
    /// [`RestoreError::Source`] leaves an empty workspace.
    #[doc(alias = "fd_wksp_restore")]
    pub fn restore<P: Party + Sync>(
        &self,
        guard: &mut Guard<'_, '_, P>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored, RestoreError> {
        let checkpoint = self.checkpoint;
        let allocations = checkpoint.allocations();
        guard.check_fit(allocations)?;
        if options.control.is_cancelled() {
            return Err(RestoreError::Cancelled);
        }
        let control = Control { cancel: None, ..options.control };
        let done = guard.replace(allocations, options.seed, |workspace| {
            checkpoint.pass(Some(workspace), &control)
        });
        done.map_err(of_replace)?;
        Ok(checkpoint.restored())
    }
}

fn of_replace(error: ReplaceError<ReadError>) -> RestoreError {
    match error {
        ReplaceError::Misfit(misfit) => RestoreError::Misfit(misfit),
        ReplaceError::Write(error) => RestoreError::Source(error),
        ReplaceError::Rebuild(error) => RestoreError::Workspace(error),
        _ => RestoreError::Cancelled,
    }
}

impl Checkpoint<'_> {
    /// Makes the content of an empty workspace that of the checkpoint, which has not been verified.
    ///
    /// Everything is validated before anything is allocated, as [`verify`](Self::verify) does, but
    /// it is decompressed only once: into free space, where nobody's data can be.
    ///
    /// # Crash behaviour
    ///
    /// As of [`Verified::restore`].
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; nothing is allocated then. Free space may have been written to.
    pub fn restore_into_empty<P: Party + Sync>(
        &self,
        guard: &mut Guard<'_, '_, P>,
        options: &RestoreOptions<'_>,
    ) -> Result<Restored, RestoreError> {
        let control = &options.control;
        guard.check_fit(self.allocations())?;
        for partition in guard.partitions() {
            let partition = partition.map_err(RestoreError::Damaged)?;
            if partition.tag.is_some() {
                return Err(RestoreError::NotEmpty { first: partition.range });
            }
        }
        self.pass(Some(guard.workspace()), control).map_err(|error| match error {
            ReadError::Cancelled => RestoreError::Cancelled,
            error => RestoreError::Refused(error),
        })?;
        guard.replace(self.allocations(), options.seed, |_| Ok(())).map_err(of_replace)?;
        Ok(self.restored())
    }

    fn restored(&self) -> Restored {
        Restored {
            allocations: self.allocations().len() as u64,
            data_bytes: self.data_bytes(),
            is_protected: matches!(self.protection(), Protection::Digest(_)),
        }
    }
}
