//! Which threads of this process may be inside a workspace, in one word.
//!
//! The lock word holds a process id, so a waiter that finds its own there cannot tell from the word
//! whether another thread of its process holds the lock or whether the id is that of a dead process
//! and has been used again. This tells the two apart.
//!
//! # The argument
//!
//! A thread is *active* from entering to leaving, but for the time that it waits: then it certainly
//! does not hold the lock. The word counts the active threads, and in its upper bits how often a
//! thread has become active. So an unchanged word means that no thread became active in between.
//!
//! A waiter W finds the word to say that W alone is active ([`resume`](Activity::resume) says so),
//! then loads the lock word and finds its process's id there, and then finds the activity unchanged
//! and, in the same step, becomes the only active thread anew
//! ([`resume_undisturbed`](Activity::resume_undisturbed)).
//! From the first of these to the last nobody but W was active, so no thread of this process held
//! the lock when it was loaded: what W saw was put there by a process of the past. Whoever becomes
//! active later finds the lock taken, and gets no such proof as long as W is active. So only one
//! thread gets it, which matters because taking the lock over does not change it.
//!
//! # Concurrency
//!
//! For this the accesses to the activity and to the lock word, which are two places, have to be
//! seen in their order in the program. A holder counts itself before it swaps its id into the lock,
//! with a full barrier in between; a waiter loads the lock before it looks at the count, with a full
//! barrier in between. So a waiter that sees the id sees the count. And a holder releases the lock
//! before it leaves, with Release, so that a waiter that sees it gone, with Acquire, sees the lock
//! as it left it or later.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence};

/// The bits that count active threads: there are fewer than 2^22 threads.
const COUNT_BITS: u32 = 24;
/// One active thread.
const ONE: u64 = 1;
/// One active thread more than before.
const ONE_MORE: u64 = (1 << COUNT_BITS) | ONE;

/// The word.
#[derive(Debug, Default)]
pub(crate) struct Activity(AtomicU64);

/// What the word was at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(u64);

impl Snapshot {
    /// The number of active threads.
    pub(crate) const fn active_count(self) -> u64 {
        self.0 % (1 << COUNT_BITS)
    }
}

impl Activity {
    /// The calling thread becomes active.
    #[inline]
    pub(crate) fn enter(&self) {
        self.0.fetch_add(ONE_MORE, Ordering::SeqCst);
        barrier_after_swap();
    }

    /// The calling thread is no longer active.
    #[inline]
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(ONE, Ordering::Release);
    }

    /// The calling thread, which is active and has just loaded the lock word, begins to wait.
    ///
    /// Returns what the activity was before.
    pub(crate) fn pause(&self) -> Snapshot {
        fence(Ordering::SeqCst);
        Snapshot(self.0.fetch_sub(ONE, Ordering::SeqCst))
    }

    /// What the activity is.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::SeqCst))
    }

    /// The calling thread ends its waiting.
    ///
    /// Returns what the activity is behind that.
    pub(crate) fn resume(&self) -> Snapshot {
        let before = self.0.fetch_add(ONE_MORE, Ordering::SeqCst);
        barrier_after_swap();
        Snapshot(before.wrapping_add(ONE_MORE))
    }

    /// The calling thread ends its waiting unless another thread has become active since `paused`,
    /// which [`pause`](Self::pause) returned.
    pub(crate) fn resume_undisturbed(&self, paused: Snapshot) -> bool {
        let waiting = paused.0.wrapping_sub(ONE);
        let resumed = waiting.wrapping_add(ONE_MORE);
        let swap = self.0.compare_exchange(waiting, resumed, Ordering::SeqCst, Ordering::SeqCst);
        barrier_after_swap();
        swap.is_ok()
    }
}

/// A full barrier, behind an atomic read-modify-write.
#[inline]
fn barrier_after_swap() {
    if cfg!(target_arch = "x86_64") {
        // There such an instruction is one already.
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_waiter_is_undisturbed_and_a_second_thread_disturbs() {
        let activity = Activity::default();
        activity.enter();
        let _ = activity.pause();
        let alone = activity.resume();
        assert_eq!(alone.active_count(), 1);
        let paused = activity.pause();
        assert_eq!(paused, alone);
        assert!(activity.resume_undisturbed(paused));

        let paused = activity.pause();
        activity.enter();
        activity.leave();
        assert!(!activity.resume_undisturbed(paused), "someone was inside meanwhile");
        assert_eq!(activity.resume().active_count(), 1);
        activity.leave();
        assert_eq!(activity.snapshot().active_count(), 0);
    }

    #[test]
    fn a_holder_is_always_counted() {
        let activity = Activity::default();
        activity.enter(); // holds
        activity.enter(); // waits
        let _ = activity.pause();
        assert_eq!(activity.snapshot().active_count(), 1);
        assert_eq!(activity.resume().active_count(), 2);
    }
}
