//! Dead owners are found out, live ones are waited for.

use std::fs::File;
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use wksp_core::{Align, Holder, LockError, Repair, Tag};
use wksp_shmem::{LockOptions, SharedWorkspace, WorkspaceOptions, describe, joiners, mappers};

use crate::scene::{Scene, eventually, impatient, name, on_each_page_size, sees_everyone, skip};
use crate::victim::Victim;

on_each_page_size! {
    the_lock_of_a_killed_process_is_taken_over,
    a_waiter_notices_a_death_while_it_waits,
    a_stopped_owner_is_waited_for,
    an_owner_whose_first_thread_has_ended_is_waited_for,
    a_process_that_does_not_map_the_region_is_not_the_owner,
    the_id_of_a_thread_is_not_the_owner,
    the_name_of_a_process_may_be_any_bytes,
    a_process_that_has_given_up_root_recovers,
    a_live_owner_that_may_not_be_looked_at_is_waited_for,
    a_process_that_maps_the_region_unannounced_may_be_the_owner,
    ids_that_no_process_can_have_are_dead,
    our_own_id_with_nobody_inside_is_of_a_process_of_the_past,
    our_own_id_with_a_thread_inside_is_waited_for,
    of_many_threads_one_takes_over_our_own_id,
    a_formatter_that_nobody_can_be_is_dead,
    a_formatter_that_someone_may_be_is_waited_for,
    presence_is_seen_by_others_and_ends_with_the_process,
    an_owner_in_another_pid_namespace_is_waited_for,
    an_unannounced_owner_in_another_pid_namespace_is_waited_for,
    from_a_nested_pid_namespace_only_the_callers_word_rules_out_others,
    from_a_nested_pid_namespace_a_joiner_that_has_left_proves_nothing,
}

fn dead(pid: u64) -> Holder {
    wksp_core::OwnerId::new(pid).map_or(Holder::Formatter, Holder::Owner)
}

/// Locks and says from whom the lock was taken over.
fn taken_from(workspace: &SharedWorkspace) -> Option<Holder> {
    match workspace.lock().unwrap().repair() {
        Some(Repair::TakenOver { from, .. }) => Some(from),
        _ => None,
    }
}

fn is_busy(workspace: &SharedWorkspace, pid: u64) -> bool {
    match workspace.lock() {
        Err(LockError::Busy { holder }) => holder == dead(pid),
        _ => false,
    }
}

struct Bystander(Child);

impl Bystander {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u64 {
        u64::from(self.0.id())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn the_lock_of_a_killed_process_is_taken_over(scene: &Scene) {
    let workspace = scene.create("killed");
    // A third one, so that the survivor is not the sole user of the region.
    let mut third = Victim::start(scene, "killed", "join");
    assert_eq!(third.hear(), "joined");
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    for is_buried in [true, false] {
        let workspace = scene.attach("killed", options);
        let mut victim = Victim::start(scene, "killed", "hold");
        assert_eq!(victim.hear(), "locked");
        assert_eq!(scene.owner("killed"), u64::from(victim.pid()));
        if is_buried {
            victim.kill();
        } else {
            victim.kill_unburied();
        }
        let began = Instant::now();
        assert_eq!(taken_from(&workspace), Some(dead(victim.pid().into())));
        println!("taken over after {:?}", began.elapsed());
        assert_eq!(scene.owner("killed"), u64::MAX);
    }
    assert!(workspace.lock().unwrap().verify().is_clean());
}

fn a_waiter_notices_a_death_while_it_waits(scene: &Scene) {
    drop(scene.create("dying"));
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    let workspace = scene.attach("dying", options);
    let mut victim = Victim::start(scene, "dying", "hold");
    assert_eq!(victim.hear(), "locked");
    let pid = u64::from(victim.pid());
    let (tell, hear) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            tell.send(nix::unistd::gettid()).unwrap();
            (taken_from(&workspace), Instant::now())
        });
        let stat = format!("/proc/self/task/{}/stat", hear.recv().unwrap());
        eventually("the waiter sleeps", || {
            std::fs::read_to_string(&stat).unwrap().contains(") S ")
        });
        let killed = Instant::now();
        victim.kill();
        let (from, taken) = waiter.join().unwrap();
        assert_eq!(from, Some(dead(pid)));
        println!("taken over {:?} after the kill", taken.duration_since(killed));
    });
}

