//! Which threads of this process may be inside a workspace.
//!
//! The lock word holds a process id, so a waiter that finds its own there cannot tell from the word
//! whether another thread of its process holds the lock or whether the id is that of a dead process
//! and has been used again. This tells the two apart.
//!
//! # The argument
//!
//! A thread is *active* from entering to leaving, but for the time that it waits: then it certainly
//! does not hold the lock. Counters tell who is active, and each of them also changes for good
//! whenever a thread becomes active. So if all are unchanged from one look to the next, nobody
//! became active between the times at which its counter was looked at.
//!
//! A waiter W becomes active ([`enter`](Activity::enter)), finds by a look at all counters that it
//! alone is ([`snapshot`](Activity::snapshot)), then loads the lock word and finds its process's id
//! there, and then finds all counters as they were by a second look.
//! Each other thread was inactive when its counter was first looked at, and until it was looked at
//! again; in between the lock was loaded. So no thread of this process held it then: what W saw was
//! put there by a process of the past. Whoever becomes active later finds the lock taken.
//!
//! Two waiters do not both get that proof, which matters because taking the lock over does not
//! change it. Both are active from before their first looks on, and stay so; as both became active
//! before they looked, with a full barrier in between, one at least saw that the other was.
//!
//! # Concurrency
//!
//! For this the accesses to the counters and to the lock word, which are different places, have to
//! be seen in their order in the program. A holder counts itself before it swaps its id into the
//! lock, with a full barrier in between; a waiter loads the lock before it looks at the counters,
//! with a full barrier in between. So a waiter that sees the id sees the count. And a holder
//! releases the lock before it leaves, with Release, so that a waiter that sees it gone, with
//! Acquire, sees the lock as it left it or later.
//!
//! # Cost
//!
//! The first threads have a counter each, which nobody else stores to, so that entering and leaving
//! takes an ordinary store instead of an atomic addition. All others share one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, compiler_fence, fence};

/// So many threads can have counters of their own: a power of two.
const SEATS: usize = 1 << SEATS_LOG;
const SEATS_LOG: u32 = 4;

/// The bits that count active threads that share a counter: there are fewer than 2^22 threads.
const COUNT_BITS: u32 = 24;
/// One active thread.
const ONE: u64 = 1;
/// One active thread more than before.
const ONE_MORE: u64 = (1 << COUNT_BITS) | ONE;

thread_local! {
    /// Something of which every living thread has its own, for its address.
    static PLACE: u8 = const { 0 };
}

/// The counters of one workspace.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    own: [Own; SEATS],
    /// The number of active threads, and in the upper bits how often one has become active.
    shared: AtomicU64,
}

/// The counter of one thread.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Own {
    /// Whose it is, by an address that no other living thread has, 0 if nobody's. It is kept when
    /// the thread ends, for the next one that is born there.
    thread: AtomicUsize,
    /// How often the thread has become active or inactive: odd while it is active. Only the thread
    /// itself stores it.
    turns: AtomicU64,
}

/// What the counters were at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    active_count: u64,
    shared: u64,
    /// The sum of the others. None of them ever sinks, so it is the same only if they all are.
    turns: u64,
}

impl Snapshot {
    /// The number of active threads.
    pub(crate) const fn active_count(self) -> u64 {
        self.active_count
    }
}

impl Own {
    #[inline]
    fn is_active(&self) -> bool {
        self.turns.load(Ordering::Relaxed) % 2 == 1
    }

