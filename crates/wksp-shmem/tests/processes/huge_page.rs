//! A huge page for a test, and a file system that has it.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use wksp_shmem::{MountOptions, PagePool, PageSize, mount, unmount};

/// One free huge page and a hugetlbfs; both are given back when this is dropped.
pub(crate) struct HugePage {
    base: PathBuf,
    before: Option<PagePool>,
    /// Taken by all tests that reserve or count pages.
    _turn: Flock<File>,
}

impl HugePage {
    /// Has one under `base`, or says why not.
    pub(crate) fn under(base: &Path) -> Result<Self, String> {
        let nodes = File::open("/sys/devices/system/node").map_err(|error| error.to_string())?;
        let turn = Flock::lock(nodes, FlockArg::LockExclusive);
        let turn = turn.map_err(|(_, errno)| errno.to_string())?;
        let pools = PagePool::all().map_err(|error| error.to_string())?;
        let huge: Vec<_> = pools.iter().filter(|pool| pool.page_size == PageSize::Huge).collect();
        let mut page = Self { base: base.to_owned(), before: None, _turn: turn };
        if huge.iter().all(|pool| pool.free == 0) {
            let pool = *huge.first().ok_or("the kernel has no huge pages")?;
            let change = PagePool::reserve(pool.node, pool.page_size, pool.reserved() + 1);
            page.before = Some(*pool);
            let change = change.map_err(|error| error.to_string())?;
            if !change.is_granted() {
                return Err(format!("the kernel grants no huge page: {change:?}"));
            }
        }
        mount(base, PageSize::Huge, &MountOptions::default()).map_err(|error| error.to_string())?;
        Ok(page)
    }
}

impl Drop for HugePage {
    fn drop(&mut self) {
        let unmounted = unmount(&self.base, PageSize::Huge, true);
        if let Some(pool) = &self.before {
            let change = PagePool::release(pool.node, pool.page_size, pool.reserved());
            assert!(change.is_ok() || std::thread::panicking(), "{change:?}");
        }
        assert!(unmounted.is_ok() || std::thread::panicking(), "{unmounted:?}");
    }
}
