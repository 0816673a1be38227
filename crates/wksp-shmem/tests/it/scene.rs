//! What the tests have in common: a base directory of their own, and the lock word by force.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wksp_core::Name;
use wksp_shmem::{
    BaseDir, LockOptions, NewRegionOptions, PageSize, PidNamespace, SharedWorkspace,
    WorkspaceOptions,
};

/// Where the lock word is in a workspace, in bytes.
const OWNER_OFFSET: u64 = 112;

/// A user who may do nothing that not everybody may.
pub(crate) const NOBODY: u32 = 65_534;

/// A base directory on a tmpfs, removed when dropped.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) base: BaseDir,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn pages(page_count: u64) -> NewRegionOptions {
    NewRegionOptions { page_size: PageSize::Normal, page_count, mode: 0o600 }
}

/// Short enough for a test that waits for it.
pub(crate) fn impatient() -> LockOptions {
    LockOptions::default().with_patience(Duration::from_millis(150))
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("wksp-test-").tempdir_in("/dev/shm").unwrap();
        for size in PageSize::ALL {
            fs::create_dir(dir.path().join(size.directory())).unwrap();
        }
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        Self { dir, base }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.directory_path(PageSize::Normal).join(name)
    }

    pub(crate) fn create(&self, text: &str) -> SharedWorkspace {
        self.create_with(text, &pages(64))
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
        let file = OpenOptions::new().write(true).open(self.path(text)).unwrap();
        file.write_all_at(&owner.to_le_bytes(), OWNER_OFFSET).unwrap();
    }

    pub(crate) fn owner(&self, text: &str) -> u64 {
        let mut word = [0; 8];
        File::open(self.path(text)).unwrap().read_exact_at(&mut word, OWNER_OFFSET).unwrap();
        u64::from_le_bytes(word)
    }

    /// The names of all files in the directory of normal pages.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.base.directory_path(PageSize::Normal)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
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