fn a_stopped_owner_is_waited_for(scene: &Scene) {
    drop(scene.create("stopped"));
    let workspace = scene.attach("stopped", impatient());
    let mut victim = Victim::start(scene, "stopped", "hold");
    assert_eq!(victim.hear(), "locked");
    let pid = victim.pid();
    victim.signal(Signal::SIGSTOP);
    let state = || describe(pid, None).unwrap().state;
    eventually("the owner is stopped", || state() == 'T');
    assert!(is_busy(&workspace, pid.into()));
    let info = describe(pid, workspace.joined().region()).unwrap();
    assert_eq!((info.state, info.maps_region), ('T', Some(true)));
    victim.signal(Signal::SIGCONT);
    victim.release();
    assert_eq!(victim.hear(), "released");
    assert_eq!(taken_from(&workspace), None);
}

fn an_owner_whose_first_thread_has_ended_is_waited_for(scene: &Scene) {
    drop(scene.create("headless"));
    let options = impatient().with_single_pid_namespace(!sees_everyone());
    let workspace = scene.attach("headless", options);
    let mut third = Victim::start(scene, "headless", "join");
    assert_eq!(third.hear(), "joined");
    let mut victim = Victim::start(scene, "headless", "hold without a first thread");
    let pid: u32 = victim.hear().parse().unwrap();
    eventually("the first thread has ended", || describe(pid, None).unwrap().state == 'Z');
    assert!(is_busy(&workspace, pid.into()));
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    let patient = scene.attach("headless", options.with_patience(LockOptions::default().patience));
    assert_eq!(taken_from(&patient), Some(dead(pid.into())));
}

fn a_process_that_does_not_map_the_region_is_not_the_owner(scene: &Scene) {
    drop(scene.create("reused"));
    let mut third = Victim::start(scene, "reused", "join");
    assert_eq!(third.hear(), "joined");
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    let workspace = scene.attach("reused", options);
    let bystander = Bystander::start();
    // The child maps what we map until it has executed its program.
    eventually("sleep runs", || {
        describe(bystander.0.id(), None).is_some_and(|info| info.command == "sleep")
    });
    scene.set_owner("reused", bystander.pid());
    assert_eq!(taken_from(&workspace), Some(dead(bystander.pid())));
}

fn the_id_of_a_thread_is_not_the_owner(scene: &Scene) {
    drop(scene.create("thread"));
    let mut third = Victim::start(scene, "thread", "join");
    assert_eq!(third.hear(), "joined");
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    let workspace = scene.attach("thread", options);
    let (tid, quit) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    thread::scope(|scope| {
        let (tell, wait) = (tid.0, quit.1);
        scope.spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            let _ = wait.recv();
        });
        let tid = u64::try_from(tid.1.recv().unwrap().as_raw()).unwrap();
        scene.set_owner("thread", tid);
        assert_eq!(taken_from(&workspace), Some(dead(tid)));
        drop(quit.0);
    });
}

fn the_name_of_a_process_may_be_any_bytes(scene: &Scene) {
    drop(scene.create("odd"));
    let mut third = Victim::start(scene, "odd", "join");
    assert_eq!(third.hear(), "joined");
    let mut odd = Victim::start(scene, "odd", "bear an odd name");
    assert_eq!(odd.hear(), "named");
    let options = LockOptions::default().with_single_pid_namespace(!sees_everyone());
    let workspace = scene.attach("odd", options);
    scene.set_owner("odd", odd.pid().into());
    assert_eq!(taken_from(&workspace), Some(dead(odd.pid().into())));
    assert_eq!(describe(odd.pid(), None).unwrap().command, "caf\u{FFFD}");
}