    /// Makes the counter the thread's own, if it is nobody's.
    #[cold]
    fn claim(&self, thread: usize) -> bool {
        self.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts once more; for the thread whose counter it is.
    #[inline]
    fn turn(&self) {
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

impl Activity {
    /// The calling thread becomes active: next it swaps its process's id into the lock, or looks.
    #[inline]
    pub(crate) fn enter(&self) {
        match self.own() {
            // One that holds the lock already and waits for itself is counted twice.
            Some(own) if !own.is_active() => own.turn(),
            _ => {
                self.shared.fetch_add(ONE_MORE, Ordering::SeqCst);
            }
        }
        if cfg!(target_arch = "x86_64") {
            // There the swap itself is a full barrier to the processor, and a look begins with one.
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The calling thread, which is active, is so no longer.
    #[inline]
    pub(crate) fn leave(&self) {
        match self.own() {
            Some(own) if own.is_active() => own.turn(),
            _ => {
                self.shared.fetch_sub(ONE, Ordering::Release);
            }
        }
    }

    /// What the counters are, behind what the calling thread did before and before what it does
    /// next.
    pub(crate) fn snapshot(&self) -> Snapshot {
        fence(Ordering::SeqCst);
        let shared = self.shared.load(Ordering::Acquire);
        let turns = self.own.each_ref().map(|own| own.turns.load(Ordering::Acquire));
        let own_count: u64 = turns.iter().map(|turns| turns % 2).sum();
        Snapshot {
            active_count: (shared % (1 << COUNT_BITS)).wrapping_add(own_count),
            shared,
            turns: turns.iter().fold(0, |sum, turns| sum.wrapping_add(*turns)),
        }
    }

    /// The counter of the calling thread, if it has or gets one of its own.
    #[inline]
    fn own(&self) -> Option<&Own> {
        let thread = PLACE.with(|place| std::ptr::from_ref(place).addr());
        let own = self.own.get(seat_of(thread))?;
        let is_own = own.thread.load(Ordering::Relaxed) == thread || own.claim(thread);
        is_own.then_some(own)
    }
}

/// Which counter a thread may have: those of neighbouring threads differ.
#[inline]
fn seat_of(thread: usize) -> usize {
    // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
    thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - SEATS_LOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn whoever_becomes_active_changes_the_counters_for_good() {
        let activity = Activity::default();
        activity.enter();
        let alone = activity.snapshot();
        assert_eq!(alone.active_count(), 1);
        assert_eq!(activity.snapshot(), alone);
        thread::scope(|scope| {
            scope.spawn(|| {
                activity.enter();
                assert_eq!(activity.snapshot().active_count(), 2);
                activity.leave();
            });
        });
        assert_eq!(activity.snapshot().active_count(), 1);
        assert_ne!(activity.snapshot(), alone, "someone was inside meanwhile");
        activity.leave();
        assert_eq!(activity.snapshot().active_count(), 0);
    }

    #[test]
    fn a_holder_that_waits_for_itself_is_counted() {
        let activity = Activity::default();
        activity.enter(); // holds
        activity.enter(); // wants it again
        assert_eq!(activity.snapshot().active_count(), 2);
        activity.leave(); // waits
        assert_eq!(activity.snapshot().active_count(), 1);
        activity.enter();
        activity.leave();
        activity.leave();
        assert_eq!(activity.snapshot().active_count(), 0);
    }

    #[test]
    fn more_threads_than_counters_are_all_counted() {
        const THREADS: u64 = SEATS as u64 * 3;
        let (activity, barrier) = (Activity::default(), Barrier::new(SEATS * 3));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    activity.enter();
                    barrier.wait();
                    assert_eq!(activity.snapshot().active_count(), THREADS);
                    barrier.wait();
                    activity.leave();
                });
            }
        });
        assert_eq!(activity.snapshot().active_count(), 0);
    }

    #[test]
    fn two_equal_looks_of_a_lone_thread_mean_that_no_other_held_the_lock_between() {
        const TIME: Duration = Duration::from_millis(500);
        let (activity, lock) = (Activity::default(), AtomicU64::new(0));
        let is_over = AtomicBool::new(false);
        let looks = thread::scope(|scope| {
            // More than have counters of their own, most of which share the last one.
            for _ in 0..SEATS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        activity.enter();
                        let swap =
                            lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
                        if swap.is_ok() {
                            lock.store(0, Ordering::Release);
                        }
                        activity.leave();
                        // Rarely, or else the looks would never find anyone inactive.
                        thread::sleep(Duration::from_micros(10));
                    }
                });
            }
            let began = Instant::now();
            let mut looks = 0_u64;
            while began.elapsed() < TIME {
                activity.enter();
                let first = activity.snapshot();
                let held = lock.load(Ordering::Relaxed);
                let second = activity.snapshot();
                activity.leave();
                if first == second && first.active_count() == 1 {
                    looks += 1;
                    assert_eq!(held, 0, "after {looks} looks");
                }
            }
            is_over.store(true, Ordering::Relaxed);
            looks
        });
        assert!(looks > 100, "only {looks} looks found nobody else");
    }
}
