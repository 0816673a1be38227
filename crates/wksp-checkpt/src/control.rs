//! What an operation of some length is told from outside, and what it tells.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::ReadError;

/// How far an operation has come, in bytes of the allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many are done.
    pub done_bytes: u64,
    /// How many there are.
    pub total_bytes: u64,
}

/// The number of threads, and the hooks for cancellation and progress.
///
/// ```
/// # use std::sync::atomic::AtomicBool;
/// # use wksp_checkpt::Control;
/// let cancel = AtomicBool::new(false);
/// let control = Control { cancel: Some(&cancel), ..Control::default() };
/// ```
#[derive(Clone, Copy)]
pub struct Control<'c> {
    /// How many threads work, the calling one included.
    pub threads: NonZeroUsize,
    /// Ends the operation soon after it has become true.
    pub cancel: Option<&'c AtomicBool>,
    /// Told about progress every now and then, by any of the threads.
    pub progress: Option<&'c (dyn Fn(Progress) + Sync)>,
}

impl Default for Control<'_> {
    fn default() -> Self {
        Self { threads: NonZeroUsize::MIN, cancel: None, progress: None }
    }
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("threads", &self.threads)
            .field("cancel", &self.cancel)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

impl Control<'_> {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// Fails if the operation is to end.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        if self.is_cancelled() { Err(ReadError::Cancelled) } else { Ok(()) }
    }
}

/// Adds up what the threads have done.
pub(crate) struct Meter<'c> {
    control: Control<'c>,
    done_bytes: AtomicU64,
    total_bytes: u64,
}

impl<'c> Meter<'c> {
    pub(crate) const fn new(control: Control<'c>, total_bytes: u64) -> Self {
        Self { control, done_bytes: AtomicU64::new(0), total_bytes }
    }

    pub(crate) fn add(&self, bytes: u64) {
        let before = self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(progress) = self.control.progress {
            let done_bytes = before.saturating_add(bytes);
            progress(Progress { done_bytes, total_bytes: self.total_bytes });
        }
    }
}