fn a_process_that_has_given_up_root_recovers(scene: &Scene) {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    drop(scene.create("dropped"));
    let mut third = Victim::start(scene, "dropped", "join");
    assert_eq!(third.hear(), "joined");
    let mut victim = Victim::start(scene, "dropped", "hold");
    assert_eq!(victim.hear(), "locked");
    victim.kill();
    let mut waiter = Victim::start(scene, "dropped", "lock after giving up root");
    let said = waiter.hear();
    assert!(said.starts_with("uid 65534: Ok") && said.contains("TakenOver"), "{said}");
}

fn a_live_owner_that_may_not_be_looked_at_is_waited_for(scene: &Scene) {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    drop(scene.create("secret"));
    let mut owner = Victim::start(scene, "secret", "map");
    owner.hear();
    scene.set_owner("secret", owner.pid().into());
    let mut waiter = Victim::start(scene, "secret", "lock in a hurry after giving up root");
    let said = waiter.hear();
    assert!(said.starts_with("uid 65534: Err(Busy"), "{said}");
    assert_eq!(scene.owner("secret"), u64::from(owner.pid()));
}

#[test]
fn processes_that_hold_the_lock_most_of_the_time_starve_nobody() {
    let scene = Scene::new();
    drop(scene.create("turns"));
    let round = || {
        let start = |_| Victim::start(&scene, "turns", "take turns");
        let mut four: Vec<_> = (0..4).map(start).collect();
        assert!(four.iter_mut().all(|victim| victim.hear() == "ready"));
        four.iter_mut().for_each(Victim::release);
        let counts = four.iter_mut().map(|victim| {
            let said = victim.hear();
            println!("{said}");
            let (count, _) = said.split_once(" times").expect("one was refused the lock");
            count.parse::<u32>().unwrap()
        });
        counts.min().unwrap()
    };
    // A fair share would be some 700. More than one round, since on a machine that is busy with
    // other things a waiter may hardly ever run while the lock is free.
    assert!((0..3).any(|_| round() >= 20));
}

fn a_process_that_maps_the_region_unannounced_may_be_the_owner(scene: &Scene) {
    drop(scene.create("quiet"));
    let workspace = scene.attach("quiet", impatient());
    let mut victim = Victim::start(scene, "quiet", "map");
    victim.hear();
    scene.set_owner("quiet", victim.pid().into());
    assert!(is_busy(&workspace, victim.pid().into()));
    let found = mappers(workspace.region().unwrap().id);
    assert!(found.iter().any(|mapper| mapper.pid == victim.pid()));
    assert!(joiners(workspace.joined().region().unwrap()).unwrap().list.len() == 1);
}

fn ids_that_no_process_can_have_are_dead(scene: &Scene) {
    drop(scene.create("impossible"));
    let workspace = scene.attach("impossible", LockOptions::default());
    // No process id, the kernel's mark, more than 32 bits.
    for pid in [1 << 22, 0x3FFF_FF00, 0x4000_0000, (1 << 32) | 1, u64::MAX - 1] {
        scene.set_owner("impossible", pid);
        assert_eq!(taken_from(&workspace), Some(dead(pid)));
    }
}

fn our_own_id_with_nobody_inside_is_of_a_process_of_the_past(scene: &Scene) {
    drop(scene.create("own"));
    let workspace = scene.attach("own", LockOptions::default());
    let own = u64::from(std::process::id());
    scene.set_owner("own", own);
    let began = Instant::now();
    assert_eq!(taken_from(&workspace), Some(dead(own)));
    println!("taken over after {:?}", began.elapsed());

    let mut other = Victim::start(scene, "own", "join");
    assert_eq!(other.hear(), "joined");
    if !sees_everyone() {
        return skip("from a nested pid namespace a process outside cannot be ruled out");
    }
    scene.set_owner("own", own);
    assert_eq!(taken_from(&workspace), Some(dead(own)));
}

