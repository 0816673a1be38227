//! Eight processes on one workspace, undisturbed and with kills.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wksp_core::{Holder, Name, OwnerId, Tag};
use wksp_shmem::{
    BaseDir, DEATH_MARK, NewRegionOptions, PageSize, Records, SharedWorkspace, WorkspaceOptions,
};
use wksp_testkit::image::{self, Lock};
use wksp_testkit::pattern::check_pattern;
use wksp_testkit::rng::Rng;

use crate::huge_pages::HugePages;
use crate::journal::{Live, Replay, replay};
use crate::worker;

const WORKERS: u64 = 8;
const OPERATIONS: u64 = 1_000_000;
const KILLS: u64 = 200;

struct Scene {
    // Dropped in this order: what holds the pages before what gives them back.
    workspace: SharedWorkspace,
    page_size: PageSize,
    workers: Vec<Child>,
    _huge_pages: Option<HugePages>,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = directory();
        std::fs::create_dir(dir.path().join(".normal")).unwrap();
        Self::on(PageSize::Normal, 100, None, dir)
    }

    /// The same on a huge page, or why that cannot be.
    fn on_a_huge_page() -> Result<Self, String> {
        let dir = directory();
        let page = HugePages::under(dir.path(), 1)?;
        Ok(Self::on(PageSize::Huge, 1, Some(page), dir))
    }

    fn on(
        page_size: PageSize,
        page_count: u64,
        huge_pages: Option<HugePages>,
        dir: tempfile::TempDir,
    ) -> Self {
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        let name = Name::new(worker::NAME).unwrap();
        let region = NewRegionOptions { page_size, page_count, mode: 0o600 };
        let options = WorkspaceOptions::default()
            .with_records(Records::Count(1500))
            .with_lock(worker::lock_options());
        let workspace = SharedWorkspace::create(&base, &name, &region, &options).unwrap();
        let start = |number| worker::start(dir.path(), number, OPERATIONS / WORKERS);
        let workers = (1..=WORKERS).map(start).collect();
        Self { workspace, page_size, workers, _huge_pages: huge_pages, dir }
    }

    fn start(&self, at: usize) -> Child {
        worker::start(self.dir.path(), at as u64 + 1, OPERATIONS / WORKERS)
    }

    fn journal(&self, number: u64) -> Replay {
        replay(&worker::journal_path(self.dir.path(), number))
    }

    fn wait_for_all(&mut self) {
        for worker in &mut self.workers {
            assert!(worker.wait().unwrap().success(), "a worker has failed");
        }
    }

    /// Checks that the workspace holds what the journals say, and nothing else.
    fn check(&self) {
        let mut expected: BTreeMap<u64, Live> = BTreeMap::new();
        let mut done = 0;
        for number in 1..=WORKERS {
            let replay = self.journal(number);
            assert_eq!(replay.open, None);
            done += replay.done;
            expected.extend(replay.live);
        }
        assert_eq!(done, OPERATIONS);
        let guard = self.workspace.lock().unwrap();
        let report = guard.verify();
        assert!(report.is_clean(), "{report:?}");
        for (tag, live) in &expected {
            let found = guard.lowest_tagged(Tag::new(*tag).unwrap()).expect("lost");
            let found = Live { gaddr: found.range.lo().get(), bytes: found.range.bytes() };
            assert_eq!(found, *live, "tag {tag}");
        }
        drop(guard);
        let directory = self.dir.path().join(self.page_size.directory());
        let image = std::fs::read(directory.join(worker::NAME)).unwrap();
        let listing = image::check(&image, Lock::MustBeFree).unwrap();
        assert_eq!(listing.used().len(), expected.len(), "back from the dead");
        for used in listing.used() {
            check_pattern(used.tag, listing.bytes(used.lo, used.hi).unwrap()).unwrap();
        }
        assert_eq!(count_of_files(&directory), 1);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("wksp-torture-").tempdir_in("/dev/shm").unwrap()
}

fn count_of_files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

pub(crate) fn eight_processes_lose_nothing() {
    survive(Scene::new());
}

pub(crate) fn eight_processes_on_huge_pages_lose_nothing() {
    Scene::on_a_huge_page().map_or_else(wksp_testkit::skip::skip, survive);
}

fn survive(mut scene: Scene) {
    let began = Instant::now();
    scene.wait_for_all();
    scene.check();
    println!("{OPERATIONS} operations by {WORKERS} processes in {:.1?}", began.elapsed());
}

pub(crate) fn kills_lose_nothing_and_stop_nobody() {
    survive_kills(Scene::new());
}

pub(crate) fn kills_on_huge_pages_lose_nothing() {
    Scene::on_a_huge_page().map_or_else(wksp_testkit::skip::skip, survive_kills);
}

fn survive_kills(mut scene: Scene) {
    let began = Instant::now();
    let mut rng = Rng::new(41);
    let (mut kills, mut kills_inside) = (0_u64, 0_u64);
    loop {
        // What paces the kills is no part of what is tested.
        thread::sleep(Duration::from_micros(1000 + rng.below(3000)));
        let at = rng.index(scene.workers.len());
        let worker = &mut scene.workers[at];
        if let Some(status) = worker.try_wait().unwrap() {
            assert!(status.success(), "a worker has failed");
            if scene.workers.iter_mut().all(|worker| worker.try_wait().unwrap().is_some()) {
                break;
            }
            continue;
        }
        let pid = worker.id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
        worker.wait().unwrap();
        // By now the kernel may have marked the lock.
        let dead = [u64::from(pid), DEATH_MARK].map(|id| OwnerId::new(id).map(Holder::Owner));
        let holder = scene.workspace.workspace().holder();
        kills += 1;
        kills_inside += u64::from(dead.contains(&holder));
        scene.workers[at] = scene.start(at);
    }
    scene.wait_for_all();
    scene.check();
    println!(
        "{OPERATIONS} operations by {WORKERS} processes in {:.1?}, {kills} kills, {kills_inside} \
         of them inside the lock",
        began.elapsed()
    );
    assert!(kills >= KILLS, "only {kills} kills");
    assert!(kills_inside > 0, "no kill has hit the lock");
}
