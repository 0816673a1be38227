//! Who dies where, and how soon others go on: first threads and others, in this pid namespace and in
//! another one.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use wksp_core::{Align, Holder, OwnerId, Repair, Tag};
use wksp_shmem::{Access, DEATH_MARK, LockOptions, Region, SharedWorkspace, joiners};

use crate::fork::in_child;
use crate::scene::{Scene, eventually, impatient, name, on_each_page_size, sees_everyone, skip};
use crate::victim::Victim;

on_each_page_size! {
    whoever_is_killed_is_recovered_from_at_once,
    the_mark_is_proof_in_every_pid_namespace,
    without_the_mark_a_nested_pid_namespace_has_no_proof,
    a_container_that_starts_again_under_the_same_ids_recovers,
    of_two_locks_of_a_first_thread_the_one_that_it_took_first_is_marked,
    what_an_owner_panics_in_is_given_back,
}

const FIRST: &str = "hold in the first thread";
const OTHER: &str = "hold in another thread";

/// Starts a process that takes the lock in a thread of a forked child, and kills both, beside so
/// many others that are joined.
///
/// Returns whom the word then names: the kernel, if that was the first thread.
fn kill_a_holder(
    scene: &Scene,
    text: &str,
    part: &str,
    is_nested: bool,
    others: usize,
) -> Option<u64> {
    let region = Region::open(&scene.base, &name(text), None, Access::ReadOnly).unwrap();
    let joined = || joiners(&region).unwrap();
    // The kernel ends who was in a pid namespace only after its first process.
    eventually("those before are gone", || joined().list.len() == others);
    let before = joined();
    let mut victim = if is_nested {
        Victim::start_in_new_namespace(scene, text, part)?
    } else {
        Victim::start(scene, text, part)
    };
    assert_eq!(victim.hear(), "locked");
    let held_by = scene.owner(text);
    assert_eq!(joined().list.len(), others + 2);
    victim.kill();
    // The kernel ends the child only after its parent.
    eventually("both are dead", || joined() == before);
    let dead = scene.owner(text);
    assert_eq!(dead, if part == FIRST { DEATH_MARK } else { held_by });
    Some(dead)
}

/// Takes the lock from a dead process, works with it, and says how long the taking took.
pub(crate) fn recover(workspace: &SharedWorkspace, from: u64) -> Duration {
    let began = Instant::now();
    let mut guard = workspace.lock().unwrap();
    let elapsed = began.elapsed();
    match guard.repair() {
        Some(Repair::TakenOver { from: found, .. }) => {
            assert_eq!(Some(found), OwnerId::new(from).map(Holder::Owner));
        }
        repair => panic!("{repair:?}"),
    }
    assert!(guard.verify().is_clean());
    let gaddr = guard.alloc(Align::BYTE, 100, Tag::new(1).unwrap()).unwrap();
    guard.free(gaddr).unwrap();
    elapsed
}

fn whoever_is_killed_is_recovered_from_at_once(scene: &Scene) {
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    drop(scene.create("matrix"));
    let workspace = scene.attach("matrix", options);
    // So that nobody is the sole user, which would be proof enough.
    let mut third = Victim::start(scene, "matrix", "join");
    assert_eq!(third.hear(), "joined");
    for is_nested in [false, true] {
        for part in [OTHER, FIRST] {
            if is_nested && part == OTHER && !sees_everyone() {
                skip("in a nested pid namespace there is no proof but the kernel's mark");
                continue;
            }
            let Some(dead) = kill_a_holder(scene, "matrix", part, is_nested, 2) else { return };
            let elapsed = recover(&workspace, dead);
            let place = if is_nested { "another pid namespace" } else { "this pid namespace" };
            println!("{part:?} in {place}: taken over after {elapsed:?}");
            // Ten milliseconds on a machine that has nothing else to do.
            assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        }
    }
}

fn the_mark_is_proof_in_every_pid_namespace(scene: &Scene) {
    let ours = scene.create("marked");
    for is_nested in [false, true] {
        let Some(dead) = kill_a_holder(scene, "marked", FIRST, is_nested, 1) else { return };
        assert_eq!(dead, DEATH_MARK);
        let mut waiter = Victim::start_in_new_namespace(scene, "marked", "lock").unwrap();
        let said = waiter.hear();
        assert!(said.contains("TakenOver") && said.contains(&DEATH_MARK.to_string()), "{said}");
        assert_eq!(scene.owner("marked"), u64::MAX);
    }
    assert!(ours.lock().unwrap().verify().is_clean());
}

fn without_the_mark_a_nested_pid_namespace_has_no_proof(scene: &Scene) {
    let ours = scene.create("unmarked");
    let Some(dead) = kill_a_holder(scene, "unmarked", OTHER, true, 1) else { return };
    let mut waiter = Victim::start_in_new_namespace(scene, "unmarked", "lock").unwrap();
    assert!(waiter.hear().contains("Busy"));
    assert_eq!(scene.owner("unmarked"), dead);
    drop(ours);
}

/// In a container that starts again all processes are called what others were called before.
fn a_container_that_starts_again_under_the_same_ids_recovers(scene: &Scene) {
    drop(scene.create("container"));
    for part in [OTHER, FIRST] {
        let Some(dead) = kill_a_holder(scene, "container", part, true, 0) else { return };
        let next = Victim::start_in_new_namespace(scene, "container", "lock in a child");
        let said = next.unwrap().hear();
        assert!(said.contains("TakenOver") && said.contains(&format!("({dead})")), "{said}");
        assert!(part == FIRST || said.starts_with(&format!("process {dead}:")), "{said}");
    }
}

fn of_two_locks_of_a_first_thread_the_one_that_it_took_first_is_marked(scene: &Scene) {
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    let ours = ["one", "two"].map(|text| {
        drop(scene.create(text));
        scene.attach(text, options)
    });
    let mut dead = 0;
    for is_first_given_back in [false, true] {
        let code = in_child(|| {
            let [one, two] = ["one", "two"].map(|text| scene.attach(text, impatient()));
            let (first, second) = (one.lock().unwrap(), two.lock().unwrap());
            if is_first_given_back {
                drop(first);
                drop(second);
                forget(two.lock().unwrap());
            } else {
                forget((first, second));
            }
            // Mapped until the end.
            forget((one, two));
            0
        });
        assert_eq!(code, 0);
        let owners = ["one", "two"].map(|text| scene.owner(text));
        if is_first_given_back {
            assert_eq!(owners, [u64::MAX, DEATH_MARK]);
        } else {
            dead = owners[1];
            assert_eq!(owners[0], DEATH_MARK);
            assert!(dead != DEATH_MARK && dead != u64::MAX, "{dead}");
            recover(&ours[0], DEATH_MARK);
            recover(&ours[1], dead);
        }
    }
    assert_ne!(dead, 0);
    recover(&ours[1], DEATH_MARK);
}

fn what_an_owner_panics_in_is_given_back(scene: &Scene) {
    let workspace = scene.create("panicked");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = workspace.lock().unwrap();
        guard.alloc(Align::BYTE, 100, Tag::new(1).unwrap()).unwrap();
        resume_unwind(Box::new("while the lock is held"));
    }));
    assert!(panicked.is_err());
    assert_eq!(scene.owner("panicked"), u64::MAX);
    let mut other = Victim::start(scene, "panicked", "lock");
    assert_eq!(other.hear(), "Ok(None)");
    assert!(workspace.lock().unwrap().verify().is_clean());
}
