//! Forked children.
//!
//! # Safety
//!
//! 1. A forked child only attaches, locks and ends itself by `_exit`: it touches no lock of the test
//!    harness, and the C library keeps its allocator usable in the child.
//! 2. A thread that is ended here has nothing that another one waits for.
#![expect(unsafe_code, reason = "fork; see the paragraph above")]

use std::fmt::Display;
use std::fs;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use wksp_core::{Align, LockError, Stranger, Tag};
use wksp_shmem::{
    Binding, HwlocTopology, Joined, Near, NodeIndex, Omission, PageSize, PlacedRegionOptions,
    Placement, SharedWorkspace, WorkspaceOptions, joiners,
};

use crate::scene::{Scene, impatient, name, on_each_page_size};

on_each_page_size! {
    a_forked_child_is_a_stranger_until_it_attaches_anew,
    a_forked_childs_copy_of_a_guard_changes_nothing,
    a_forked_childs_copy_of_a_guard_releases_nothing,
    a_forked_child_shows_itself_and_leaves_its_parent_shown,
}

/// Runs `child` in a forked child and returns what it returned, up to 255.
pub(crate) fn in_child(child: impl FnOnce() -> u8) -> i32 {
    // SAFETY: obligation 1.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process without running what belongs to the parent.
            unsafe { nix::libc::_exit(i32::from(outcome.unwrap_or(255))) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, code) => code,
            status => panic!("the child ended by {status:?}"),
        },
    }
}

/// Runs `work` in a forked child, which is killed when this process is, and waits for the child.
pub(crate) fn in_child_until_we_die(work: impl FnOnce()) {
    let code = in_child(|| {
        set_pdeathsig(Signal::SIGKILL).unwrap();
        work();
        0
    });
    assert_eq!(code, 0);
}

/// Runs `work` in a forked child whose first thread has ended, with what that one made, and waits
/// for the child to end.
pub(crate) fn in_headless_child<T: Send + 'static>(
    make: impl FnOnce() -> T,
    work: impl FnOnce(T) + Send + 'static,
) {
    // SAFETY: obligation 1, but that here the child ends with its last thread.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let made = make();
            std::thread::spawn(|| work(made));
            // SAFETY: obligation 2.
            unsafe { nix::libc::syscall(nix::libc::SYS_exit, 0) };
        }
        ForkResult::Parent { child } => {
            waitpid(child, None).unwrap();
        }
    }
}

fn a_forked_child_is_a_stranger_until_it_attaches_anew(scene: &Scene) {
    let ours = scene.create("forked");
    let code = in_child(|| {
        if !matches!(ours.lock(), Err(LockError::Stranger(_))) {
            return 1;
        }
        if !Joined::all().is_empty() {
            return 2;
        }
        let theirs = scene.attach("forked", impatient());
        let Ok(guard) = theirs.lock() else { return 3 };
        if scene.owner("forked") != u64::from(std::process::id()) {
            return 4;
        }
        drop(guard);
        0
    });
    assert_eq!(code, 0);
    assert_eq!(scene.owner("forked"), u64::MAX);
    drop(ours.lock().unwrap());
}

/// Whether an operation was refused because its caller does not hold the lock.
fn is_refused<T>(outcome: Result<T, impl Display>) -> bool {
    outcome.is_err_and(|error| error.to_string() == Stranger.to_string())
}

fn a_forked_childs_copy_of_a_guard_changes_nothing(scene: &Scene) {
    let ours = scene.create("unchanged");
    let mut guard = ours.lock().unwrap();
    let (tag, other) = (Tag::new(1).unwrap(), Tag::new(2).unwrap());
    let gaddr = guard.alloc(Align::BYTE, 100, tag).unwrap();
    ours.workspace().copy_in(gaddr, &[7; 100]).unwrap();
    let before = fs::read(scene.path("unchanged")).unwrap();
    let code = in_child(|| {
        let is_refused = [
            is_refused(guard.alloc(Align::BYTE, 1, tag)),
            is_refused(guard.free(gaddr)),
            is_refused(guard.free_tagged(tag)),
            is_refused(guard.set_tag(gaddr, other)),
            is_refused(guard.fill(gaddr, 0)),
            is_refused(guard.rebuild(None)),
            is_refused(guard.reset(None)),
        ];
        let allowed = is_refused.iter().position(|&is_refused| !is_refused);
        allowed.map_or(0, |at| u8::try_from(at + 1).unwrap_or(u8::MAX))
    });
    assert_eq!(code, 0, "not refused: the one of that number");
    assert!(
        fs::read(scene.path("unchanged")).unwrap() == before,
        "the child has changed something"
    );
    assert!(guard.verify().is_clean());
    guard.free(gaddr).unwrap();
}

fn a_forked_childs_copy_of_a_guard_releases_nothing(scene: &Scene) {
    let ours = scene.create("guarded");
    let guard = ours.lock().unwrap();
    let holder = scene.owner("guarded");
    let mut guard = Some(guard);
    let code = in_child(|| {
        drop(guard.take());
        u8::from(scene.owner("guarded") != holder)
    });
    assert_eq!(code, 0);
    assert_eq!(scene.owner("guarded"), holder);
    drop(guard);
    assert_eq!(scene.owner("guarded"), u64::MAX);
}

fn a_forked_child_shows_itself_and_leaves_its_parent_shown(scene: &Scene) {
    let ours = scene.create("shown");
    let code = in_child(|| {
        let theirs = scene.attach("shown", impatient());
        let Some(region) = theirs.joined().region() else { return 1 };
        let Ok(found) = joiners(region) else { return 2 };
        drop(theirs);
        u8::from(found.list.len() != 2 || !found.is_complete)
    });
    assert_eq!(code, 0);
    let found = joiners(ours.joined().region().unwrap()).unwrap();
    assert_eq!(
        found.list.iter().map(|joiner| joiner.pid).collect::<Vec<_>>(),
        [std::process::id()]
    );
}

#[test]
fn placed_private_pages_are_shared_with_forks_which_lock_nothing() {
    let scene = Scene::new();
    let options = PlacedRegionOptions {
        page_size: PageSize::Normal,
        mode: 0o600,
        placement: Placement::whole(64, Near::Node(NodeIndex::new(0))),
        // Where the pages are does not matter here.
        binding: Binding::Off,
    };
    let machine = HwlocTopology::synthetic("numa:1 pu:1").unwrap();
    let workspace = WorkspaceOptions::default();
    let (ours, report) =
        SharedWorkspace::private_placed(&name("own"), &options, &machine, &workspace).unwrap();
    assert!(matches!(report.omissions[..], [Omission::Off]));
    let gaddr = ours.lock().unwrap().alloc(Align::PAGE, 4096, Tag::new(1).unwrap()).unwrap();
    let code = in_child(|| {
        if !matches!(ours.lock(), Err(LockError::Stranger(_))) {
            return 1;
        }
        // As for any other memory: what the child stores, the parent sees.
        if ours.workspace().copy_in(gaddr, b"child").is_err() {
            return 2;
        }
        0
    });
    assert_eq!(code, 0);
    let mut found = [0; 5];
    ours.workspace().copy_out(gaddr, &mut found).unwrap();
    assert_eq!(&found, b"child");
    assert!(ours.lock().unwrap().verify().is_clean());
    assert_eq!(scene.files(), [""; 0]);
}
