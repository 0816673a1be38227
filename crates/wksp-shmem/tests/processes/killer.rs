//! Kills workers: at random, and every fifth time one that is inside the lock.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use wksp_core::{Holder, OwnerId};
use wksp_shmem::DEATH_MARK;
use wksp_testkit::rng::Rng;

use crate::torture::Scene;

/// One kill in so many is aimed at the holder of the lock.
const AIMED_ONE_IN: u64 = 5;
/// How often the lock word is looked at for a victim before a kill goes anywhere.
const LOOKS: u32 = 1_000_000;

/// How many workers were killed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kills {
    pub(crate) all: u64,
    /// Those that the lock word named as its holder when they were dead, or the kernel's mark that
    /// had not been there before.
    ///
    /// An heir that is faster than this process hides one, so there were at least so many.
    pub(crate) inside: u64,
}

pub(crate) struct Killer {
    rng: Rng,
    kills: Kills,
    /// Aimed kills that are still to be done: a look at the lock may find nobody.
    owed: u64,
}

impl Killer {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), kills: Kills::default(), owed: 0 }
    }

    /// Kills and replaces workers until all have ended of themselves.
    pub(crate) fn haunt(mut self, scene: &mut Scene) -> Kills {
        loop {
            // What paces the kills is no part of what is tested.
            thread::sleep(Duration::from_micros(1000 + self.rng.below(3000)));
            self.owed += u64::from(self.rng.one_in(AIMED_ONE_IN));
            let aimed = if self.owed > 0 { stop_inside(scene) } else { None };
            self.owed -= u64::from(aimed.is_some());
            let at = aimed.unwrap_or_else(|| self.rng.index(scene.workers.len()));
            if let Some(status) = scene.workers[at].try_wait().unwrap() {
                assert!(status.success(), "a worker has failed");
                if scene.workers.iter_mut().all(|worker| worker.try_wait().unwrap().is_some()) {
                    break;
                }
                continue;
            }
            let is_marked = holder_is(scene, DEATH_MARK);
            kill(pid(scene, at), Signal::SIGKILL).unwrap();
            scene.workers[at].wait().unwrap();
            self.kills.all += 1;
            let is_inside = holds(scene, at) || (!is_marked && holder_is(scene, DEATH_MARK));
            self.kills.inside += u64::from(aimed.is_some() || is_inside);
            scene.replace(at);
        }
        scene.wait_for_all();
        self.kills
    }
}

/// Stops a worker inside the lock, wherever it happens to be there.
///
/// Between a look at the lock and a kill a worker would mostly have left it. One that is stopped
/// stays where it is, so that it can be looked at once more before it is killed.
fn stop_inside(scene: &Scene) -> Option<usize> {
    for _ in 0..LOOKS {
        let Some(Holder::Owner(id)) = scene.workspace.workspace().holder() else { continue };
        let mut ids = scene.workers.iter().map(|worker| u64::from(worker.id()));
        let Some(at) = ids.position(|worker| worker == id.get()) else { continue };
        let victim = pid(scene, at);
        kill(victim, Signal::SIGSTOP).unwrap();
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(victim), flags).unwrap() {
            WaitStatus::Stopped(..) if holds(scene, at) => return Some(at),
            WaitStatus::Stopped(..) => kill(victim, Signal::SIGCONT).unwrap(),
            _ => {}
        }
    }
    None
}

fn holds(scene: &Scene, at: usize) -> bool {
    holder_is(scene, u64::from(scene.workers[at].id()))
}

fn holder_is(scene: &Scene, id: u64) -> bool {
    scene.workspace.workspace().holder() == OwnerId::new(id).map(Holder::Owner)
}

fn pid(scene: &Scene, at: usize) -> Pid {
    Pid::from_raw(i32::try_from(scene.workers[at].id()).unwrap())
}
