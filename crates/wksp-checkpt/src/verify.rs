//! Verifying a checkpoint: every byte is read and decompressed, and the digest checked.

use crate::checkpoint::Checkpoint;
use crate::control::Control;
use crate::digest::Protection;
use crate::error::ReadError;

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
    /// No workspace is needed. Costs less than 8 MiB of memory for each thread, and 24
    /// bytes for each allocation that is not compressed.
    ///
    /// # Errors
    ///
    /// [`ReadError`] says what is wrong.
    pub fn verify(&self, control: &Control<'_>) -> Result<Verified<'_, 's>, ReadError> {
        self.pass(None, control)?;
        Ok(Verified { checkpoint: self })
    }
}
