//! Which process this is, without a system call, and told apart from its forks.
//!
//! # Safety
//!
//! The kernel empties one page of memory in every child at a fork. It holds who the process is, so
//! a child finds it empty and calls itself anew. Two obligations bear the unsafe code:
//!
//! 1. The page is mapped readable and writable for as long as its address is known to anyone.
//!    It is unmapped only by a thread that never told anyone of it.
//! 2. The page is only ever accessed as one atomic word at its start.
#![expect(unsafe_code, reason = "a page that forks find empty; see the paragraph above")]

use std::num::NonZeroUsize;
use std::process;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

/// The bytes of the page asked for; the kernel rounds up to what it has.
const PAGE_BYTES: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not 0");
/// The bits of the word that hold the process id; the rest tells a process from its forks.
const PID_BITS: u32 = 32;

/// The page, once there is one.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
/// The next number to tell a process from its forks; a child goes on where its parent was.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A process, as opposed to its parent and children by fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation(u64);

impl Incarnation {
    /// The calling process.
    ///
    /// Costs two loads, but for the first time in each process, and none where the kernel is older
    /// than Linux 4.14: there it asks the kernel each time.
    #[inline]
    pub(crate) fn current() -> Self {
        // SAFETY: by obligation 1 the page is mapped once its address is here, by 2 it is atomic.
        let word = unsafe { PAGE.load(Ordering::Acquire).as_ref() };
        match word.map(|word| word.load(Ordering::Relaxed)) {
            Some(current) if current != 0 => Self(current),
            _ => Self::establish(),
        }
    }

    /// A number that is not 0 and that no parent or child by fork has.
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// The process id in the process's own pid namespace.
    pub(crate) const fn pid(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        let pid = self.0 as u32;
        pid
    }

    /// Finds out who the process is, lock-free since the parent of a fork may have had the lock.
    #[cold]
    fn establish() -> Self {
        let pid = u64::from(process::id());
        let page = match NonNull::new(PAGE.load(Ordering::Acquire)).or_else(make_page) {
            Some(page) => page,
            None => return Self(pid),
        };
        let generation = NEXT.fetch_add(1, Ordering::Relaxed) << PID_BITS;
        // SAFETY: obligations 1 and 2.
        let word = unsafe { page.as_ref() };
        match word.compare_exchange(0, generation | pid, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Self(generation | pid),
            Err(current) => Self(current),
        }
    }
}

/// Makes the page known to all threads, this one or another thread's, `None` if there can be none.
fn make_page() -> Option<NonNull<AtomicU64>> {
    let (rw, private) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
    // SAFETY: new memory at a place of the kernel's choice overlaps nothing.
    let fresh = unsafe { mmap_anonymous(None, PAGE_BYTES, rw, private) }.ok()?;
    // SAFETY: the advice is given for that memory only, which holds nothing yet.
    let advised = unsafe { madvise(fresh, PAGE_BYTES.get(), MmapAdvise::MADV_WIPEONFORK) };
    let word = fresh.cast::<AtomicU64>();
    let published = advised.is_ok().then(|| {
        PAGE.compare_exchange(ptr::null_mut(), word.as_ptr(), Ordering::AcqRel, Ordering::Acquire)
    });
    match published {
        Some(Ok(_)) => Some(word),
        lost => {
            // SAFETY: obligation 1: nobody was told of this page.
            let _ = unsafe { munmap(fresh, PAGE_BYTES.get()) };
            NonNull::new(lost?.err()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_in_all_threads_and_knows_the_pid() {
        let here = Incarnation::current();
        assert_eq!(here.pid(), process::id());
        assert_eq!(std::thread::spawn(Incarnation::current).join().unwrap(), here);
    }
}
