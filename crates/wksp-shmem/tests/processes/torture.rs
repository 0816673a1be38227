//! Eight processes on one workspace, undisturbed and with kills.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::Instant;

use wksp_core::{Name, Tag};
use wksp_shmem::{BaseDir, NewRegionOptions, PageSize, Records, SharedWorkspace, WorkspaceOptions};
use wksp_testkit::image::{self, Lock};
use wksp_testkit::pattern::check_pattern;

use crate::huge_pages::HugePages;
use crate::journal::{Live, Replay, replay};
use crate::killer::{Killer, Kills};
use crate::worker;

const WORKERS: u64 = 8;
const OPERATIONS: u64 = 1_000_000;
const KILLS: u64 = 200;

/// The workers, what they work on, and what they have written.
pub(crate) struct Scene {
    // Dropped in this order: what holds the pages before what gives them back.
    pub(crate) workspace: SharedWorkspace,
    page_size: PageSize,
    pub(crate) workers: Vec<Child>,
    operations: u64,
    _huge_pages: Option<HugePages>,
    dir: tempfile::TempDir,
}

impl Scene {
    /// Starts workers that do as many operations together, on normal pages.
    pub(crate) fn new(operations: u64) -> Self {
        let dir = directory();
        std::fs::create_dir(dir.path().join(".normal")).unwrap();
        Self::on(PageSize::Normal, 100, None, dir, operations)
    }

    /// The same on a huge page, or why that cannot be.
    pub(crate) fn on_a_huge_page(operations: u64) -> Result<Self, String> {
        let dir = directory();
        let page = HugePages::under(dir.path(), 1)?;
        Ok(Self::on(PageSize::Huge, 1, Some(page), dir, operations))
    }

    fn on(
        page_size: PageSize,
        page_count: u64,
        huge_pages: Option<HugePages>,
        dir: tempfile::TempDir,
        operations: u64,
    ) -> Self {
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        let name = Name::new(worker::NAME).unwrap();
        let region = NewRegionOptions { page_size, page_count, mode: 0o600 };
        let options = WorkspaceOptions::default()
            .with_records(Records::Count(1500))
            .with_lock(worker::lock_options());
        let workspace = SharedWorkspace::create(&base, &name, &region, &options).unwrap();
        let start = |number| worker::start(dir.path(), number, operations / WORKERS);
        let workers = (1..=WORKERS).map(start).collect();
        Self { workspace, page_size, workers, operations, _huge_pages: huge_pages, dir }
    }

    /// Starts a worker in the place of one that was killed.
    pub(crate) fn replace(&mut self, at: usize) {
        let number = at as u64 + 1;
        self.workers[at] = worker::start(self.dir.path(), number, self.operations / WORKERS);
    }

    fn journal(&self, number: u64) -> Replay {
        replay(&worker::journal_path(self.dir.path(), number))
    }

    pub(crate) fn wait_for_all(&mut self) {
        for worker in &mut self.workers {
            assert!(worker.wait().unwrap().success(), "a worker has failed");
        }
    }

    /// Checks that the workspace holds what the journals say, and nothing else; returns how often
    /// a worker has taken the lock over from a dead one, and how often it had to rebuild then.
    pub(crate) fn check(&self) -> (u64, u64) {
        let mut expected: BTreeMap<u64, Live> = BTreeMap::new();
        let (mut done, mut taken_over, mut rebuilt) = (0, 0, 0);
        for number in 1..=WORKERS {
            let replay = self.journal(number);
            assert_eq!(replay.open, None);
            done += replay.done;
            taken_over += replay.taken_over;
            rebuilt += replay.rebuilt;
            expected.extend(replay.live);
        }
        assert_eq!(done, self.operations / WORKERS * WORKERS);
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
        (taken_over, rebuilt)
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
    survive(Scene::new(OPERATIONS));
}

pub(crate) fn eight_processes_on_huge_pages_lose_nothing() {
    Scene::on_a_huge_page(OPERATIONS).map_or_else(wksp_testkit::skip::skip, survive);
}

fn survive(mut scene: Scene) {
    let began = Instant::now();
    scene.wait_for_all();
    scene.check();
    println!("{OPERATIONS} operations by {WORKERS} processes in {:.1?}", began.elapsed());
}

pub(crate) fn kills_lose_nothing_and_stop_nobody() {
    survive_kills(Scene::new(OPERATIONS));
}

pub(crate) fn kills_on_huge_pages_lose_nothing() {
    Scene::on_a_huge_page(OPERATIONS).map_or_else(wksp_testkit::skip::skip, survive_kills);
}

fn survive_kills(mut scene: Scene) {
    let began = Instant::now();
    let Kills { all, inside } = Killer::new(41).haunt(&mut scene);
    let (taken_over, _) = scene.check();
    println!(
        "{OPERATIONS} operations by {WORKERS} processes in {:.1?}, {all} kills, {inside} of them \
         inside the lock, {taken_over} recoveries",
        began.elapsed()
    );
    assert!(all >= KILLS, "only {all} kills");
    assert!(inside * 20 > all, "only {inside} of {all} kills have hit the lock");
}
