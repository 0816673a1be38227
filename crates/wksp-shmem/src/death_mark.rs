//! The kernel's mark on the lock of a thread that dies: proof of death for all who share the
//! workspace, in every pid namespace, and for programs that know nothing of the others' proofs.
//!
//! For each thread the kernel knows the head of a list of locks, which the C library keeps for its
//! robust mutexes. One place in it, `list_op_pending`, names a lock of which the thread could not yet
//! tell the list. When a thread ends or executes another program, the kernel looks whether the lower
//! half of that word holds the thread's id, and if so stores 0x40000000, which is no process's id.
//!
//! # What is covered
//!
//! The lock word holds the process id, which is the thread id of the first thread and of no other.
//! So the locks of the first thread are covered, if it has joined a region itself; of those that it
//! holds at once, the first; and not while it also takes or gives back a robust mutex, for which the
//! C library needs the place, nor from then on.
//!
//! A lock of another thread could only be named in the list of the first. That would be no proof: the
//! first thread may end before the others do, and even if all are killed, another one may run for
//! some microseconds more.
//!
//! The place names the lock only while the word holds the id of the calling process, so a little less
//! than from one swap to the other. If it did before, when the lock is not got yet, then that word
//! may hold the same id of a process of another pid namespace, and the kernel would rob that.
//! A thread that is killed in between, within a few instructions, is found out as others are.
//!
//! # Safety
//!
//! 1. The head that the kernel has for a thread is the C library's, in memory that lasts as long as
//!    the thread. Its address is kept where only that thread finds it.
//! 2. It is only used as three words, each of them atomic. Nobody else stores to it but the C library
//!    and signal handlers of the same thread.
//! 3. What is stored there is an address that the kernel only ever compares and exchanges the word
//!    at, if that holds the id of the thread. It survives that the address is mapped no more.
#![expect(unsafe_code, reason = "the kernel's list of a thread; see the paragraph above")]

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use nix::libc;

use crate::incarnation::Incarnation;

/// What the kernel stores in the place of the id of a thread that died holding the lock: the flag
/// `FUTEX_OWNER_DIED` of linux/futex.h, which is no process's id.
pub const DEATH_MARK: u64 = 0x4000_0000;

/// What a thread has the kernel do when it dies: `struct robust_list_head` of linux/futex.h.
#[derive(Debug)]
#[repr(C)]
struct Head {
    _list: AtomicUsize,
    /// How far a lock word is behind the address that stands for it.
    futex_offset: AtomicUsize,
    list_op_pending: AtomicUsize,
}

thread_local! {
    /// The head of this thread, if it is the first one.
    static HEAD: Cell<Option<&'static Head>> = const { Cell::new(None) };
    /// As which process this thread has looked for it.
    static LOOKED_AS: Cell<Option<Incarnation>> = const { Cell::new(None) };
}

/// Finds out whether the locks of the calling thread can be covered, which is done once.
pub(crate) fn prepare() {
    static FORKS: Once = Once::new();
    let incarnation = Incarnation::current();
    if LOOKED_AS.get() == Some(incarnation) {
        return;
    }
    LOOKED_AS.set(Some(incarnation));
    HEAD.set(find(incarnation));
    FORKS.call_once(|| {
        // SAFETY: the function makes no call, and stores as obligation 2 says.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    });
}

/// Names the lock at `word` to the kernel: the calling process has just got it.
#[inline]
pub(crate) fn set(word: *const u64) {
    let Some(head) = HEAD.get() else { return };
    // What the C library or an outer lock has there stays.
    if head.list_op_pending.load(Ordering::Relaxed) == 0 {
        head.list_op_pending.store(head.entry(word), Ordering::Relaxed);
    }
    // The kernel looks when the thread has ended, wherever that was; nobody else does.
    compiler_fence(Ordering::SeqCst);
}

/// Takes the name of the lock at `word` back, which the calling process still holds.
///
/// That it is given back is stored with Release, and thus behind this.
#[inline]
pub(crate) fn clear(word: *const u64) {
    let Some(head) = HEAD.get() else { return };
    if head.list_op_pending.load(Ordering::Relaxed) == head.entry(word) {
        head.list_op_pending.store(0, Ordering::Relaxed);
    }
}

/// A child by fork holds nothing. Its copy of the place would harm nobody unless it is called like
/// its parent, as the first process of another pid namespace.
extern "C" fn forget() {
    if let Some(head) = HEAD.get() {
        head.list_op_pending.store(0, Ordering::Relaxed);
    }
}

fn find(process: Incarnation) -> Option<&'static Head> {
    // SAFETY: takes and returns a number only.
    let tid = unsafe { libc::gettid() };
    if u32::try_from(tid) != Ok(process.pid()) {
        return None;
    }
    let (mut head, mut bytes) = (std::ptr::null_mut::<Head>(), 0_usize);
    let (own, head_at, bytes_at) = (0, &raw mut head, &raw mut bytes);
    // SAFETY: the kernel stores two words, at addresses of two words.
    let outcome = unsafe { libc::syscall(libc::SYS_get_robust_list, own, head_at, bytes_at) };
    if outcome != 0 || bytes != size_of::<Head>() || !head.is_aligned() {
        return None;
    }
    // SAFETY: obligations 1 and 2.
    unsafe { head.as_ref() }
}

impl Head {
    /// What stands for the lock at `word`.
    fn entry(&self, word: *const u64) -> usize {
        // The lower half of the word comes first, as the whole layout is little endian.
        word.addr().wrapping_sub(self.futex_offset.load(Ordering::Relaxed))
    }
}