fn our_own_id_with_a_thread_inside_is_waited_for(scene: &Scene) {
    drop(scene.create("inside"));
    let ours = scene.attach("inside", LockOptions::default());
    let other = scene.attach("inside", impatient().with_single_pid_namespace(true));
    let guard = ours.lock().unwrap();
    thread::scope(|scope| {
        assert!(scope.spawn(|| is_busy(&other, std::process::id().into())).join().unwrap());
    });
    drop(guard);
    drop(other.lock().unwrap());
}

fn of_many_threads_one_takes_over_our_own_id(scene: &Scene) {
    const THREADS: u32 = 8;
    let bytes = NonZeroUsize::new(1 << 20).unwrap();
    let options = WorkspaceOptions::default();
    let private = SharedWorkspace::private(&name("crowd"), bytes, &options).unwrap();
    drop(scene.create("crowd"));
    let shared =
        scene.attach("crowd", LockOptions::default().with_single_pid_namespace(!sees_everyone()));
    // Another user of the region, so that being the sole one is no proof.
    let mut other = Victim::start(scene, "crowd", "join");
    assert_eq!(other.hear(), "joined");
    scene.set_owner("crowd", std::process::id().into());
    for (workspace, wanted) in [(&shared, 1), (&private, 0)] {
        let (inside, taken_over) = (AtomicU32::new(0), AtomicU32::new(0));
        let barrier = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..200 {
                        let mut guard = workspace.lock().unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        if guard.repair().is_some() {
                            taken_over.fetch_add(1, Ordering::Relaxed);
                        }
                        let gaddr = guard.alloc(Align::BYTE, 64, Tag::new(1).unwrap()).unwrap();
                        guard.free(gaddr).unwrap();
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken_over.load(Ordering::Relaxed), wanted);
        assert!(workspace.lock().unwrap().verify().is_clean());
    }
}

fn a_formatter_that_nobody_can_be_is_dead(scene: &Scene) {
    drop(scene.create("raw"));
    let workspace = scene.attach("raw", LockOptions::default());
    scene.set_owner("raw", 0);
    assert_eq!(taken_from(&workspace), Some(Holder::Formatter));

    if !sees_everyone() || std::fs::read("/proc/1/maps").is_err() {
        return skip("not all processes of this machine may be looked at");
    }
    // Others who have joined are no obstacle, since nobody joins what is not formatted.
    let mut other = Victim::start(scene, "raw", "join");
    assert_eq!(other.hear(), "joined");
    scene.set_owner("raw", 0);
    assert_eq!(taken_from(&workspace), Some(Holder::Formatter));
}

fn a_formatter_that_someone_may_be_is_waited_for(scene: &Scene) {
    drop(scene.create("forming"));
    let workspace = scene.attach("forming", impatient());
    let mut victim = Victim::start(scene, "forming", "map");
    victim.hear();
    scene.set_owner("forming", 0);
    assert!(is_busy(&workspace, 0));
}

fn presence_is_seen_by_others_and_ends_with_the_process(scene: &Scene) {
    let workspace = scene.create("present");
    let region = workspace.joined().region().unwrap();
    let pids =
        || -> Vec<u32> { joiners(region).unwrap().list.iter().map(|joiner| joiner.pid).collect() };
    assert_eq!(pids(), [std::process::id()]);
    let mut victim = Victim::start(scene, "present", "join");
    assert_eq!(victim.hear(), "joined");
    assert!(pids().contains(&victim.pid()));
    assert_eq!(pids().len(), 2);
    victim.kill();
    assert_eq!(pids(), [std::process::id()]);
}

