//! Restoring a verified checkpoint into a workspace.

use wksp_core::{Damage, Gaddr, GaddrRange, Guard, Misfit, Party, RebuildError, ReplaceError};

use crate::checkpoint::Checkpoint;
use crate::control::{Control, Meter};
use crate::digest::Protection;
use crate::error::{Problem, ReadError};
use crate::frame::{Codec, Frame};
use crate::index::Entry;
use crate::input::At;
use crate::parallel;
use crate::shared::{Data, SharedSpace};
use crate::style::FrameStyle;
use crate::verify::Verified;

/// How many raw bytes a thread takes at a time.
const SHARE_BYTES: u64 = 4 * 1024 * 1024;
/// Raw bytes of an allocation that are worth a system call of their own.
const DIRECT_BYTES: u64 = 64 * 1024;

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
    /// The restore was cancelled. Nothing was changed.
    #[error("the restore was cancelled, and nothing was changed")]
    Cancelled,
    /// The source changed or failed since the checkpoint was verified.
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
            checkpoint.read_into(workspace, &control).map(drop)
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
        self.check_digest(control).map_err(RestoreError::Refused)?;
        let frames = self.read_into(guard.workspace(), control).map_err(RestoreError::Refused)?;
        self.check_frames(frames).map_err(RestoreError::Refused)?;
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

    /// Reads all data to its addresses, and returns the frames it was in as [start, end).
    fn read_into(
        &self,
        data: &dyn Data,
        control: &Control<'_>,
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        let meter = Meter::new(*control, self.data_bytes());
        if self.frames() == FrameStyle::Raw {
            self.read_raw_into(data, control, &meter)?;
            return self.frames_of_groups(control);
        }
        self.for_each_group(control, |frame, allocation| {
            let bytes = allocation.range.bytes();
            copy_in(frame, data, allocation.range.lo(), bytes)?;
            meter.add(bytes);
            Ok(())
        })
    }

    fn read_raw_into(
        &self,
        data: &dyn Data,
        control: &Control<'_>,
        meter: &Meter<'_>,
    ) -> Result<(), ReadError> {
        let entries = &self.index.entries;
        let shares = shares(entries);
        parallel::map(
            control,
            shares.len(),
            || (),
            |(), share| {
                let (mut at, mut offset) = shares.get(share).copied().unwrap_or_default();
                let mut left = SHARE_BYTES;
                let mut input = At::new(self.source, 0, self.index.end);
                let mut codec = Codec::new(FrameStyle::Raw)?;
                while let Some(Entry { allocation, at: Some(place) }) =
                    entries.get(at).filter(|_| left > 0)
                {
                    let range = allocation.range;
                    let bytes = range.bytes().saturating_sub(offset).min(left);
                    let from = place.saturating_add(offset);
                    let Some(lo) = range.lo().checked_add(offset) else { break };
                    if bytes >= DIRECT_BYTES {
                        let space = usize::try_from(bytes).ok();
                        let space = space.and_then(|bytes| SharedSpace::new(data, lo, bytes));
                        let space = space.ok_or_else(|| Problem::Changed.at(from))?;
                        self.source
                            .read_shared_at(from, space)
                            .map_err(|source| ReadError::Source { offset: from, source })?;
                    } else {
                        input.seek(from);
                        copy_in(&mut Frame::new(&mut input, &mut codec), data, lo, bytes)?;
                    }
                    meter.add(bytes);
                    left = left.saturating_sub(bytes);
                    (at, offset) = (at.saturating_add(1), 0);
                }
                Ok(())
            },
        )?;
        Ok(())
    }
}

/// Reads the next buffer of a frame to an address.
fn copy_in(frame: &mut Frame<'_>, data: &dyn Data, lo: Gaddr, bytes: u64) -> Result<(), ReadError> {
    let mut done = 0_u64;
    frame.each(bytes, |piece| {
        let copied = lo.checked_add(done).and_then(|lo| data.copy_in(lo, piece));
        done = done.saturating_add(piece.len() as u64);
        copied.ok_or_else(|| Problem::Changed.at(0))
    })
}

/// Where shares of about the same bytes begin: an entry, and how much of it lies before.
fn shares(entries: &[Entry]) -> Vec<(usize, u64)> {
    let mut shares = Vec::new();
    let mut left = 0_u64;
    for (at, entry) in entries.iter().enumerate() {
        let mut offset = 0;
        let bytes = entry.allocation.range.bytes();
        while offset < bytes {
            if left == 0 {
                shares.push((at, offset));
                left = SHARE_BYTES;
            }
            let taken = left.min(bytes.saturating_sub(offset));
            left = left.saturating_sub(taken);
            offset = offset.saturating_add(taken);
        }
    }
    shares
}
