//! Verifying a checkpoint: every byte is read and decompressed, and the digest checked.

use wksp_core::Allocation;

use crate::checkpoint::Checkpoint;
use crate::control::{Control, Meter};
use crate::digest::{self, Protection};
use crate::error::{Problem, ReadError};
use crate::frame::{Codec, Frame};
use crate::parallel;
use crate::style::FrameStyle;

/// A checkpoint in which nothing wrong was found.
///
/// It can be restored. Whether its content is what was written, and not damaged since, is known
/// only if [`is_protected`](Self::is_protected).
#[derive(Clone, Copy, Debug)]
pub struct Verified<'v, 's> {
    pub(crate) checkpoint: &'v Checkpoint<'s>,
}

impl<'v, 's> Verified<'v, 's> {
    /// The checkpoint.
    #[must_use]
    pub const fn checkpoint(&self) -> &'v Checkpoint<'s> {
        self.checkpoint
    }

    /// Whether a digest says that the content is what was written.
    ///
    /// If not, the checkpoint is well formed, but unverified.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        matches!(self.checkpoint.protection(), Protection::Digest(_))
    }
}

impl<'s> Checkpoint<'s> {
    /// Reads and decompresses every byte, checks the digest and that no two frames overlap.
    ///
    /// No workspace is needed. Costs less than 8 MiB of memory for each thread.
    ///
    /// # Errors
    ///
    /// [`ReadError`] says what is wrong.
    pub fn verify(&self, control: &Control<'_>) -> Result<Verified<'_, 's>, ReadError> {
        self.check_digest(control)?;
        let frames = if self.frames() == FrameStyle::Raw {
            if self.index.digest.is_none() {
                // That every byte can be read must be known before anything is given up for it.
                digest::of_source(self.source, self.index.end, None, control)?;
            }
            self.frames_of_groups(control)?
        } else {
            self.decompress(control)?
        };
        self.check_frames(frames)?;
        Ok(Verified { checkpoint: self })
    }

    /// Checks the digest, if there is one.
    pub(crate) fn check_digest(&self, control: &Control<'_>) -> Result<(), ReadError> {
        self.index.digest.map_or(Ok(()), |found| digest::check(self.source, found, control))
    }

    /// Decompresses everything, and returns the frames it was in as [start, end).
    fn decompress(&self, control: &Control<'_>) -> Result<Vec<(u64, u64)>, ReadError> {
        let meter = Meter::new(*control, self.data_bytes());
        self.for_each_group(control, |frame, allocation| {
            let bytes = allocation.range.bytes();
            frame.each(bytes, |_| {
                if control.is_cancelled() { Err(ReadError::Cancelled) } else { Ok(()) }
            })?;
            meter.add(bytes);
            Ok(())
        })
    }

    /// The frames of the groups as [start, end), found without a look at the data.
    pub(crate) fn frames_of_groups(
        &self,
        control: &Control<'_>,
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        self.for_each_group(control, |frame, allocation| {
            frame.skip(allocation.range.bytes()).map(drop)
        })
    }

    /// Has `each` read the data of every allocation, the groups shared out among the threads.
    pub(crate) fn for_each_group(
        &self,
        control: &Control<'_>,
        each: impl Fn(&mut Frame<'_>, Allocation) -> Result<(), ReadError> + Sync,
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        let groups = &self.index.groups;
        let state = || None;
        parallel::map(control, groups.len(), state, |codec, at| {
            let codec = Codec::get_or_new(codec, self.frames())?;
            let Some(&group) = groups.get(at) else { return Ok((0, 0)) };
            let end = self.group(group, codec, &each)?;
            Ok((group.offset, end))
        })
    }

    /// Checks that the frames of the groups and the others lie apart.
    pub(crate) fn check_frames(&self, mut frames: Vec<(u64, u64)>) -> Result<(), ReadError> {
        frames.extend_from_slice(&self.index.frames);
        frames.sort_unstable();
        // Other writers may leave gaps, but a stream of ours has none, and where its digest does not
        // reach that is what holds the rest together.
        let covered_bytes = self.index.digest.map_or(self.index.end, |found| found.covered_bytes);
        for (lower, upper) in frames.iter().zip(frames.iter().skip(1)) {
            if upper.0 < lower.1 {
                return Err(Problem::FrameOverlap.at(upper.0));
            }
            if upper.0 > lower.1 && upper.0 > covered_bytes {
                return Err(Problem::FrameGap.at(lower.1));
            }
        }
        Ok(())
    }
}