fn an_owner_in_another_pid_namespace_is_waited_for(scene: &Scene) {
    drop(scene.create("nested"));
    let workspace = scene.attach("nested", impatient());
    let Some(mut victim) = Victim::start_in_new_namespace(scene, "nested", "hold") else { return };
    assert_eq!(victim.hear(), "locked");
    // The first process of its namespace; here that is somebody else who maps nothing of ours.
    assert_eq!(scene.owner("nested"), 1);
    assert!(is_busy(&workspace, 1));
    let region = workspace.joined().region().unwrap();
    let namespaces: Vec<_> = joiners(region).unwrap().list.iter().map(|j| j.namespace).collect();
    assert_eq!(namespaces.len(), 2);
    assert_ne!(namespaces[0], namespaces[1]);

    victim.kill();
    if sees_everyone() && geteuid().is_root() {
        let patient = scene.attach("nested", LockOptions::default());
        eventually("presence ends", || joiners(region).unwrap().list.len() == 1);
        assert_eq!(taken_from(&patient), Some(dead(1)));
    }
}

fn an_unannounced_owner_in_another_pid_namespace_is_waited_for(scene: &Scene) {
    drop(scene.create("nested-quiet"));
    let workspace = scene.attach("nested-quiet", impatient());
    let Some(mut victim) = Victim::start_in_new_namespace(scene, "nested-quiet", "map") else {
        return;
    };
    victim.hear();
    scene.set_owner("nested-quiet", 1);
    assert!(is_busy(&workspace, 1));
}

fn from_a_nested_pid_namespace_only_the_callers_word_rules_out_others(scene: &Scene) {
    // As long as this process uses the region as well, the waiter cannot know that it does not
    // hold the lock.
    let ours = scene.create("within");
    let unused = {
        let bystander = Bystander::start();
        bystander.pid()
    };
    scene.set_owner("within", unused);
    let Some(mut waiter) = Victim::start_in_new_namespace(scene, "within", "lock") else { return };
    assert!(waiter.hear().contains("Busy"));
    assert_eq!(scene.owner("within"), unused);
    let mut waiter =
        Victim::start_in_new_namespace(scene, "within", "lock in single namespace").unwrap();
    assert!(waiter.hear().contains("TakenOver"));
    assert_eq!(scene.owner("within"), u64::MAX);

    drop((ours, waiter));
    scene.set_owner("within", unused);
    let mut waiter = Victim::start_in_new_namespace(scene, "within", "lock").unwrap();
    assert!(waiter.hear().contains("TakenOver"), "the sole user of a region needs no word");
}

fn from_a_nested_pid_namespace_a_joiner_that_has_left_proves_nothing(scene: &Scene) {
    let ours = scene.create("beside");
    let mut owner = Victim::start(scene, "beside", "map");
    owner.hear();
    scene.set_owner("beside", owner.pid().into());
    // Shown as joined by a process that is called like the owner in a namespace of its own.
    let file = File::options().read(true).open(scene.path("beside")).unwrap();
    let namesake = libc::flock {
        l_type: i16::try_from(libc::F_RDLCK).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: (1 << 62) | (7 << 22) | i64::from(owner.pid()),
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&namesake)).unwrap();
    let region = ours.joined().region().unwrap();
    assert!(joiners(region).unwrap().list.iter().any(|joiner| joiner.pid == owner.pid()));

    let Some(mut waiter) = Victim::start_in_new_namespace(scene, "beside", "lock after a word")
    else {
        return;
    };
    assert_eq!(waiter.hear(), "waiting");
    // It sleeps only after it has searched.
    let mappers = mappers(region.info().id);
    let waiting = mappers.iter().find(|mapper| mapper.own_pid == 1).unwrap();
    eventually("the waiter sleeps", || describe(waiting.pid, None).unwrap().state == 'S');
    drop(file);
    assert!(waiter.hear().contains("Busy"));
    assert_eq!(scene.owner("beside"), u64::from(owner.pid()));
}
