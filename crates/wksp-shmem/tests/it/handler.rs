//! A signal handler that wants the lock that the interrupted thread holds.
//!
//! # Safety
//!
//! The handler allocates nothing and waits for no lock but that of the workspace: the thread is
//! interrupted where it sends itself the signal, and nowhere else.
#![expect(unsafe_code, reason = "signal handlers; see the paragraph above")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use wksp_core::{Align, Holder, LockError, Tag};
use wksp_shmem::SharedWorkspace;

use crate::scene::{Scene, impatient};

static WORKSPACE: OnceLock<SharedWorkspace> = OnceLock::new();
static REFUSED: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_signal(_: c_int) {
    let Some(workspace) = WORKSPACE.get() else { return };
    if let Err(LockError::Busy { holder: Holder::Owner(id) }) = workspace.lock()
        && id.get() == u64::from(std::process::id())
    {
        REFUSED.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_handler_that_locks_again_is_refused() {
    let scene = Scene::new();
    drop(scene.create("handled"));
    let workspace = WORKSPACE.get_or_init(|| scene.attach("handled", impatient()));
    let handler = SigHandler::Handler(on_signal);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: see the paragraph at the top; no other test sends this signal.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
    let mut guard = workspace.lock().unwrap();
    let gaddr = guard.alloc(Align::BYTE, 100, Tag::new(1).unwrap()).unwrap();
    raise(Signal::SIGUSR2).unwrap();
    assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
    assert_eq!(scene.owner("handled"), u64::from(std::process::id()));
    guard.free(gaddr).unwrap();
    drop(guard);
    raise(Signal::SIGUSR2).unwrap();
    assert_eq!(REFUSED.load(Ordering::Relaxed), 1, "the lock was free");
    assert!(workspace.lock().unwrap().verify().is_clean());
}
