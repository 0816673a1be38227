//! What the tests have in common: a base directory of their own, and the lock word by force.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wksp_core::Name;
use wksp_shmem::{
    BaseDir, LockOptions, NewRegionOptions, PageSize, PidNamespace, SharedWorkspace,
    WorkspaceOptions,
};

use crate::foreign::ForeignWord;
use crate::huge_pages::HugePages;

/// A user who may do nothing that not everybody may.
pub(crate) const NOBODY: u32 = 65_534;

/// A base directory, removed when dropped.
pub(crate) struct Scene {
    pub(crate) base: BaseDir,
    pub(crate) page_size: PageSize,
    // Dropped in this order: what is mounted before where it is mounted.
    _huge_pages: Option<HugePages>,
    pub(crate) dir: TempDir,
}

/// Makes two tests of each function: one on normal pages, and one on huge ones where there are any.
macro_rules! on_each_page_size {
    ($($test:ident,)*) => {$(
        mod $test {
            #[test]
            fn on_normal_pages() {
                super::$test(&$crate::scene::Scene::new());
            }

            #[test]
            fn on_huge_pages() {
                match $crate::scene::Scene::on_huge_pages() {
                    Ok(scene) => super::$test(&scene),
                    Err(why) => $crate::scene::skip(&why),
                }
            }
        }
    )*};
}
pub(crate) use on_each_page_size;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn pages(page_count: u64) -> NewRegionOptions {
    NewRegionOptions { page_size: PageSize::Normal, page_count, mode: 0o600 }
}

/// The most huge pages that a test has at a time.
const HUGE_PAGES: u64 = 2;

/// Short enough for a test that waits for it.
pub(crate) fn impatient() -> LockOptions {
    LockOptions::default().with_patience(Duration::from_millis(150))
}

impl Scene {
    /// One on a tmpfs.
    pub(crate) fn new() -> Self {
        let dir = directory();
        fs::create_dir(dir.path().join(PageSize::Huge.directory())).unwrap();
        Self::of(PageSize::Normal, None, dir)
    }

    /// One on a hugetlbfs, or why that cannot be.
    pub(crate) fn on_huge_pages() -> Result<Self, String> {
        let dir = directory();
        let pages = HugePages::under(dir.path(), HUGE_PAGES)?;
        Ok(Self::of(PageSize::Huge, Some(pages), dir))
    }

    fn of(page_size: PageSize, huge_pages: Option<HugePages>, dir: TempDir) -> Self {
        for size in [PageSize::Normal, PageSize::Gigantic] {
            fs::create_dir(dir.path().join(size.directory())).unwrap();
        }
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        Self { base, page_size, _huge_pages: huge_pages, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.directory_path(self.page_size).join(name)
    }

    pub(crate) fn create(&self, text: &str) -> SharedWorkspace {
        let page_count = if self.page_size == PageSize::Normal { 64 } else { 1 };
        self.create_with(text, &NewRegionOptions { page_size: self.page_size, ..pages(page_count) })
    }

    pub(crate) fn create_with(&self, text: &str, region: &NewRegionOptions) -> SharedWorkspace {
        let options = WorkspaceOptions::default();
        SharedWorkspace::create(&self.base, &name(text), region, &options).unwrap()
    }

    pub(crate) fn attach(&self, text: &str, lock: LockOptions) -> SharedWorkspace {
        SharedWorkspace::attach(&self.base, &name(text), None, lock).unwrap()
    }

    /// Writes the lock word as if whoever is called so had died holding it.
    pub(crate) fn set_owner(&self, text: &str, owner: u64) {
        ForeignWord::of(&self.path(text)).word().store(owner, Ordering::SeqCst);
    }

    pub(crate) fn owner(&self, text: &str) -> u64 {
        ForeignWord::of(&self.path(text)).word().load(Ordering::SeqCst)
    }

    /// The names of all files in the directory of the page size.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.base.directory_path(self.page_size)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("wksp-test-").tempdir_in("/dev/shm").unwrap()
}

/// Waits until something has come to be, and fails if that takes long.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::yield_now();
    }
}

/// Whether this is the initial pid namespace, whence all processes can be seen.
pub(crate) fn sees_everyone() -> bool {
    PidNamespace::current().unwrap() == PidNamespace::INITIAL
}

/// Says that a test was not run, and why.
pub(crate) fn skip(why: &str) {
    wksp_testkit::skip::skip(why);
}
