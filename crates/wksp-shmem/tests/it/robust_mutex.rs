//! The kernel's mark beside a robust mutex of the C library, which uses the same list.
//!
//! # Safety
//!
//! 1. The mutex lies in memory that is mapped until the test ends, shared with forks, and is made
//!    before anybody uses it.
//! 2. It is only used by functions of the C library, and none of a kind that it is not.
#![expect(unsafe_code, reason = "mutexes of the C library; see the paragraph above")]

use std::mem::forget;
use std::num::NonZeroUsize;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use wksp_core::{Holder, OwnerId};
use wksp_shmem::{DEATH_MARK, LockOptions};

use crate::fork::in_child;
use crate::matrix::recover;
use crate::scene::{Scene, impatient, sees_everyone};

#[derive(Clone, Copy)]
struct RobustMutex(*mut libc::pthread_mutex_t);

impl RobustMutex {
    fn new() -> Self {
        let bytes = NonZeroUsize::new(4096).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a place of the kernel's choice overlaps nothing.
        let memory = unsafe { mmap_anonymous(None, bytes, access, MapFlags::MAP_SHARED) }.unwrap();
        let mutex = memory.as_ptr().cast();
        let mut kind = std::mem::MaybeUninit::uninit();
        // SAFETY: makes what lies there.
        assert_eq!(unsafe { libc::pthread_mutexattr_init(kind.as_mut_ptr()) }, 0);
        let (robust, shared) = (libc::PTHREAD_MUTEX_ROBUST, libc::PTHREAD_PROCESS_SHARED);
        // SAFETY: it has been made.
        assert_eq!(unsafe { libc::pthread_mutexattr_setrobust(kind.as_mut_ptr(), robust) }, 0);
        // SAFETY: it has been made.
        assert_eq!(unsafe { libc::pthread_mutexattr_setpshared(kind.as_mut_ptr(), shared) }, 0);
        // SAFETY: obligation 1.
        assert_eq!(unsafe { libc::pthread_mutex_init(mutex, kind.as_ptr()) }, 0);
        Self(mutex)
    }

    fn lock(self) -> i32 {
        // SAFETY: obligation 2.
        unsafe { libc::pthread_mutex_lock(self.0) }
    }

    /// Makes a mutex good again whose owner has died, and gives it back.
    fn recover(self) {
        // SAFETY: obligation 2.
        assert_eq!(unsafe { libc::pthread_mutex_consistent(self.0) }, 0);
        self.unlock();
    }

    fn unlock(self) {
        // SAFETY: obligation 2.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0) }, 0);
    }
}

#[test]
fn both_are_found_out_when_their_thread_dies() {
    let scene = Scene::new();
    let ours = scene.create("mutex");
    let mutex = RobustMutex::new();
    let code = in_child(|| {
        let theirs = scene.attach("mutex", impatient());
        assert_eq!(mutex.lock(), 0);
        let guard = theirs.lock().unwrap();
        forget(guard);
        // Mapped until the end.
        forget(theirs);
        0
    });
    assert_eq!((code, scene.owner("mutex")), (0, DEATH_MARK));
    assert_eq!(mutex.lock(), libc::EOWNERDEAD);
    mutex.recover();
    recover(&ours, DEATH_MARK);
}

#[test]
fn a_mutex_that_is_taken_under_the_lock_is_as_robust_as_ever() {
    let scene = Scene::new();
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    drop(scene.create("under"));
    let ours = scene.attach("under", options);
    let mutex = RobustMutex::new();
    let code = in_child(|| {
        let theirs = scene.attach("under", impatient());
        let guard = theirs.lock().unwrap();
        assert_eq!(mutex.lock(), 0);
        mutex.unlock();
        assert_eq!(mutex.lock(), 0);
        forget(guard);
        // Mapped until the end.
        forget(theirs);
        0
    });
    assert_eq!(code, 0);
    assert_eq!(mutex.lock(), libc::EOWNERDEAD);
    mutex.recover();
    // The C library has used the place for itself.
    let Some(Holder::Owner(dead)) = ours.workspace().holder() else { panic!("nobody holds it") };
    assert_ne!(Some(dead), OwnerId::new(DEATH_MARK));
    recover(&ours, dead.get());
}
