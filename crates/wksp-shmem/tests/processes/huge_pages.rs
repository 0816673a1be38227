//! Huge pages for a test, and a file system that has them.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use wksp_shmem::{MountError, MountOptions, PagePool, PageSize, mount, unmount};
use wksp_testkit::turn::{Turn, turn};

/// Free huge pages and a hugetlbfs; both are given back when this is dropped.
pub(crate) struct HugePages {
    base: PathBuf,
    before: Option<PagePool>,
    _turn: Turn,
}

impl HugePages {
    /// Has so many under `base`, or says why not.
    pub(crate) fn under(base: &Path, count: u64) -> Result<Self, String> {
        let mut pages = Self { base: base.to_owned(), before: None, _turn: turn() };
        let pools = PagePool::all().map_err(|error| error.to_string())?;
        let huge: Vec<_> = pools.iter().filter(|pool| pool.page_size == PageSize::Huge).collect();
        let lacking = count.saturating_sub(huge.iter().map(|pool| pool.free).sum());
        if lacking > 0 {
            let pool = *huge.first().ok_or("the kernel has no huge pages")?;
            let change = PagePool::reserve(pool.node, pool.page_size, pool.reserved() + lacking);
            pages.before = Some(*pool);
            let change = change.map_err(|error| error.to_string())?;
            if !change.is_granted() {
                return Err(format!("the kernel grants no {count} huge pages: {change:?}"));
            }
        }
        mount(base, PageSize::Huge, &MountOptions::default()).map_err(|error| error.to_string())?;
        Ok(pages)
    }
}

/// For so long children of other tests may have files open that they have inherited.
const INHERITED: Duration = Duration::from_secs(20);

impl Drop for HugePages {
    fn drop(&mut self) {
        let began = Instant::now();
        let unmounted = loop {
            match unmount(&self.base, PageSize::Huge, true) {
                Err(MountError::Busy { .. }) if began.elapsed() < INHERITED => thread::yield_now(),
                outcome => break outcome,
            }
        };
        if let Some(pool) = &self.before {
            let change = PagePool::release(pool.node, pool.page_size, pool.reserved());
            assert!(change.is_ok() || thread::panicking(), "{change:?}");
        }
        assert!(unmounted.is_ok() || thread::panicking(), "{unmounted:?}");
    }
}
